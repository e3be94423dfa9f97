use super::*;

fn take(limiter: &Limiter, user: Key, now: u64) -> Option<Taken> {
    match limiter.decide(user, now) {
        Decision::Allowed(taken) => Some(taken),
        Decision::Refused(_) => None,
    }
}

#[test]
fn a_refund_never_gives_more_than_the_burst() {
    let limiter = limiter(quota(10, 1, 5));
    let user = key("a", 1);
    let taken: Vec<_> = (0..5).map(|_| take(&limiter, user, SECOND).unwrap()).collect();
    for taken in taken {
        limiter.refund(user, taken, 2 * SECOND);
    }
    assert_eq!(limiter.peek(user, 2 * SECOND).remaining(), 5);
    assert_eq!(admitted(&limiter, [2 * SECOND; 20]).len(), 5);
}

#[test]
fn what_has_come_back_by_itself_is_not_given_back_again() {
    let limiter = limiter(quota(60, 60, 1));
    let user = key("a", 1);
    let first = take(&limiter, user, SECOND).unwrap();
    // the bucket is full again, and emptied again
    assert!(limiter.decide(user, 2 * SECOND).is_allowed());
    limiter.refund(user, first, 2 * SECOND);
    assert!(!limiter.decide(user, 2 * SECOND).is_allowed());
}

#[test]
fn what_was_charged_to_a_shared_cell_goes_back_there() {
    for caps in [Caps { tenant_keys_max: 0, ..Caps::default() }, Caps { keys_max: 0, ..Caps::default() }] {
        let limiter = limiter_in(quota(5, 60, 1), caps);
        let taken = take(&limiter, key("a", 1), SECOND).unwrap();
        assert!(take(&limiter, key("a", 2), SECOND).is_none());
        limiter.refund(key("a", 1), taken, SECOND);
        assert!(take(&limiter, key("a", 2), SECOND).is_some());
    }
}

proptest! {
    #[test]
    fn who_is_refunded_at_once_was_never_there(quota in quotas(), steps in steps(0), refunded in any::<u64>()) {
        let (limiter, without) = (limiter(quota), limiter(quota));
        let (user, mut now) = (key("a", 1), 1);
        for (at, by) in steps.into_iter().enumerate() {
            now = step(now, quota, by).max(now);
            if refunded >> (at % 64) & 1 == 1 {
                if let Some(taken) = take(&limiter, user, now) {
                    limiter.refund(user, taken, now);
                }
            } else {
                prop_assert_eq!(limiter.decide(user, now), without.decide(user, now));
            }
        }
    }

    #[test]
    fn a_late_refund_admits_no_more_than_the_quota(quota in quotas(), steps in steps(0), refunded in any::<u64>()) {
        let limiter = limiter(quota);
        let (user, mut now, mut pending, mut passed) = (key("a", 1), 1, None, Vec::new());
        for (at, by) in steps.into_iter().enumerate() {
            now = step(now, quota, by).max(now);
            // one at a time waits for its refund, whatever passes meanwhile
            if let Some(taken) = pending.take_if(|_| refunded >> (at % 64) & 1 == 1) {
                limiter.refund(user, taken, now);
            }
            match limiter.decide(user, now) {
                Decision::Allowed(taken) if pending.is_none() && refunded >> (at % 63) & 1 == 0 => pending = Some(taken),
                Decision::Allowed(_) => passed.push(now),
                Decision::Refused(_) => {}
            }
        }
        prop_assert!(most(&passed, window(quota)) <= quota.requests() as usize);
    }

    #[test]
    fn late_refunds_of_many_lengthen_a_window_by_their_delay(
        quota in quotas(), steps in steps(0), refunded in any::<u64>(), waiting in 1..20_usize
    ) {
        let limiter = limiter(quota);
        let (user, mut now, mut delay) = (key("a", 1), 1, 0);
        let (mut pending, mut passed) = (Vec::new(), Vec::new());
        for (at, by) in steps.into_iter().enumerate() {
            now = step(now, quota, by).max(now);
            match limiter.decide(user, now) {
                Decision::Allowed(taken) if refunded >> (at % 64) & 1 == 1 => pending.push((now, taken)),
                Decision::Allowed(_) => passed.push(now),
                Decision::Refused(_) => {}
            }
            if pending.len() > waiting {
                let (since, taken) = pending.swap_remove(at % waiting);
                delay = delay.max(now - since);
                limiter.refund(user, taken, now);
            }
        }
        prop_assert!(most(&passed, window(quota)) <= bound(quota, window(quota) + delay));
    }
}
