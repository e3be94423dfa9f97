//! The routing tables that a world publishes, and when each of them was in force.
//!
//! Invariant: a table is **live** from the instant before it was published to the instant after every proxy has applied
//! its successor: within that time a proxy may decide by it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use futures_util::future::join_all;
use synaxis_routing::{
    bundle::{Bundle, Head},
    change::{Fleet, Refused, Register},
    id::StampId,
    placement::Placement,
    store::{LogEntry, Mode, Store},
    table::Seed,
    version::Version,
};
use tokio::time::sleep;

use super::{PATIENCE, admin};

/// The seed of every world's slots.
pub const SEED: Seed = Seed(7);

/// A table while it was live.
#[derive(Clone)]
pub struct Epoch {
    /// The built table.
    pub placement: Arc<Placement>,
    /// From when.
    pub from: Instant,
    /// Until when; `None`: still.
    pub until: Option<Instant>,
}

/// What was published and when it was live.
pub struct Tables {
    store: Store,
    epochs: Mutex<Vec<Epoch>>,
    /// Held by whoever writes to the store until proxies have seen what was written.
    pub(crate) writing: tokio::sync::Mutex<()>,
}

/// Milliseconds since the Unix epoch: the clock of ramps.
#[must_use]
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A fleet with one more stamp, which takes tenants or only forwards.
///
/// # Errors
/// The change is refused.
pub(super) fn with_stamp(fleet: &Fleet, id: &StampId, endpoint: &str, takes: bool) -> Result<Fleet, Refused> {
    let new = Register {
        id: id.clone(),
        endpoint: endpoint.to_owned(),
        weight: 100,
        dedicated: false,
        labels: BTreeMap::new(),
    };
    let fleet = fleet.register(new, unix_ms())?.fleet;
    if takes { Ok(fleet.activate(id, 0, unix_ms())?.fleet) } else { Ok(fleet) }
}

impl Tables {
    pub(super) fn new(store: Store) -> Self {
        Self { store, epochs: Mutex::default(), writing: tokio::sync::Mutex::default() }
    }

    /// Every table so far, oldest first.
    #[must_use]
    pub fn epochs(&self) -> Vec<Epoch> {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) async fn init(&self, fleet: &Fleet) -> anyhow::Result<()> {
        self.publish(None, fleet, Mode::Init).await
    }

    /// The newest table that was published, whatever the store shows.
    ///
    /// # Errors
    /// None was.
    pub fn newest(&self) -> anyhow::Result<Fleet> {
        let epochs = self.epochs();
        let newest = epochs.last().context("no table was published")?;
        Ok(Fleet { table: newest.placement.table().clone(), tenants: newest.placement.tenants().clone() })
    }

    /// Changes the table that the store shows and publishes it.
    ///
    /// # Errors
    /// The change or the publication is refused.
    pub async fn edit(&self, change: impl FnOnce(&Fleet, u64) -> Result<Fleet, Refused>) -> anyhow::Result<()> {
        let bytes = self.look().await?.context("the store is empty")?;
        let head = Head::parse(&bytes)?;
        let decoded = self.store.fetch(&head, &bytes, None).await?.decode()?;
        let fleet = Fleet { table: decoded.table, tenants: decoded.tenants };
        self.publish(Some(&bytes), &change(&fleet, unix_ms())?, Mode::NoProxies).await
    }

    /// The head that the store shows. One that was restarted may close a connection or two from before.
    async fn look(&self) -> anyhow::Result<Option<bytes::Bytes>> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.store.glance().await {
                Ok(glance) => return Ok(glance.head),
                Err(error) if Instant::now() > end => return Err(error.into()),
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Puts the newest table back in a new term, over whatever the store shows.
    ///
    /// # Errors
    /// The publication is refused.
    pub async fn recover(&self) -> anyhow::Result<()> {
        let bytes = self.look().await?;
        let shown = bytes.as_ref().and_then(|bytes| Head::parse(bytes).ok()).map_or(0, |head| head.version().epoch);
        let mut fleet = self.newest()?;
        fleet.table.term += 1;
        fleet.table.epoch = fleet.table.epoch.max(shown) + 1;
        self.publish(bytes.as_ref(), &fleet, Mode::Recover).await
    }

    async fn publish(&self, expected: Option<&bytes::Bytes>, fleet: &Fleet, mode: Mode) -> anyhow::Result<()> {
        let placement = Arc::new(Placement::build(fleet.table.clone(), fleet.tenants.clone())?);
        let bundle = Bundle::encode(&fleet.table, &fleet.tenants, &format!("world-{}", fleet.version()))?;
        let (who, what) = ("synaxis-loadtest".to_owned(), "a change by the scenario".to_owned());
        let entry = LogEntry { at: unix_ms(), who, what, why: String::new(), version: fleet.version() };
        let from = Instant::now();
        self.store.publish(expected, &bundle, &entry, mode).await?;
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner).push(Epoch { placement, from, until: None });
        Ok(())
    }

    /// Waits until all these proxies have applied the newest table; its predecessors are no longer live then.
    ///
    /// # Errors
    /// One has not, in [`PATIENCE`].
    pub async fn applied(&self, admins: &[SocketAddr]) -> anyhow::Result<()> {
        let version = self.newest()?.version();
        let end = Instant::now() + PATIENCE;
        loop {
            let seen = join_all(admins.iter().map(|admin| applied(*admin))).await;
            if seen.iter().all(|seen| seen.is_some_and(|seen| seen >= version)) {
                break;
            }
            anyhow::ensure!(Instant::now() < end, "not every proxy has applied {version}: {seen:?}");
            sleep(Duration::from_millis(10)).await;
        }
        let now = Instant::now();
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let older = epochs.iter_mut().filter(|epoch| epoch.placement.version() < version);
        older.filter(|epoch| epoch.until.is_none()).for_each(|epoch| epoch.until = Some(now));
        Ok(())
    }
}

/// The version that a proxy has applied.
async fn applied(admin: SocketAddr) -> Option<Version> {
    let answer = admin::get(admin, "/routing").await.ok()?;
    let routing: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    routing["version"].as_str()?.parse().ok()
}
