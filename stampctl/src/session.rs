//! The one way of every changing verb: look → edit → show → publish if unchanged → wait.
//!
//! Invariant: what is published was computed from exactly the head that the store still holds, passed the gate that
//! every proxy applies ([`synaxis_routing::sanity::admit`]), and was shown. `--dry-run` and `plan` are the same way without
//! its last step. After a question was answered the edit is made anew: a ramp must not start while somebody was thinking.

mod report;

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use synaxis_routing::{
    bundle::{Bundle, Head},
    change::{Changed, Fleet, Guards, Refused},
    digest::Digest,
    placement::Placement,
    sanity::{self, Current},
    store::{LogEntry, Mode, PublishError, Store},
    table::Millis,
    traffic::Traffic,
    version::Version,
};

use report::Report;

use crate::{
    args::Global,
    config::Config,
    failure::Failure,
    output::{self, Format},
    plan::{self, Intent, Plan},
    policy, traffic, wait,
};

/// An open store and what was said for all verbs.
pub(crate) struct Session {
    pub(crate) store: Store,
    /// Where proxies count requests by tenant, if that was said.
    pub(crate) traffic: Option<Traffic>,
    pub(crate) guards: Guards,
    pub(crate) said: Global,
    pub(crate) intent: Intent,
}

/// What the store holds at one instant.
pub(crate) struct Seen {
    /// The head's exact bytes: what a publication replaces.
    pub(crate) head: Option<Bytes>,
    /// The newest version that any proxy ever confirmed in this store.
    pub(crate) acked: Version,
    /// The store's clock; the host's for stores without one.
    pub(crate) now: Millis,
    /// The table, as far as it can be read.
    pub(crate) table: Result<Readable, Failure>,
}

/// A table that could be read.
pub(crate) struct Readable {
    pub(crate) head: Head,
    pub(crate) bundle: Bundle,
    pub(crate) fleet: Fleet,
}

impl Seen {
    /// The table, or why there is none.
    pub(crate) fn readable(self) -> Result<(Readable, Millis), Failure> {
        let now = self.now;
        self.table.map(|readable| (readable, now))
    }

    /// The fleet, if there is a table that can be read.
    pub(crate) fn fleet(&self) -> Option<&Fleet> {
        self.table.as_ref().ok().map(|readable| &readable.fleet)
    }
}

impl Session {
    pub(crate) fn open(said: Global, intent: Intent) -> Result<Self, Failure> {
        let config = Config::read(said.config.as_deref())?;
        let url = said.store.clone().or(config.store).ok_or_else(|| {
            Failure::Usage(
                "no store: say --store redis://HOST:PORT (or file:DIRECTORY), or set SYNAXIS_ROUTING_STORE".to_owned(),
            )
        })?;
        let prefix = said.key_prefix.clone().or(config.key_prefix).unwrap_or_else(|| "synaxis".to_owned());
        let store = Store::open(&url, &prefix).map_err(|error| Failure::Usage(error.to_string()))?;
        if matches!(store, Store::Memory(_)) {
            return Err(Failure::Usage(
                "a memory: store lives inside one proxy; it has no table to operate".to_owned(),
            ));
        }
        let limits = said.limits_store.clone().or(config.limits_store);
        let below = said.limits_key_prefix.clone().or(config.limits_key_prefix).unwrap_or_else(|| "synaxis".to_owned());
        let traffic = limits.map(|url| Traffic::open(&url, &below)).transpose();
        let traffic = traffic.map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(Self { store, traffic, guards: config.guards, said, intent })
    }

    pub(crate) fn format(&self) -> Format {
        self.said.output
    }

    /// Reads the store. A table that is missing or damaged is part of the answer; a store that is away is not.
    pub(crate) async fn look(&self) -> Result<Seen, Failure> {
        let glance = self.store.glance().await.map_err(away)?;
        let now = glance.now.unwrap_or_else(host_now);
        let table = match &glance.head {
            None => Err(Failure::NotFound(
                "the store holds no table: `stampctl init --regions …` creates one in a new fleet; if proxies are \
                 running, the store lost it: `stampctl recover`"
                    .to_owned(),
            )),
            Some(bytes) => self.read(bytes).await,
        };
        Ok(Seen { head: glance.head, acked: glance.acked, now, table })
    }

    async fn read(&self, bytes: &Bytes) -> Result<Readable, Failure> {
        let damaged = |why: String| {
            Failure::failed(format!(
                "the table in the store cannot be read: {why}; `stampctl recover` puts back a proxy's"
            ))
        };
        let head = Head::parse(bytes).map_err(|refusal| damaged(refusal.to_string()))?;
        let bundle = self.store.fetch(&head, bytes, None).await.map_err(|error| damaged(error.to_string()))?;
        let decoded = bundle.decode().map_err(|refusal| damaged(refusal.to_string()))?;
        let fleet = Fleet { table: decoded.table, tenants: decoded.tenants };
        Ok(Readable { head: decoded.head, bundle, fleet })
    }

    /// The table, or why there is none.
    pub(crate) async fn table(&self) -> Result<(Readable, Millis), Failure> {
        self.look().await?.readable()
    }

    /// An edit of the current table. Gives the published fleet; `None` if nothing was published.
    pub(crate) async fn change(
        &self,
        edit: impl Fn(&Fleet, Millis) -> Result<Changed, Refused>,
    ) -> Result<Option<Fleet>, Failure> {
        let seen = self.look().await?;
        self.change_from(seen, edit).await
    }

    /// An edit of a table that was looked at.
    pub(crate) async fn change_from(
        &self,
        seen: Seen,
        edit: impl Fn(&Fleet, Millis) -> Result<Changed, Refused>,
    ) -> Result<Option<Fleet>, Failure> {
        let mode = if self.said.no_proxies { Mode::NoProxies } else { Mode::Ordinary };
        self.publish(seen, mode, |seen| match &seen.table {
            Ok(readable) => edit(&readable.fleet, seen.now).map_err(Edit::Refused),
            Err(_) => Err(Edit::Unreadable),
        })
        .await
    }

    /// The whole way, from what was seen to the report.
    pub(crate) async fn publish(
        &self,
        mut seen: Seen,
        mode: Mode,
        edit: impl Fn(&Seen) -> Result<Changed, Edit>,
    ) -> Result<Option<Fleet>, Failure> {
        if let Intent::Apply(planned) = &self.intent {
            let now = head_version(&seen).unwrap_or_default();
            if planned.base != now {
                return Err(plan::overtaken(self, planned, now).await);
            }
        }
        let mut ready = match self.consider(&seen, &edit) {
            Ok(ready) => ready,
            Err(Edit::Refused(Refused::Nothing(why))) => return self.nothing(&seen, &why),
            Err(Edit::Refused(refused)) => return Err(refused.into()),
            Err(Edit::Unreadable) => return Err(seen.table.err().unwrap_or_else(unreadable)),
            Err(Edit::Failed(failure)) => return Err(failure),
        };
        if matches!(self.intent, Intent::Plan)
            && let Some(served) = traffic::if_known(self, seen.fleet(), seen.now).await
        {
            ready.plan.count(&ready.changed, &seen, &served)?;
        }
        self.show(&ready);
        // what is put back is what proxies hold already, whatever the store says of it
        let judge = |ready: &Ready| match mode {
            Mode::Recover => Ok(()),
            _ => ready.plan.within(self.said.max_moved.unwrap_or(plan::MAX_MOVED)),
        };
        match &self.intent {
            Intent::Plan => return self.planned(ready, judge),
            Intent::Apply(planned) if *planned != ready.plan.id => return Err(plan::differs(planned, &ready.plan.id)),
            Intent::Apply(_) | Intent::Publish => judge(&ready)?,
        }
        if self.said.dry_run {
            output::note("dry run: nothing was published");
            return self.finish(Report::of(ready, false), None);
        }
        // a plan was looked at before
        let asks = matches!(self.intent, Intent::Publish) && !self.said.yes && output::can_ask();
        if asks {
            if !output::confirm(&format!("Publish {}?", ready.changed.fleet.version())) {
                return Err(Failure::failed("nothing was published"));
            }
            let fresh = self.look().await?;
            if fresh.head != seen.head {
                return Err(raced());
            }
            ready = self.consider(&fresh, &edit).map_err(|edit| match edit {
                Edit::Refused(refused) => refused.into(),
                Edit::Unreadable => unreadable(),
                Edit::Failed(failure) => failure,
            })?;
            judge(&ready)?;
            seen = fresh;
        }
        let version = ready.changed.fleet.version();
        let entry = LogEntry {
            at: seen.now,
            who: self.who(),
            what: ready.changed.summary.clone(),
            why: self.said.because.clone(),
            version,
        };
        let published = self.store.publish(seen.head.as_ref(), &ready.bundle, &entry, mode).await.map_err(refused)?;
        let fleet = ready.changed.fleet.clone();
        let head = Head::parse(&ready.bundle.head)?;
        let mut report = Report::of(ready, true);
        report.warnings.extend(published.warning.inspect(|warning| output::note(&format!("warning: {warning}"))));
        if self.format() == Format::Table {
            output::line(&format!("published {version}"));
        }
        if self.said.no_wait {
            return self.finish(report, Some(fleet));
        }
        let acknowledged = wait::for_proxies(self, version, &head.digest).await?;
        if self.format() == Format::Table {
            output::line(&acknowledged.to_string());
        }
        let verdict = acknowledged.verdict(self.said.timeout);
        report.proxies = Some(acknowledged);
        let fleet = self.finish(report, Some(fleet))?;
        verdict.map(|()| fleet)
    }

    /// Makes the edit, everything that is published of it, and what it moves.
    fn consider(&self, seen: &Seen, edit: impl Fn(&Seen) -> Result<Changed, Edit>) -> Result<Ready, Edit> {
        let changed = self.force(edit(seen)?)?;
        let (bundle, after) = prepare(&changed, seen)?;
        let plan = Plan::of(&changed, &after, seen)?;
        Ok(Ready { changed, bundle, plan })
    }

    /// Ends a plan: its name, and whether it would be refused as it stands.
    fn planned(&self, ready: Ready, judge: impl Fn(&Ready) -> Result<(), Failure>) -> Result<Option<Fleet>, Failure> {
        let verdict = judge(&ready);
        if self.format() == Format::Table {
            output::line(&format!("plan {}; publish it with: stampctl apply {0} and this command", ready.plan.id));
        }
        let mut report = Report::of(ready, false);
        report.refused = verdict.as_ref().err().map(ToString::to_string);
        self.finish(report, None)?;
        verdict.map(|()| None)
    }

    fn force(&self, changed: Changed) -> Result<Changed, Failure> {
        match &self.said.force_shrink {
            Some(reason) => Ok(changed.forced(reason)?),
            None => Ok(changed),
        }
    }

    /// Says that everything is as asked already.
    pub(crate) fn nothing(&self, seen: &Seen, why: &str) -> Result<Option<Fleet>, Failure> {
        let version = seen.fleet().map(Fleet::version).unwrap_or_default().to_string();
        if self.format() == Format::Table {
            output::line(&format!("nothing to change: {why}"));
        }
        let report = Report {
            version,
            summary: format!("nothing to change: {why}"),
            differences: vec![],
            more_differences: 0,
            warnings: vec![],
            moves: None,
            requests: None,
            plan: None,
            refused: None,
            published: false,
            dry_run: self.said.dry_run,
            proxies: None,
        };
        self.finish(report, None)
    }

    /// The difference, before it is published.
    fn show(&self, ready: &Ready) {
        let changed = &ready.changed;
        if self.format() == Format::Table {
            output::line(&format!("{} → {}", changed.summary, changed.fleet.version()));
            for difference in &changed.differences {
                output::line(&format!("  {difference}"));
            }
            if changed.more > 0 {
                output::line(&format!("  and {} more", changed.more));
            }
            ready.plan.words().lines().for_each(|line| output::line(&format!("  {line}")));
        }
        for warning in &changed.warnings {
            output::note(&format!("warning: {warning}"));
        }
    }

    fn finish(&self, mut report: Report, fleet: Option<Fleet>) -> Result<Option<Fleet>, Failure> {
        report.dry_run = self.said.dry_run;
        self.format().print(&report, |_| String::new())?;
        Ok(fleet)
    }

    /// Who the history names: what was said, else the user and the host.
    fn who(&self) -> String {
        let user = || std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "unknown".into());
        let host = || {
            let named = std::env::var("HOSTNAME").or_else(|_| std::fs::read_to_string("/etc/hostname"));
            named.map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
        };
        let who = self.said.who.clone().unwrap_or_else(|| format!("{}@{}", user(), host()));
        output::clean(&who).chars().take(128).collect()
    }
}

/// Why an edit gave nothing.
pub(crate) enum Edit {
    Refused(Refused),
    /// There is no table to edit; why is known.
    Unreadable,
    /// What came of it cannot be published.
    Failed(Failure),
}

impl From<Failure> for Edit {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// An edit, ready to be published.
struct Ready {
    changed: Changed,
    bundle: Bundle,
    plan: Plan,
}

impl From<Refused> for Edit {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// The version of a head, also when its documents cannot be read.
pub(crate) fn head_version(seen: &Seen) -> Option<Version> {
    seen.head.as_ref().and_then(|bytes| Head::parse(bytes).ok()).map(|head| head.version())
}

/// The bytes to publish, after the gate that every proxy applies to them, and the table as that gate built it.
fn prepare(changed: &Changed, seen: &Seen) -> Result<(Bundle, Placement), Failure> {
    let write_id = format!("{:016x}{:016x}", random()?, random()?);
    let Fleet { table, tenants } = &changed.fleet;
    let bundle = Bundle::encode(table, tenants, &write_id)?;
    let current = seen.fleet().map(|fleet| {
        let had_taker = fleet.table.takers().next().is_some();
        Current { version: fleet.version(), digest: Digest::default(), had_taker }
    });
    let placement = sanity::admit(&bundle, current.as_ref(), &policy::widest(table))?;
    Ok((bundle, placement))
}

/// Builds the table for questions to it.
pub(crate) fn place(fleet: Fleet) -> Result<Placement, Failure> {
    Ok(Placement::build(fleet.table, fleet.tenants)?)
}

/// 64 bits from the operating system: seeds and the names of publications.
pub(crate) fn random() -> Result<u64, Failure> {
    getrandom::u64().map_err(|error| Failure::failed(format!("the operating system gives no random numbers: {error}")))
}

pub(crate) fn host_now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

pub(crate) fn away(error: impl std::fmt::Display) -> Failure {
    Failure::failed(error.to_string())
}

fn unreadable() -> Failure {
    Failure::failed("the table cannot be read")
}

fn raced() -> Failure {
    Failure::Race("somebody else published in between; nothing was published: look at it and repeat".to_owned())
}

/// A refused publication, with its cure.
fn refused(error: PublishError) -> Failure {
    match error {
        PublishError::Lost => raced(),
        other => Failure::failed(other.to_string()),
    }
}
