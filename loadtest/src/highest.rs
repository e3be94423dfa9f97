//! The highest rate at which a scenario still passes.
//!
//! Invariants: what is lost, mixed up or run twice ends the search, because no rate excuses it; a rate counts as held only by a run that passed, and as too high only by two in a row that did not; a void run
//! holds nothing, because whoever cannot send a rate cannot say that it is held.

use std::{future::Future, path::PathBuf, pin::Pin};

use crate::{
    report::{Report, Verdict},
    run::{self, Options},
    scenario::Scenario,
};

mod cores;
mod search;

pub use cores::Cores;
pub use search::{Search, Try};

/// One rate that was tried.
pub struct Tried {
    /// Requests a second in the first phase.
    pub rate: f64,
    /// What came of it.
    pub report: Report,
    /// Where the world's folder is, if it was left.
    pub folder: Option<PathBuf>,
}

/// Why a search ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// What holds and what does not lie close together.
    Narrowed,
    /// Every try of the rate was void.
    Void,
    /// A request was lost, mixed up, misrouted or ran twice: no question of rate.
    Unsound,
    /// The next rate is one that no scenario may ask for; in words.
    Beyond(String),
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The highest rate that was held.
    pub held: Option<f64>,
    /// Why there was no further try.
    pub end: End,
    /// The last rate that was not held, and whose processor time its last try was.
    pub limit: Option<(f64, Cores)>,
}

/// Tries rates from `first` on; `each` sees every try. Ends early as [`run::run_until`] does.
///
/// # Errors
/// A run could not be done.
pub async fn find(
    scenario: &Scenario,
    options: &Options,
    first: f64,
    mut told: Pin<&mut impl Future<Output = &'static str>>,
    mut each: impl FnMut(&Tried),
) -> anyhow::Result<Found> {
    let mut search = Search::from(first);
    let mut limit = None;
    while let Some(rate) = search.next() {
        let changed = scenario.clone().at_rate(rate).and_then(|changed| changed.sound().map(|()| changed));
        let changed = match changed {
            Ok(changed) => changed,
            Err(error) => return Ok(Found { held: search.held(), end: End::Beyond(format!("{error:#}")), limit }),
        };
        let run::Finished { report, folder } = run::run_until(&changed, options, told.as_mut()).await?;
        search.learn(match report.verdict {
            Verdict::Passed => Try::Held,
            Verdict::Failed => Try::Missed,
            Verdict::Void => Try::Void,
        });
        if report.verdict != Verdict::Passed {
            limit = Some((rate, Cores::of(&report)));
        }
        let sound = report.oracle.is_sound();
        each(&Tried { rate, report, folder });
        if !sound {
            return Ok(Found { held: search.held(), end: End::Unsound, limit });
        }
    }
    let end = if search.is_blind() { End::Void } else { End::Narrowed };
    Ok(Found { held: search.held(), end, limit })
}
