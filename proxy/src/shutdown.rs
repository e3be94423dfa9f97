//! Where a process stands on its way out: serving → lame duck → draining → cut.
//!
//! Invariant: the phase only rises. In lame duck everything is accepted and served, but `/readyz` fails and answers ask
//! clients to close; draining accepts nothing new; cut ends what is left.

use tokio::sync::watch;

/// The phases, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Ordinary operation.
    Serving,
    /// Told to stop: serves, but asks to be left.
    LameDuck,
    /// Accepts no new connections; finishes what it has.
    Draining,
    /// Ends what is left.
    Cut,
}

/// The phase, readable from every thread.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Sender<Phase>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(watch::Sender::new(Phase::Serving))
    }
}

impl Shutdown {
    /// The current phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Moves on to `phase`, unless it is already reached.
    pub fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let later = phase > *current;
            if later {
                *current = phase;
            }
            later
        });
    }

    /// Resolves once `phase` is reached.
    pub async fn reached(&self, phase: Phase) {
        let mut receiver = self.0.subscribe();
        // the sender lives in self, so waiting cannot fail
        let _ = receiver.wait_for(|current| *current >= phase).await;
    }
}
