//! One process of a fleet: its store, a worker's link, its cells.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;

use super::Server;
use crate::{
    cells::Caps,
    fleet::{
        cell::{Cell, Take},
        cells::Cells,
        link::Link,
        plan::Plan,
        script,
        store::Store,
        verdict::{By, OnStoreFailure, Verdict},
    },
    key::{Keys, Secret},
    quota::Quota,
};

/// Longest that anything may take that happens by itself.
pub(in crate::fleet) const SOON: Duration = Duration::from_secs(10);

pub(in crate::fleet) fn plan(requests: u32, seconds: u64, burst: u32) -> Arc<Plan> {
    Arc::new(Plan::new(&Quota::new(requests, Duration::from_secs(seconds), Some(burst)).unwrap(), 8))
}

pub(in crate::fleet) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < end, "not soon: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(in crate::fleet) struct Process {
    pub(in crate::fleet) store: Arc<Store>,
    pub(in crate::fleet) link: Link,
    pub(in crate::fleet) cells: Cells,
    keys: Keys,
    secret: Secret,
    background: JoinHandle<()>,
}

impl Process {
    /// `epoch` is when its clock starts; the deadline in milliseconds.
    pub(in crate::fleet) fn of(client: redis::Client, deadline: u64, epoch: Instant) -> Self {
        let clock = Arc::new(move || 1_000_000_000 + epoch.elapsed().as_nanos() as u64);
        let store = Store::new(client, "t", Duration::from_millis(deadline), clock);
        let background = tokio::spawn(Arc::clone(&store).run());
        let secret = Secret::new([9; 32]);
        let (link, keys) = (Link::start(Arc::clone(&store)), Keys::new(&secret, "user"));
        Self { store, link, cells: Cells::new(Caps::default()), keys, secret, background }
    }

    pub(in crate::fleet) async fn start(server: &Server, deadline: u64, epoch: Instant) -> Self {
        let process = Self::of(server.client(), deadline, epoch);
        process.connected().await;
        process
    }

    pub(in crate::fleet) async fn connected(&self) {
        eventually("it is connected", || !self.store.is_away() && self.link.is_connected()).await;
    }

    pub(in crate::fleet) fn cell(&self, plan: &Arc<Plan>, user: &[u8]) -> Arc<Cell> {
        let key = self.keys.key(self.secret.tenant("acme"), &[user]);
        self.cells.get(key, &self.keys, plan, self.store.now(), |_| script::key("t", "acme", "user", &[user]))
    }

    /// What a proxy does.
    pub(in crate::fleet) async fn request(&self, plan: &Arc<Plan>, user: &[u8], policy: OnStoreFailure) -> Verdict {
        let (cell, at) = (self.cell(plan, user), self.store.now());
        match cell.take(plan, at) {
            Take::Taken(taken) => Verdict { taken: Ok(taken), by: By::Store, at },
            Take::Denied(standing) => Verdict { taken: Err(standing), by: By::Store, at },
            Take::Empty => self.link.take(&cell, plan, policy, Duration::ZERO).await,
        }
    }

    pub(in crate::fleet) async fn passes(&self, plan: &Arc<Plan>, user: &[u8]) -> bool {
        self.request(plan, user, OnStoreFailure::Share).await.taken.is_ok()
    }

    /// Without a word to anybody.
    pub(in crate::fleet) fn crash(self) {
        self.background.abort();
    }
}
