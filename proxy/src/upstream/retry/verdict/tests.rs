use super::*;

const ENDS: [End; 9] = [
    End::ConnectError,
    End::NoSocket,
    End::NotSent,
    End::Unprocessed,
    End::PeerBusy,
    End::HeadTimeout,
    End::AppReset,
    End::PeerReset,
    End::GatewayStatus,
];
const METHODS: [Method; 3] = [Method::Safe, Method::Keyed, Method::Unsafe];

/// A GET from a client whose first attempt at one of two endpoints was answered with 503.
const ASK: Ask = Ask {
    end: End::GatewayStatus,
    method: Method::Safe,
    body: Body::Unpolled,
    hop: Hop::First,
    target: Target::Another,
    attempts: 1,
    head_timeouts: 0,
    moved: false,
};

/// Every ask there is, with more attempts than there can be.
fn every(mut promise: impl FnMut(Ask, Decision)) {
    for end in ENDS {
        for method in METHODS {
            for body in [Body::Unpolled, Body::Replayable, Body::Gone] {
                for hop in [Hop::First, Hop::Second] {
                    for target in [Target::Another, Target::Same] {
                        for attempts in 1..=6 {
                            for head_timeouts in u32::from(end == End::HeadTimeout)..=attempts {
                                for moved in [false, true] {
                                    let ask = Ask { end, method, body, hop, target, attempts, head_timeouts, moved };
                                    promise(ask, verdict(&ask, &Limits::default(), 0.5));
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn may_be_executed(end: End) -> bool {
    matches!(end, End::HeadTimeout | End::AppReset | End::PeerReset | End::GatewayStatus)
}

fn is_retry(decision: Decision) -> bool {
    matches!(decision, Decision::Retry { .. })
}

/// One row: the decisions for a safe, a keyed and another method, each after the first attempt. `free` and `paid` are at
/// once to somebody else, `wait` is charged and after a pause; other words are reasons to stop.
fn check(end: End, hop: Hop, target: Target, expected: [&str; 3]) {
    let head_timeouts = u32::from(end == End::HeadTimeout);
    let found = METHODS.map(|method| {
        match verdict(&Ask { end, hop, target, method, head_timeouts, ..ASK }, &Limits::default(), 0.5) {
            Decision::Retry { after: Duration::ZERO, charged: false, to: Target::Another } => "free",
            Decision::Retry { after: Duration::ZERO, charged: true, to: Target::Another } => "paid",
            Decision::Retry { after, charged: true, to }
                if after == Limits::default().pause(1, 0.5) && to == target =>
            {
                "wait"
            }
            Decision::Stop(Reason::Method) => "method",
            Decision::Stop(Reason::Hop) => "hop",
            Decision::Stop(Reason::Target) => "target",
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(found, expected, "{end:?} {hop:?} {target:?}");
}

#[test]
fn the_first_hop_decides_by_the_table() {
    use Target::{Another, Same};
    for (end, target, expected) in [
        (End::ConnectError, Another, ["free", "free", "free"]),
        (End::ConnectError, Same, ["wait", "wait", "target"]),
        (End::NoSocket, Another, ["free", "free", "free"]),
        (End::NoSocket, Same, ["target", "target", "target"]),
        (End::NotSent, Another, ["free", "free", "free"]),
        (End::NotSent, Same, ["wait", "wait", "target"]),
        (End::Unprocessed, Another, ["free", "free", "free"]),
        (End::Unprocessed, Same, ["target", "target", "target"]),
        (End::PeerBusy, Another, ["paid", "paid", "paid"]),
        (End::PeerBusy, Same, ["target", "target", "target"]),
        (End::HeadTimeout, Another, ["wait", "wait", "method"]),
        (End::HeadTimeout, Same, ["target", "target", "method"]),
        (End::AppReset, Another, ["wait", "wait", "method"]),
        (End::AppReset, Same, ["wait", "wait", "method"]),
        (End::PeerReset, Another, ["free", "wait", "method"]),
        (End::PeerReset, Same, ["wait", "wait", "method"]),
        (End::GatewayStatus, Another, ["wait", "wait", "method"]),
        (End::GatewayStatus, Same, ["wait", "wait", "method"]),
    ] {
        check(end, Hop::First, target, expected);
    }
}

#[test]
fn the_second_hop_only_looks_for_somebody_who_can_take_it() {
    for end in ENDS {
        let (another, same) = match end {
            _ if may_be_executed(end) => ("hop", "hop"),
            End::PeerBusy => ("paid", "target"),
            _ => ("free", "target"),
        };
        check(end, Hop::Second, Target::Another, [another; 3]);
        check(end, Hop::Second, Target::Same, [same; 3]);
    }
}

#[test]
fn nothing_is_sent_again_once_a_part_of_its_body_is_gone() {
    every(|ask, decision| {
        assert_eq!(decision == Decision::Stop(Reason::BodyGone), ask.body == Body::Gone, "{ask:?}");
    });
}

#[test]
fn an_unsafe_request_that_may_have_been_executed_is_never_sent_again() {
    every(|ask, decision| {
        if ask.method == Method::Unsafe && may_be_executed(ask.end) {
            assert!(!is_retry(decision), "{ask:?}");
        }
    });
}

#[test]
fn a_second_hop_never_repeats_what_may_have_been_executed() {
    every(|ask, decision| {
        if ask.hop == Hop::Second && may_be_executed(ask.end) {
            assert!(!is_retry(decision), "{ask:?}");
        }
    });
}

#[test]
fn there_are_four_attempts_at_most() {
    every(|ask, decision| assert!(ask.attempts < 4 || !is_retry(decision), "{ask:?}"));
    for (attempts, pause) in [(1, 100), (2, 200), (3, 400)] {
        let after = Duration::from_millis(pause);
        let decision = verdict(&Ask { attempts, ..ASK }, &Limits::default(), 0.5);
        assert_eq!(decision, Decision::Retry { after, charged: true, to: Target::Another });
    }
    assert_eq!(verdict(&Ask { attempts: 4, ..ASK }, &Limits::default(), 0.5), Decision::Stop(Reason::Attempts));
}

#[test]
fn one_attempt_at_most_follows_a_head_timeout() {
    every(|ask, decision| {
        let earlier = ask.head_timeouts - u32::from(ask.end == End::HeadTimeout);
        assert!(earlier == 0 || !is_retry(decision), "{ask:?}");
    });
    let timed_out = Ask { end: End::HeadTimeout, attempts: 3, head_timeouts: 1, ..ASK };
    assert!(
        is_retry(verdict(&timed_out, &Limits::default(), 0.5)),
        "a timeout after two other failures leaves one attempt"
    );
    let again = Ask { attempts: 2, head_timeouts: 1, ..ASK };
    assert_eq!(verdict(&again, &Limits::default(), 0.5), Decision::Stop(Reason::HeadTimeout));
}

#[test]
fn only_what_nobody_executed_and_one_move_from_a_peer_are_outside_the_budget() {
    every(|ask, decision| {
        let Decision::Retry { charged: false, .. } = decision else { return };
        let is_untouched = matches!(ask.end, End::ConnectError | End::NoSocket | End::NotSent | End::Unprocessed);
        let is_move = ask.end == End::PeerReset && ask.method == Method::Safe && !ask.moved;
        assert!(is_untouched || is_move, "{ask:?}");
        assert_eq!(ask.target, Target::Another, "{ask:?}");
    });
    let again = Ask { end: End::PeerReset, moved: true, attempts: 2, ..ASK };
    assert!(
        matches!(verdict(&again, &Limits::default(), 0.5), Decision::Retry { charged: true, .. }),
        "the second move is charged"
    );
}

#[test]
fn nobody_is_sent_to_another_who_does_not_exist() {
    every(|ask, decision| {
        if let Decision::Retry { to: Target::Another, .. } = decision {
            assert_eq!(ask.target, Target::Another, "{ask:?}");
        }
    });
}

#[test]
fn asks_that_cannot_be_get_no_more_than_others() {
    let end = End::HeadTimeout;
    for (attempts, head_timeouts) in [(0, 0), (0, u32::MAX), (u32::MAX, 0), (u32::MAX, u32::MAX)] {
        let decision = verdict(&Ask { end, attempts, head_timeouts, ..ASK }, &Limits::default(), f64::INFINITY);
        assert_eq!(is_retry(decision), (attempts, head_timeouts) == (0, 0));
    }
}
