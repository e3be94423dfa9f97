//! Did you mean: the known word nearest to an unknown one.

use crate::value::Shown;

/// Longest word that is compared.
const WORD_BYTES_MAX: usize = 64;

/// The known word nearest to `written`, if it is near enough to be meant: at most one slip in three letters, capitals
/// and hyphens aside.
pub(crate) fn nearest<'k>(written: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if written.len() > WORD_BYTES_MAX {
        return None;
    }
    let folded = written.to_lowercase().replace('-', "_");
    let distance = |word: &str| strsim::damerau_levenshtein(&folded, &word.to_lowercase().replace('-', "_"));
    let slips_max = |word: &str| (word.len().min(folded.len()) / 3).max(1);
    known
        .map(|word| (distance(word), word))
        .filter(|(distance, word)| *distance <= slips_max(word) && *distance < word.len())
        .min()
        .map(|(_, word)| word)
}

/// The cure for a name that nothing has: the nearest one that something has, or some of them. Only names that may be shown,
/// in backticks: one that came from the environment is taken out of them. `None`: there are none.
pub(crate) fn instead<'k>(written: &str, known: impl Iterator<Item = &'k str> + Clone) -> Option<String> {
    let mut known = known.filter(|name| Shown(name).is_harmless());
    if let Some(meant) = nearest(written, known.clone()) {
        return Some(format!("did you mean `{meant}`?"));
    }
    let first = format!("there are `{}`", known.next()?);
    Some(known.take(7).fold(first, |said, name| format!("{said}, `{name}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_different_word_is_not() {
        let known = ["address", "kind", "trust_header", "id", "lame_duck", "next-rank"];
        for (written, expected) in [
            ("adress", Some("address")),
            ("addres", Some("address")),
            ("adderss", Some("address")),
            ("Kind", Some("kind")),
            ("trust-header", Some("trust_header")),
            ("lameduck", Some("lame_duck")),
            ("next_rank", Some("next-rank")),
            ("ids", Some("id")),
            ("tls", None),
            ("x", None),
            ("", None),
            ("front_door", None),
        ] {
            assert_eq!(nearest(written, known.into_iter()), expected, "{written:?}");
        }
        assert_eq!(nearest(&"a".repeat(100_000), known.into_iter()), None);
    }
}
