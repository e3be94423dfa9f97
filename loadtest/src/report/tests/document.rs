use std::{fs, os::unix::fs::PermissionsExt as _};

use super::fixture;
use crate::report::Report;

#[test]
fn a_report_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder/run.json");
    let shared = Report { shared: Some(fixture::shared()), ..fixture::passed() };
    for report in [fixture::passed(), fixture::failed(), fixture::void(), shared] {
        report.write_json(&path).unwrap();
        assert_eq!(Report::read_json(&path).unwrap(), report);
    }
    // nothing temporary is left
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    assert!(fs::read_to_string(&path).unwrap().contains("\n  \"scenario\": {\n"));
    // others than the owner may read it, as far as the umask lets them
    let ordinary = folder.path().join("ordinary");
    fs::write(&ordinary, "").unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&ordinary));
}

#[test]
fn the_page_is_written_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.html");
    fixture::passed().write_html(&path).unwrap();
    assert!(fs::read_to_string(&path).unwrap().ends_with("</html>"));
}

#[test]
fn a_figure_that_json_cannot_hold_is_refused_and_the_old_file_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let mut report = fixture::passed();
    report.write_json(&path).unwrap();
    report.rate.achieved = f64::NAN;
    let error = report.write_json(&path).unwrap_err();
    assert!(format!("{error:#}").contains("no finite number"), "{error:#}");
    assert_eq!(Report::read_json(&path).unwrap(), fixture::passed());
}

#[test]
fn what_is_no_report_is_refused_with_what_it_is() {
    let whole = serde_json::to_string(&fixture::passed()).unwrap();
    let cases = [
        ("this is text".to_owned(), "is no JSON"),
        (whole[..whole.len() / 2].to_owned(), "is no JSON"),
        ("[1, 2]".to_owned(), "no `format`"),
        ("{\"name\": 1}".to_owned(), "no `format`"),
        (whole.replacen("\"format\":2", "\"format\":7", 1), "is a report of format 7, this program reads format 2"),
        (whole.replacen("\"format\":2", "\"format\":\"x\"", 1), "is a report of format \"x\""),
        (whole.replacen("\"seed\"", "\"sead\"", 1), "missing field `seed`"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    for (text, why) in cases {
        fs::write(&path, text).unwrap();
        let error = format!("{:#}", Report::read_json(&path).unwrap_err());
        assert!(error.contains(why) && error.contains("run.json"), "{error}");
    }
    let error = format!("{:#}", Report::read_json(&folder.path().join("none.json")).unwrap_err());
    assert!(error.contains("cannot read") && error.contains("none.json"), "{error}");
}
