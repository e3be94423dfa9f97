//! The script in Rust: the same steps on the same numbers.

use super::{Answer, Ask, micros};
use crate::fleet::plan::{LEASE_LIFE, Plan};

const HOLDERS_MAX: usize = 64;
const SLOT: u64 = 10_000_000;

/// One key.
#[derive(Clone, Debug, Default)]
pub(in crate::fleet) struct Model {
    state: Option<State>,
}

#[derive(Clone, Debug)]
struct State {
    at: u64,
    missing: f64,
    interval: f64,
    burst: f64,
    holders: Vec<Holder>,
}

#[derive(Clone, Debug)]
struct Holder {
    id: u64,
    tokens: f64,
    expires: u64,
    seq: u64,
    slot: u64,
    current: f64,
    previous: f64,
}

impl Model {
    /// Tokens in leases.
    pub(in crate::fleet) fn outstanding(&self, now: u64) -> u32 {
        let holders = self.state.iter().flat_map(|state| &state.holders);
        holders.filter(|holder| holder.expires > now).map(|holder| holder.tokens as u32).sum()
    }

    /// Tokens in this holder's lease.
    pub(in crate::fleet) fn held(&self, holder: u64, now: u64) -> u32 {
        let mut holders = self.state.iter().flat_map(|state| &state.holders);
        holders.find(|it| it.id == holder && it.expires > now).map_or(0, |it| it.tokens as u32)
    }

    /// `now` in microseconds.
    pub(in crate::fleet) fn ask(&mut self, plan: &Plan, holder: u64, ask: Ask, now: u64) -> Answer {
        let life = micros(LEASE_LIFE);
        let (interval, burst) = (plan.interval() as f64, f64::from(plan.burst()));
        let (window, leased_max) = (micros(plan.quota().window()) as f64, f64::from(plan.leased_max()));
        let fill = (burst * interval / 1000.0).ceil();
        let cost = |tokens: f64| (tokens * interval / 1000.0).ceil();
        let worth = |tokens: f64| (tokens * interval / 1000.0).floor();
        let slot = now / SLOT;
        let weight = 1.0 - (now % SLOT) as f64 / SLOT as f64;

        let (mut missing, mut changed, mut holders) = (0.0_f64, true, Vec::new());
        if let Some(state) = &self.state {
            missing = (state.missing - now.saturating_sub(state.at) as f64).max(0.0);
            changed = state.at > now;
            if (state.interval, state.burst) != (interval, burst) {
                changed = true;
                let grown = burst - state.burst;
                missing = (missing / state.interval * interval + grown * interval / 1000.0).ceil().max(0.0);
                if interval >= state.interval {
                    missing = missing.min(fill);
                }
            }
            missing = missing.min(fill + window);
            for mut it in state.holders.clone() {
                it.expires = it.expires.min(now + life);
                if it.expires <= now {
                    it.tokens = 0.0;
                }
                if it.slot + 1 == slot {
                    (it.current, it.previous) = (0.0, it.current);
                } else if it.slot < slot {
                    (it.current, it.previous) = (0.0, 0.0);
                }
                if it.id == holder || it.tokens > 0.0 || it.current > 0.0 || it.previous > 0.0 {
                    holders.push(it);
                }
            }
        }
        let mut mine = holders.iter().position(|it| it.id == holder);
        if mine.is_none() && holders.len() < HOLDERS_MAX {
            holders.push(Holder { id: holder, tokens: 0.0, expires: 0, seq: 0, slot, current: 0.0, previous: 0.0 });
            mine = Some(holders.len() - 1);
        }

        if ask.credit > 0 && now >= ask.credit_at && now - ask.credit_at <= micros(plan.slack()) {
            missing = (missing - worth(f64::from(ask.credit))).max(0.0);
            if let Some(mine) = mine {
                holders[mine].current = (holders[mine].current - f64::from(ask.credit)).max(0.0);
            }
            changed = true;
        }
        if ask.debit > 0 {
            missing = (missing + cost(f64::from(ask.debit))).min(fill + window);
            changed = true;
        }
        let available = |missing: f64| {
            let mut tokens = ((fill - missing) * 1000.0 / interval).floor().max(0.0);
            while tokens > 0.0 && missing + cost(tokens) > fill {
                tokens -= 1.0;
            }
            tokens
        };
        let mut spent = 0.0;
        if ask.direct > 0 {
            spent = f64::from(ask.direct).min(available(missing));
            missing += cost(spent);
            changed |= spent > 0.0;
        }

        let (mut kept, mut granted) = (0.0, 0.0);
        if let Some(mine) = mine.filter(|&mine| ask.seq > holders[mine].seq) {
            let others = holders.iter().enumerate().filter(|&(at, _)| at != mine).map(|(_, it)| it);
            let live = others.clone().filter(|it| it.tokens > 0.0 || it.current > 0.0).count() as f64 + 1.0;
            let others: f64 = others.map(|it| it.tokens).sum();
            kept = holders[mine].tokens.min(f64::from(ask.remaining));
            if ask.target == 0 {
                missing = (missing - worth(kept)).max(0.0);
                holders[mine].current = (holders[mine].current - kept).max(0.0);
                kept = 0.0;
            } else {
                let room = (leased_max - others).max(0.0);
                kept = kept.min(room);
                let fair = (leased_max / live).floor();
                let part = (available(missing) / live).ceil();
                let target = f64::from(ask.target);
                granted = (target - kept).min(room - kept).min(fair - kept).min(part).max(0.0);
                missing += cost(granted);
            }
            let it = &mut holders[mine];
            (it.seq, it.tokens, it.expires) = (ask.seq, kept + granted, now + life);
            changed = true;
        }
        let mut recent = 0.0;
        if let Some(mine) = mine {
            holders[mine].current += spent + granted;
            let part = |it: &Holder| it.current + it.previous * weight;
            let all: f64 = holders.iter().fold(0.0, |all, it| all + it.current + it.previous * weight);
            if all > 0.0 {
                recent = (part(&holders[mine]) * 1_000_000.0 / all).floor();
            }
        }
        if changed {
            holders.iter_mut().for_each(|it| it.slot = slot);
            self.state = Some(State { at: now, missing, interval, burst, holders });
        }
        Answer {
            now,
            direct: spent as u32,
            kept: kept as u32,
            granted: granted as u32,
            missing: missing as u64,
            recent: recent as u32,
        }
    }
}
