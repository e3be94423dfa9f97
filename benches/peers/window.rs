//! A measurement that begins once the load is established: all connections are open and every tenant has been seen.
//!
//! The requests between two instants are counted at the origin, because the load generator tells its figures only at the
//! end.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    contestant::Contestant,
    load::{Load, Seen},
    origin::Origin,
    round::Measured,
};

/// Longest that the load may take to be established.
const ESTABLISH_MAX: Duration = Duration::from_secs(120);
/// How long the load may go on after it should have been stopped.
const LATE_MAX: Duration = Duration::from_secs(30);
/// How often it is looked at whether the load is established.
const LOOK: Duration = Duration::from_millis(50);

/// Measures for the load's duration, once there were at least so many requests.
pub(crate) fn measure(contestant: &Contestant, load: &Load, origin: &Origin, warm: u64) -> anyhow::Result<Measured> {
    let servers = contestant.start()?;
    let idle = servers.descriptors()?;
    let start = origin.requests()?;
    let sending = load.start(contestant.port, ESTABLISH_MAX + load.duration + LATE_MAX)?;
    let end = Instant::now() + ESTABLISH_MAX;
    let wanted = usize::try_from(load.connections)?;
    loop {
        let open = servers.descriptors()?.saturating_sub(idle);
        let answered = origin.requests()?.saturating_sub(start);
        if open >= wanted && answered >= warm.max(u64::from(load.connections)) {
            break;
        }
        anyhow::ensure!(
            Instant::now() < end,
            "{}: after {ESTABLISH_MAX:?} there are {open} of {wanted} connections and {answered} of {warm} requests",
            contestant.name
        );
        thread::sleep(LOOK);
    }
    let (began, cpu, requests) = (Instant::now(), servers.cpu()?, origin.requests()?);
    thread::sleep(load.duration);
    let (duration, cpu) = (began.elapsed(), servers.cpu()?.saturating_sub(cpu));
    let requests = origin.requests()?.saturating_sub(requests);
    Ok(Measured { cpu, seen: Seen { requests, duration, ..sending.stop()? }, misses: 0 })
}
