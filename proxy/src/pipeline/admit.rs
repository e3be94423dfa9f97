//! Who is let in: by this stamp's limits, then by what stands before an upstream.
//!
//! Invariant: whoever is not let in has used up nothing.

use std::time::Instant;

use synaxis_config::settings::RateLimiting;

use super::{
    candidates::{Errand, Load},
    local_reply::LocalReply,
    rate_limit,
    visit::Outcome,
};
use crate::{
    dataplane::App,
    upstream::{
        breaker::Pass,
        concurrency::Permit,
        guard::{self, Guard, Limits},
        retry::verdict::End,
    },
};

/// A place, what is noted of the visit when it ends, and what its answer says of limits.
pub(super) type Admitted = (Permit, Pass, Option<Box<rate_limit::Told>>);

/// What a request has taken of this stamp's limits. It is spent, also by who goes away, unless it is given back.
pub(super) struct Spent<'a>(Option<Box<rate_limit::Check<'a>>>);

impl Spent<'_> {
    /// What the answer says of the tightest of them.
    pub(super) fn told(&self, settings: &RateLimiting) -> Option<Box<rate_limit::Told>> {
        self.0.as_ref()?.told(settings)
    }

    /// The request was served, or it was let in nowhere and has used up nothing.
    pub(super) fn settle(mut self, served: bool) {
        if !served {
            // a check that is dropped gives back
            self.0 = None;
        }
    }
}

impl Drop for Spent<'_> {
    fn drop(&mut self) {
        if let Some(check) = self.0.take() {
            check.spend();
        }
    }
}

/// What this stamp's limits, and then what stands before its app, say of a request.
pub(super) enum Admission<'a> {
    /// They have judged.
    Decided(Result<Admitted, guard::Denied>),
    /// A limit of the fleet cannot be judged without its store.
    Asks(Box<(rate_limit::Check<'a>, rate_limit::Question)>),
}

impl Errand<'_> {
    /// By this stamp's limits, and by what stands before its app. What is refused there has used up nothing.
    pub(super) fn admit(&self, app: &App, now: u64, load: &mut Load<'_>) -> Result<Admission<'_>, LocalReply> {
        if load.charged || self.snapshot.limits.spares(self.route) {
            let entered = self.enter(&app.guard, &app.limits, now, load);
            return Ok(Admission::Decided(entered.map(|(permit, pass)| (permit, pass, None))));
        }
        // filled in place: it has room for as many limits as a route can have
        let mut check = rate_limit::Check::default();
        let spent = self.worker.plane.clock.nanos(self.begins(load));
        if let Some(question) = check.go(self, load, spent, None)? {
            return Ok(Admission::Asks(Box::new((check, question))));
        }
        Ok(Admission::Decided(self.enter_charged(app, now, check, load)))
    }

    /// The same for a request that waits for the store in which the fleet counts.
    pub(super) async fn admit_later(
        &self,
        app: &App,
        waiting: Box<(rate_limit::Check<'_>, rate_limit::Question)>,
        load: &mut Load<'_>,
    ) -> Result<Result<Admitted, guard::Denied>, LocalReply> {
        let (mut check, mut question) = *waiting;
        // where there is a store, each worker has a link to it
        let link = self.worker.limits.as_ref().ok_or(LocalReply::Overload)?;
        let began = Instant::now();
        loop {
            let said = question.ask(link, began.elapsed()).await;
            let spent = said.at();
            match check.go(self, load, spent, Some(said)) {
                Ok(Some(next)) => question = next,
                decided => {
                    self.worker.sink.metrics.ratelimit.wait.record(began.elapsed().as_secs_f64());
                    decided?;
                    return Ok(self.enter_charged(app, self.worker.now(), check, load));
                }
            }
        }
    }

    /// What this stamp's limits alone say of a request that may need nobody at its app.
    pub(super) async fn limited(&self, load: &mut Load<'_>) -> Result<Spent<'_>, LocalReply> {
        if load.charged || self.snapshot.limits.spares(self.route) {
            return Ok(Spent(None));
        }
        // on the heap: it is kept while somebody else fetches the answer
        let mut check = Box::new(rate_limit::Check::default());
        let spent = self.worker.plane.clock.nanos(self.begins(load));
        let mut question = check.go(self, load, spent, None);
        let began = Instant::now();
        while let Ok(Some(asked)) = question {
            let link = self.worker.limits.as_ref().ok_or(LocalReply::Overload)?;
            let said = asked.ask(link, began.elapsed()).await;
            let spent = said.at();
            question = check.go(self, load, spent, Some(said));
            if !matches!(question, Ok(Some(_))) {
                self.worker.sink.metrics.ratelimit.wait.record(began.elapsed().as_secs_f64());
            }
        }
        match question {
            Ok(_) => Ok(Spent(Some(check))),
            Err(refused) => {
                if !std::mem::replace(&mut load.counted, true) {
                    self.worker.count(self.key, &self.tenant, true);
                }
                Err(refused)
            }
        }
    }

    fn enter_charged(
        &self,
        app: &App,
        now: u64,
        check: rate_limit::Check<'_>,
        load: &mut Load<'_>,
    ) -> Result<Admitted, guard::Denied> {
        let told = check.told(&self.snapshot.settings.rate_limiting);
        let entered = self.enter(&app.guard, &app.limits, now, load);
        load.charged = entered.is_ok();
        if entered.is_ok() {
            check.spend();
        }
        entered.map(|(permit, pass)| (permit, pass, told))
    }

    /// Counts it among its tenant's requests, unless another stamp may have it.
    pub(super) fn count(&self, admitted: &Result<Result<Admitted, guard::Denied>, LocalReply>, load: &mut Load<'_>) {
        let refused = match admitted {
            Ok(Ok(_)) => false,
            Ok(Err(denied)) if !denied.is_final() => return,
            Ok(Err(_)) | Err(_) => true,
        };
        if !load.counted {
            load.counted = true;
            self.worker.count(self.key, &self.tenant, refused);
        }
    }

    pub(super) fn enter(
        &self,
        guard: &Guard,
        limits: &Limits,
        now: u64,
        load: &Load<'_>,
    ) -> Result<(Permit, Pass), guard::Denied> {
        // the breaker first: what it refuses takes no place
        let pass = guard.pass(limits, self.key, now)?;
        let permit = guard.enter(limits, self.key)?;
        if load.tries.attempts() == 0 {
            guard.budget.request(now);
        }
        Ok((permit, pass))
    }

    /// Verdicts about the upstream let others have the request; verdicts about the tenant are final, or a limited or
    /// poisonous tenant would walk through the fleet.
    pub(super) fn refused(&self, denied: guard::Denied) -> Result<Outcome, LocalReply> {
        let end = match &denied {
            guard::Denied::Places(_) => End::PeerBusy,
            guard::Denied::Breaker(_) => End::Unprocessed,
        };
        if denied.is_final() {
            Err(LocalReply::Denied(denied))
        } else {
            Ok(Outcome::Untouched(end, LocalReply::Denied(denied)))
        }
    }
}
