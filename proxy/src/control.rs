//! The inputs and the one door through which they change what the data plane reads.
//!
//! [`apply`] builds snapshots aside and publishes them with one store; nobody else writes. If building fails, what was
//! there stays, and [`status`] says why. All of it runs on a thread of its own: a slow store or disk never shows in a
//! request.

pub mod alone;
pub mod apply;
mod cache;
pub mod cache_store;
pub mod config_file;
pub mod degradation;
pub mod dependencies;
mod failover;
pub mod health;
mod leave;
pub mod limits_store;
pub mod peer_table;
pub mod probe;
pub mod routing_table;
pub mod status;
mod traffic;

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    thread::{self, JoinHandle},
};

use tokio::runtime::{Builder, LocalOptions};

use crate::dataplane::DataPlane;
use config_file::{ConfigFile, Follower};
use dependencies::Dependencies;
use health::HealthChecks;
use routing_table::RoutingTable;
use status::Status;

/// Why control cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The table of this stamp alone is refused; a fault of ours.
    #[error("the table of this stamp alone is refused: {0}")]
    Alone(#[from] Box<synaxis_routing::sanity::Refusal>),
    /// The store's URL is not understood.
    #[error(transparent)]
    Store(#[from] synaxis_routing::store::StoreError),
}

/// Where this process can be reached, for its acks.
#[derive(Clone, Copy, Debug)]
pub struct Here {
    /// Admin listener.
    pub admin: SocketAddr,
    /// Peer listener, if there is one.
    pub peer: Option<SocketAddr>,
}

/// Control, ready to run.
pub struct Control {
    plane: Arc<DataPlane>,
    status: Arc<Status>,
    table: Option<RoutingTable>,
    config: Option<Follower>,
}

/// Loads the first table, as far as one can be had without waiting; `file` is where the settings came from.
///
/// # Errors
/// [`StartError`].
pub fn prepare(
    plane: Arc<DataPlane>,
    status: Arc<Status>,
    here: Here,
    file: Option<ConfigFile>,
) -> Result<Control, StartError> {
    let settings = Arc::clone(&plane.snapshot.load().settings);
    let table = match &settings.routing {
        Some(routing) => Some(RoutingTable::open(Arc::clone(&plane), Arc::clone(&status), routing, here)?),
        None => {
            alone::publish(&plane, &status)?;
            None
        }
    };
    let config = file.map(|file| Follower::new(Arc::clone(&plane), Arc::clone(&status), file));
    Ok(Control { plane, status, table, config })
}

impl Control {
    /// Runs on a thread of its own until the process has drained or is cut.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub fn start(self) -> io::Result<JoinHandle<()>> {
        let Self { plane, status, table, config } = self;
        thread::Builder::new().name("control".into()).spawn(move || {
            let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
                Ok(runtime) => runtime,
                Err(error) => return tracing::error!(%error, "control cannot start its runtime"),
            };
            runtime.block_on(async {
                let store = table.as_ref().map(|table| table.store().clone());
                if let Some(store) = &store {
                    failover::begin(&plane, store);
                }
                if let Some(table) = table {
                    crate::tasks::spawn_local(table.run());
                }
                if let Some(config) = config {
                    crate::tasks::spawn_local(config.run());
                }
                crate::tasks::spawn_local(degradation::page::follow(Arc::clone(&plane)));
                crate::tasks::spawn_local(Dependencies::new(Arc::clone(&plane), status).run());
                crate::tasks::spawn_local(HealthChecks::new(Arc::clone(&plane)).run());
                crate::tasks::spawn_local(traffic::follow(Arc::clone(&plane)));
                crate::tasks::spawn_local(cache::tidy(Arc::clone(&plane)));
                leave::leave(&plane).await;
                if let Some(store) = &store {
                    failover::end(&plane, store).await;
                }
            });
        })
    }
}
