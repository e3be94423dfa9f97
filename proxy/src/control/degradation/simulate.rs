//! What the level would be if something failed, without waiting for it to fail.
//!
//! Invariant: it goes by the same rules, and depends on nothing but what it is given.

use std::{error::Error, fmt};

use super::{Degradation, Inputs, Level, Limits, Reason, Trigger};

/// The level that there would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The level.
    pub level: Level,
    /// What asks for a level, first what decides.
    pub why: Vec<Reason>,
}

/// A name that nothing which is watched has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The name.
    pub name: String,
    /// The names there are, in order.
    pub known: Vec<String>,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, known } = self;
        if known.is_empty() {
            return write!(f, "{name:?} cannot be down: the configuration watches nothing");
        }
        write!(f, "nothing called {name:?} is watched; there are: {}", known.join(", "))
    }
}

impl Error for Unknown {}

/// The level with `down` failing and everything else well: `watched` is what the configuration watches, and the level that
/// each asks for.
///
/// # Errors
/// [`Unknown`], for the first name that is not watched.
pub fn simulate(watched: &[(&str, Level)], down: &[&str]) -> Result<Preview, Unknown> {
    if let Some(name) = down.iter().find(|name| watched.iter().all(|(watched, _)| watched != *name)) {
        let mut known: Vec<_> = watched.iter().map(|(name, _)| (*name).to_owned()).collect();
        known.sort_unstable();
        return Err(Unknown { name: (*name).to_owned(), known });
    }
    let trigger = |&(name, asks)| Trigger { name, asks, failing: down.contains(&name) };
    let triggers: Vec<_> = watched.iter().map(trigger).collect();
    let (mut degradation, limits) = (Degradation::default(), Limits::default());
    degradation.update(0, &limits, &Inputs { triggers: &triggers, ..Inputs::default() });
    Ok(Preview { level: degradation.level(), why: degradation.why(0, &limits) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Level::{AiDegraded, CacheDegraded, Full, ReadOnly};

    const WATCHED: [(&str, Level); 4] =
        [("redis", CacheDegraded), ("llm", AiDegraded), ("primary-db", ReadOnly), ("mail", Full)];

    fn check(down: &[&str], level: Level, why: &[&str]) {
        let preview = simulate(&WATCHED, down).unwrap();
        let found: Vec<_> = preview.why.iter().map(ToString::to_string).collect();
        assert_eq!((preview.level, found), (level, why.iter().map(ToString::to_string).collect()), "{down:?} down");
    }

    #[test]
    fn a_preview_says_the_level_and_why() {
        check(&[], Full, &[]);
        check(&["redis"], CacheDegraded, &["redis is down and asks for cache-degraded"]);
        check(
            &["llm", "primary-db", "redis"],
            ReadOnly,
            &[
                "primary-db is down and asks for read-only",
                "redis is down and asks for cache-degraded",
                "llm is down and asks for ai-degraded",
            ],
        );
        check(&["mail"], Full, &["mail is down and asks for full"]);
    }

    #[test]
    fn a_preview_is_the_same_in_whatever_order_it_is_asked() {
        let mut watched = WATCHED;
        watched.reverse();
        for down in [["redis", "llm"], ["llm", "redis"], ["llm", "llm"]] {
            assert_eq!(simulate(&watched, &down), simulate(&WATCHED, &down));
        }
        assert_eq!(simulate(&WATCHED, &["redis", "llm"]), simulate(&WATCHED, &["llm", "redis", "llm"]));
    }

    #[test]
    fn a_name_that_is_not_watched_is_refused_with_those_that_are() {
        for name in ["", "Redis", "redis ", "redis=down", "\u{1b}[2J"] {
            let unknown = simulate(&WATCHED, &["llm", name]).unwrap_err();
            assert_eq!(
                (unknown.name.as_str(), unknown.known.join(" ")),
                (name, "llm mail primary-db redis".to_owned())
            );
            assert!(!unknown.to_string().contains('\u{1b}'), "shown without what a terminal would act on");
        }
        let unknown = simulate(&[], &["redis"]).unwrap_err();
        assert_eq!(unknown.to_string(), "\"redis\" cannot be down: the configuration watches nothing");
    }
}
