//! Every file of `tests/corpus` and, word for word, what is said about it (`NAME.expected`): faults, or the warnings of a
//! file that loads. `UPDATE_EXPECTED=1` writes the expected files anew, for review.

use std::{env, fs, path::Path};

use synaxis_config::load;

fn diagnosis(text: &str, name: &str) -> String {
    match load(text, Path::new(name)) {
        Ok((_, warnings)) => warnings.iter().map(|warning| format!("{warning}\n")).collect(),
        Err(faults) => format!("{faults}\n"),
    }
}

#[test]
fn every_fault_of_a_file_is_told_with_its_place_and_its_cure() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut names: Vec<String> = fs::read_dir(&corpus)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort();
    assert!(names.len() >= 25, "the corpus is not where it should be: {names:?}");
    let mut wrong = Vec::new();
    for name in &names {
        let said = diagnosis(&fs::read_to_string(corpus.join(name)).unwrap(), name);
        assert!(!said.is_empty(), "{name} has neither fault nor warning");
        assert!(!said.contains("s3cret"), "{name}: a secret is shown: {said}");
        let expected = corpus.join(name).with_extension("expected");
        if env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        if said != expected {
            wrong.push(format!("{name}\n--- expected\n{expected}--- said\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
