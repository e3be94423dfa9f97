//! What chance and the script decide for one request.

use std::{cell::RefCell, time::Duration};

use rand::RngExt as _;
use rand_xoshiro::Xoshiro256PlusPlus;
use tokio::{sync::oneshot, time::timeout};

use super::{
    script::{Error, Script},
    service::Facts,
};
use crate::workload;

/// How a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Answer,
    Error(u16),
    Cut,
    Reset,
    Hang,
}

/// What is not true about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    Forget,
    ExecuteTwice,
    Misread,
    AnswerTwice,
    Swap,
    Invent,
    Cross,
    Mislay,
}

/// The first of some outcomes that a draw falls on.
fn choose<T: Copy>(outcomes: &[(f64, T)], rng: &mut Xoshiro256PlusPlus) -> Option<T> {
    if outcomes.iter().all(|(share, _)| *share <= 0.0) {
        return None;
    }
    let mut left: f64 = rng.random();
    for (share, outcome) in outcomes {
        left -= share;
        if left < 0.0 {
            return Some(*outcome);
        }
    }
    None
}

impl Fate {
    pub(super) fn draw(script: &Script, tenant: &str, rng: &mut Xoshiro256PlusPlus) -> Self {
        let meant = |errors: &Error| errors.tenant.is_none_or(|index| workload::tenant(index) == tenant);
        let errors = script
            .errors
            .filter(meant)
            .map_or((0.0, Self::Answer), |errors| (errors.share, Self::Error(errors.status)));
        let fates = [errors, (script.cut, Self::Cut), (script.reset, Self::Reset), (script.hang, Self::Hang)];
        choose(&fates, rng).unwrap_or(Self::Answer)
    }
}

impl Lie {
    pub(super) fn draw(script: &Script, rng: &mut Xoshiro256PlusPlus) -> Option<Self> {
        let lies = [
            (script.forget, Self::Forget),
            (script.execute_twice, Self::ExecuteTwice),
            (script.misread, Self::Misread),
            (script.answer_twice, Self::AnswerTwice),
            (script.swap, Self::Swap),
            (script.invent, Self::Invent),
            (script.cross, Self::Cross),
            (script.mislay, Self::Mislay),
        ];
        choose(&lies, rng)
    }
}

impl Script {
    /// How long this request is worked on.
    pub(super) fn wait(&self, rng: &mut Xoshiro256PlusPlus) -> Duration {
        self.latency + if self.jitter.is_zero() { Duration::ZERO } else { self.jitter.mul_f64(rng.random()) }
    }
}

/// A request that waits for another one to swap answers with.
pub(super) struct Stranger {
    facts: Facts,
    gets: oneshot::Sender<Facts>,
}

/// Longest wait for another request.
const PATIENCE: Duration = Duration::from_secs(1);

impl Stranger {
    /// Waits for the next request and takes its answer; without one it keeps its own.
    pub(super) async fn wait(place: &RefCell<Option<Self>>, facts: Facts) -> Facts {
        let (gets, other) = oneshot::channel();
        let own = facts.clone();
        *place.borrow_mut() = Some(Self { facts, gets });
        match timeout(PATIENCE, other).await {
            Ok(Ok(other)) => other,
            _ => own,
        }
    }

    /// Swaps with a request that waits, if one does.
    pub(super) fn meet(place: &RefCell<Option<Self>>, facts: Facts) -> Facts {
        match place.borrow_mut().take() {
            // it may have given up in the same instant; then nobody is swapped
            Some(stranger) => match stranger.gets.send(facts) {
                Ok(()) => stranger.facts,
                Err(facts) => facts,
            },
            None => facts,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_xoshiro::rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn errors_of_a_tenant_are_nobody_elses() {
        let errors = |tenant| Script { errors: Some(Error { status: 503, share: 1.0, tenant }), ..Script::default() };
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut fate = |script: &Script, tenant: &str| Fate::draw(script, tenant, &mut rng);
        assert_eq!(fate(&errors(Some(7)), "tenant-0007"), Fate::Error(503));
        assert_eq!(fate(&errors(Some(7)), "tenant-0070"), Fate::Answer);
        assert_eq!(fate(&errors(None), "tenant-0070"), Fate::Error(503));
    }
}
