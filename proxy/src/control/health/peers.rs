//! What the probes of other stamps say, and whether that is believed.
//!
//! Invariant: of four stamps and more that take requests, when more than half look bad, the fault is probably here: then
//! none is unwell for what probes say (panic).

use std::collections::BTreeMap;

use synaxis_routing::{id::StampId, table::State};

use super::is_asked;
use crate::{
    dataplane::{Peer, Snapshot},
    upstream::health::checks::{Checks, Limits},
};

/// Fewest stamps of which a majority that looks bad is not believed.
const PANIC_MIN: usize = 4;

/// The other stamps that are asked.
#[derive(Debug, Default)]
pub(super) struct Peers {
    known: BTreeMap<StampId, Known>,
    panics: bool,
}

#[derive(Debug)]
struct Known {
    checks: Checks,
    state: State,
}

/// The other stamps that are asked by a snapshot.
pub(super) fn asked(snapshot: &Snapshot) -> impl Iterator<Item = (&StampId, &Peer)> {
    snapshot.fleet.iter().flat_map(|fleet| {
        let others = fleet.placement.stamps_by_id().filter(|index| Some(*index) != fleet.me);
        others.filter_map(|index| {
            let stamp = fleet.placement.stamp(index);
            let peer = fleet.peers.get(usize::from(index.0))?.as_ref()?;
            // no request goes there either
            (is_asked(stamp.state) && !peer.target.tls).then_some((&stamp.id, peer))
        })
    })
}

impl Peers {
    /// Takes on whom a snapshot names. Those that have just become Active.
    pub(super) fn follow(&mut self, snapshot: &Snapshot) -> Vec<StampId> {
        let state = |id: &StampId| {
            let placement = &snapshot.fleet.as_ref()?.placement;
            Some(placement.stamp(placement.find(id.as_str())?).state)
        };
        let now = asked(snapshot).filter_map(|(id, _)| Some((id.clone(), state(id)?)));
        self.take(now.collect())
    }

    fn take(&mut self, states: BTreeMap<StampId, State>) -> Vec<StampId> {
        self.known.retain(|id, _| states.contains_key(id));
        let mut activated = Vec::new();
        for (id, state) in states {
            let known = self.known.entry(id.clone()).or_insert(Known { checks: Checks::default(), state });
            if known.state != State::Active && state == State::Active {
                activated.push(id);
            }
            known.state = state;
        }
        activated
    }

    /// Takes the result of a probe. Says what is believed of the stamp from now on if that has changed.
    pub(super) fn record(&mut self, stamp: &StampId, passed: bool, limits: &Limits) -> Option<bool> {
        self.known.get_mut(stamp)?.checks.record(passed, limits)
    }

    /// Tells the data plane who is unwell.
    pub(super) fn publish(&mut self, snapshot: &Snapshot) {
        let panics = self.panics();
        if std::mem::replace(&mut self.panics, panics) != panics {
            if panics {
                tracing::warn!(
                    "most other stamps fail their health checks: the fault is probably here, they get requests"
                );
            } else {
                tracing::info!("most other stamps pass their health checks again: they are believed");
            }
        }
        let peers =
            snapshot.fleet.iter().flat_map(|fleet| fleet.peers.iter().enumerate().map(move |peer| (fleet, peer)));
        for (fleet, (index, peer)) in peers {
            let (Some(peer), Some(stamp)) = (peer, fleet.placement.table().stamps.get(index)) else { continue };
            peer.guard.set_unwell(self.is_unwell(&stamp.id));
        }
    }

    fn is_unwell(&self, stamp: &StampId) -> bool {
        !self.panics && self.known.get(stamp).is_some_and(|known| !known.checks.is_usable())
    }

    fn panics(&self) -> bool {
        let takers = || self.known.values().filter(|known| matches!(known.state, State::Active | State::Draining));
        let bad = takers().filter(|known| !known.checks.is_usable()).count();
        takers().count() >= PANIC_MIN && bad * 2 > takers().count()
    }

    /// How many are asked.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// How many of them pass.
    pub(super) fn passing(&self) -> usize {
        self.known.values().filter(|known| known.checks.verdict() == Some(true)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { healthy: 2, unhealthy: 3 };

    fn id(number: usize) -> StampId {
        StampId::parse(&format!("synaxis-weu-{number:03}")).unwrap()
    }

    fn peers(states: &[State]) -> Peers {
        let mut peers = Peers::default();
        peers.take(states.iter().enumerate().map(|(number, state)| (id(number), *state)).collect());
        peers
    }

    fn fail(peers: &mut Peers, numbers: &[usize]) -> Vec<usize> {
        for number in numbers {
            for _ in 0..3 {
                peers.record(&id(*number), false, &LIMITS);
            }
        }
        peers.panics = peers.panics();
        (0..peers.len()).filter(|number| peers.is_unwell(&id(*number))).collect()
    }

    #[test]
    fn a_majority_of_four_that_looks_bad_is_not_believed() {
        use State::{Active, Draining, Ready};
        for (states, bad, unwell) in [
            (&[Active; 3][..], &[0, 1, 2][..], &[0, 1, 2][..]),
            (&[Active; 4], &[0, 1], &[0, 1]),
            (&[Active; 4], &[0, 1, 2], &[]),
            (&[Active, Active, Draining, Draining], &[1, 2, 3], &[]),
            (&[Active; 5], &[0, 1], &[0, 1]),
            (&[Active; 5], &[0, 1, 2], &[]),
            // those that take no requests yet count for nothing
            (&[Active, Active, Active, Ready, Ready], &[0, 3, 4], &[0, 3, 4]),
            (&[Active, Active, Active, Active, Ready], &[0, 1, 4], &[0, 1, 4]),
        ] {
            assert_eq!(fail(&mut peers(states), bad), unwell, "{bad:?} of {states:?}");
        }
    }

    #[test]
    fn who_is_no_longer_named_is_forgotten_and_who_becomes_active_is_told() {
        let mut peers = peers(&[State::Ready, State::Active]);
        assert_eq!(fail(&mut peers, &[0, 1]), [0, 1]);
        let named = |states: &[State]| states.iter().enumerate().map(|(i, state)| (id(i), *state)).collect();
        assert_eq!(peers.take(named(&[State::Active, State::Active])), [id(0)]);
        assert_eq!(peers.take(named(&[State::Active])), []);
        assert!(peers.is_unwell(&id(0)), "what its probes say stays");
        peers.take(named(&[]));
        assert_eq!(peers.take(named(&[State::Active, State::Active])), [], "whoever is new is asked soon anyway");
        assert!(!peers.is_unwell(&id(0)));
        assert_eq!(peers.record(&id(9), false, &LIMITS), None);
    }
}
