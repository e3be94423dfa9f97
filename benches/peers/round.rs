//! The rounds: every contestant in turn, the CPU time before and after.

use std::time::Duration;

use crate::{
    contestant::Contestant,
    load::{Load, Seen},
    origin::Origin,
};

/// One contestant in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) cpu: Duration,
    pub(crate) seen: Seen,
    /// Requests that reached the origin although none should have.
    pub(crate) misses: u64,
}

impl Measured {
    /// CPU time per completed request in microseconds; `None` if a request failed or missed or none completed, because
    /// then the work done was another.
    pub(crate) fn cost(&self) -> Option<f64> {
        let sound = self.seen.errors == 0 && self.misses == 0 && self.seen.requests > 0;
        #[expect(clippy::cast_precision_loss, reason = "requests stay far below 2^52")]
        sound.then(|| self.cpu.as_secs_f64() * 1e6 / self.seen.requests as f64)
    }

    pub(crate) fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "requests stay far below 2^52")]
        let requests = self.seen.requests as f64;
        requests / self.seen.duration.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Tells whoever waits how it went.
    pub(crate) fn tell(&self, which: &str, name: &str) {
        match self.cost() {
            Some(cost) => eprintln!("{which}: {name} {cost:.2} µs, {:.0} requests/s", self.rate()),
            None => eprintln!("{which}: {name} is void, {} errors, {} misses", self.seen.errors, self.misses),
        }
    }
}

/// All counted rounds, each with the contestants in their order.
pub(crate) fn all(
    contestants: &[Contestant],
    load: &Load,
    origin: &Origin,
    count: u32,
) -> anyhow::Result<Vec<Vec<Measured>>> {
    let mut rounds = Vec::new();
    for index in 0..=count {
        let which = if index == 0 { "warm-up".to_owned() } else { format!("round {index}") };
        let mut round = Vec::new();
        for contestant in contestants {
            let measured = measure(contestant, load, origin)?;
            measured.tell(&which, &contestant.name);
            round.push(measured);
        }
        if index > 0 {
            rounds.push(round);
        }
    }
    Ok(rounds)
}

fn measure(contestant: &Contestant, load: &Load, origin: &Origin) -> anyhow::Result<Measured> {
    let servers = contestant.start()?;
    let asked = if load.hits { origin.requests()? } else { 0 };
    let before = servers.cpu()?;
    let seen = load.run(contestant.port)?;
    let cpu = servers.cpu()?.saturating_sub(before);
    // the question itself is one
    let misses = if load.hits { origin.requests()?.saturating_sub(asked + 1) } else { 0 };
    Ok(Measured { cpu, seen, misses })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_with_an_error_has_no_cost() {
        let seen = Seen { requests: 1_000, errors: 0, duration: Duration::from_secs(2), ..Seen::default() };
        let good = Measured { cpu: Duration::from_millis(20), seen, misses: 0 };
        assert_eq!(good.cost(), Some(20.0));
        assert!((good.rate() - 500.0).abs() < 1e-9);
        assert_eq!(Measured { seen: Seen { errors: 1, ..seen }, ..good }.cost(), None);
        assert_eq!(Measured { seen: Seen { requests: 0, ..seen }, ..good }.cost(), None);
        assert_eq!(Measured { misses: 1, ..good }.cost(), None);
    }
}
