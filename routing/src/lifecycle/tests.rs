//! Every pair of states, every limit, every refusal's words.

use super::*;
use crate::{change::Fleet, table::Scope};

/// The state machine drawn once more, by hand: rows are "from", columns "to", in the order of [`STATES`].
const DRAWN: [[bool; 6]; 6] = {
    const O: bool = false;
    const X: bool = true;
    [
        // creating active draining ready failed deleted
        [O, X, O, O, X, X], // creating
        [O, O, X, O, O, O], // active
        [O, X, O, X, O, X], // draining
        [O, X, O, O, X, X], // ready
        [X, O, O, O, O, X], // failed
        [O, O, O, O, O, O], // deleted
    ]
};

#[test]
fn every_pair_of_states_is_allowed_or_refused_as_drawn() {
    for (row, from) in STATES.into_iter().enumerate() {
        for (column, to) in STATES.into_iter().enumerate() {
            assert_eq!(check(from, to).is_ok(), DRAWN[row][column], "{from} → {to}");
        }
    }
    assert_eq!(TRANSITIONS.len(), DRAWN.iter().flatten().filter(|allowed| **allowed).count());
}

#[test]
fn a_refusal_lists_what_is_allowed_instead() {
    let cases = [
        (
            State::Active,
            State::Deleted,
            "active → deleted is not allowed; from active a stamp may become draining (scale-in signal or drain)",
        ),
        (
            State::Draining,
            State::Draining,
            "it is draining already; from draining a stamp may become ready (connections closed and jobs finished), \
             active (drain cancelled), deleted (deleted by force)",
        ),
        (State::Deleted, State::Active, "deleted → active is not allowed; deleted is final"),
    ];
    for (from, to, expected) in cases {
        assert_eq!(check(from, to).unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_blocked_operation_is_refused_by_name() {
    let refused = permit(State::Draining, Operation::Configure).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "\"change configuration\" is blocked while it is draining; blocked in this state: assign new tenants, change \
         infrastructure, deploy, scale, change configuration"
    );
    for state in STATES {
        let routes = matches!(state, State::Active | State::Draining);
        assert_eq!(permit(state, Operation::RouteTraffic).is_ok(), routes, "{state}");
    }
    assert!(permit(State::Active, Operation::Deploy).is_ok());
    assert!(permit(State::Draining, Operation::AssignTenants).is_err(), "a draining stamp takes no new tenants");
}

#[test]
fn states_read_as_they_are_written() {
    for state in STATES {
        assert_eq!(state.as_str().parse(), Ok(state));
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
    for bad in ["", "activ", "active ", "ready\n", "ñ"] {
        assert_eq!(bad.parse::<State>(), Err(InvalidState), "{bad:?}");
    }
}

fn stamp(state: State, since: Millis) -> Stamp {
    let id = StampId::parse("synaxis-weu-001").unwrap();
    Stamp {
        region: crate::id::Region::parse("weu").unwrap(),
        placement_key: id.clone(),
        id,
        state,
        since,
        weight: 100,
        dedicated: false,
        endpoint: "https://weu-001.stamp.internal:8443".into(),
        ramp: None,
        deadlines: [].into(),
        warnings: vec![],
        labels: [].into(),
        ext: serde_json::Map::new(),
    }
}

#[test]
fn a_state_is_overdue_at_its_limit_and_not_a_millisecond_before() {
    let since = 1_768_000_000_000;
    let cases = [
        (State::Creating, 30 * MINUTE, Some("created")),
        (State::Draining, 40 * MINUTE, Some(DRAINED)),
        (State::Draining, 45 * MINUTE, Some(STUCK)),
        (State::Ready, 72 * HOUR, Some("retired")),
        (State::Failed, HOUR, Some("cleaned_up")),
        (State::Deleted, 30 * 24 * HOUR, Some("forgotten")),
        (State::Active, 10_000 * HOUR, None),
    ];
    for (state, after, expected) in cases {
        let stamp = stamp(state, since);
        let at = overdue_stamp(&stamp, since + after).map(|overdue| overdue.limit);
        let before = overdue_stamp(&stamp, since + after - 1).map(|overdue| overdue.limit);
        assert_eq!(at, expected, "{state}");
        assert_ne!(before, expected.or(Some("something")), "{state}");
    }
}

#[test]
fn a_deadline_of_its_own_counts_instead_of_the_limit() {
    let mut stamp = stamp(State::Draining, 0);
    stamp.deadlines.insert(DRAINED.into(), 60 * MINUTE);
    stamp.deadlines.insert(STUCK.into(), 65 * MINUTE);
    assert_eq!(overdue_stamp(&stamp, 59 * MINUTE), None);
    let late = overdue_stamp(&stamp, 62 * MINUTE).unwrap();
    assert_eq!((late.limit, late.late, late.due), (DRAINED, 2 * MINUTE, Due::Become(State::Ready)));
    assert_eq!(late.to_string(), "draining for too long, 2 min over the limit: should be ready by now");
    assert_eq!(overdue_stamp(&stamp, 65 * MINUTE).unwrap().due, Due::Flag);
}

#[test]
fn hostile_instants_do_not_overflow() {
    assert_eq!(overdue_stamp(&stamp(State::Creating, Millis::MAX), 5), None);
    assert!(overdue_stamp(&stamp(State::Creating, 0), Millis::MAX).is_some());
}

#[test]
fn every_overdue_stamp_is_named_once() {
    let regions = vec![crate::id::Region::parse("weu").unwrap()];
    let mut table = Fleet::blank(regions, Scope::Region, crate::table::Seed(7), 16).unwrap().table;
    table.stamps = vec![stamp(State::Draining, 0), stamp(State::Active, 0), stamp(State::Failed, 0)];
    let late = overdue(&table, 50 * MINUTE);
    assert_eq!(late.iter().map(|o| o.limit).collect::<Vec<_>>(), [STUCK]);
}
