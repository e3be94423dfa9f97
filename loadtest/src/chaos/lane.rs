//! One direction of a connection: a reader that puts what comes into a queue, and a writer that takes it out when the
//! toxics let it. That they are two is why latency costs no throughput.
//!
//! Invariants: the queue holds at most [`QUEUE_BYTES_MAX`] and is the only way through, so that a hang holds ends as well
//! as bytes. An RST counts as something that passes, too: the one that a writer meets comes from the far side and goes
//! back through the queue of the other direction.

use std::{future::pending, sync::Arc};

use bytes::{Buf as _, Bytes};
use rand::RngExt as _;
use rand_xoshiro::Xoshiro256PlusPlus;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::tcp::{ReadHalf, WriteHalf},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{
    pace::{End, Pace, Step},
    toxics::Regime,
};

/// Bytes that are under way in one direction, each item counted with what it costs beside them.
const QUEUE_BYTES_MAX: usize = 1 << 20;
/// Bytes of an item.
const ITEM_BYTES_MAX: usize = 16 << 10;
/// What an item costs beside its bytes, about.
const ITEM_COST: usize = 128;

/// Something on its way.
pub(super) struct Item {
    pub(super) what: What,
    /// When it came.
    pub(super) came: Instant,
    /// Its part of the jitter, 0..1.
    pub(super) chance: f64,
    /// Its room in the queue, given back when it has passed.
    _room: Option<OwnedSemaphorePermit>,
}

/// What is on its way.
#[derive(Debug)]
pub(super) enum What {
    Data(Bytes),
    Fin,
    Reset,
}

impl Item {
    /// Something that came now.
    pub(super) fn new(what: What, chance: f64) -> Self {
        Self { what, came: Instant::now(), chance, _room: None }
    }

    /// What is left of it after so many bytes have passed.
    fn without(mut self, bytes: usize) -> Option<Self> {
        match &mut self.what {
            What::Data(data) => data.advance(bytes),
            What::Fin | What::Reset => return None,
        }
        matches!(&self.what, What::Data(data) if !data.is_empty()).then_some(self)
    }
}

/// The entry of a queue. It needs no bound of its own, since the reader asks for room.
pub(super) type Entry = mpsc::UnboundedSender<Item>;

/// Puts what comes into the queue, up to its end. Never an error, because ends pass through the queue as well.
pub(super) async fn read(mut from: ReadHalf<'_>, queue: Entry, mut rng: Xoshiro256PlusPlus) -> Result<(), End> {
    let room = Arc::new(Semaphore::new(QUEUE_BYTES_MAX));
    let mut buffer = vec![0; ITEM_BYTES_MAX];
    loop {
        let what = match from.read(&mut buffer).await {
            Ok(0) => What::Fin,
            Ok(bytes) => What::Data(Bytes::copy_from_slice(&buffer[..bytes])),
            Err(_) => What::Reset,
        };
        let mut item = Item::new(what, rng.random());
        if let What::Data(data) = &item.what {
            let cost = (data.len() + ITEM_COST) as u32;
            item._room = Arc::clone(&room).acquire_many_owned(cost).await.ok();
        }
        let more = matches!(item.what, What::Data(_));
        if queue.send(item).is_err() || !more {
            return Ok(());
        }
    }
}

/// Takes things out of the queue.
pub(super) struct Writer<'a> {
    to: WriteHalf<'a>,
    queue: mpsc::UnboundedReceiver<Item>,
    /// The queue of the other direction, until this one had its FIN.
    back: Option<Entry>,
    regime: watch::Receiver<Regime>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        to: WriteHalf<'a>,
        queue: mpsc::UnboundedReceiver<Item>,
        back: Entry,
        regime: watch::Receiver<Regime>,
    ) -> Self {
        Self { to, queue, back: Some(back), regime }
    }

    /// Returns when the FIN has passed and nothing can follow it any more.
    ///
    /// # Errors
    /// The connection ends before that.
    pub(super) async fn run(mut self) -> Result<(), End> {
        let mut pace = Pace::new(Instant::now());
        let mut head: Option<Item> = None;
        loop {
            let regime = self.regime.borrow_and_update().clone();
            match pace.step(&regime, head.as_ref(), Instant::now()) {
                Step::Idle => tokio::select! {
                    () = change(&mut self.regime) => {}
                    item = self.queue.recv() => match item {
                        Some(item) => head = Some(item),
                        None => return Ok(()),
                    },
                },
                Step::Hold => change(&mut self.regime).await,
                Step::Until(due) => tokio::select! {
                    () = change(&mut self.regime) => {}
                    () = sleep_until(due) => {}
                },
                Step::Write(bytes) => tokio::select! {
                    // a hang that is set while the far side does not read must win over it when it does
                    biased;
                    () = change(&mut self.regime) => {}
                    wrote = self.to.write(&bytes) => match wrote {
                        Ok(bytes) => {
                            pace.wrote(&regime.toxics, bytes, Instant::now());
                            head = head.and_then(|item| item.without(bytes));
                        }
                        Err(_) => return self.bounce().await,
                    },
                },
                Step::Finish => {
                    head = None;
                    if self.to.shutdown().await.is_err() {
                        return self.bounce().await;
                    }
                    self.back = None;
                }
                Step::End(end) => return Err(end),
            }
        }
    }

    /// The far side has reset the connection: that is for the other direction to tell. This one stands still.
    async fn bounce(self) -> Result<(), End> {
        if let Some(back) = &self.back {
            let _ = back.send(Item::new(What::Reset, 0.0));
        }
        pending().await
    }
}

/// Waits until other toxics are set.
pub(super) async fn change(regime: &mut watch::Receiver<Regime>) {
    if regime.changed().await.is_err() {
        // the proxy is gone, and this task goes with it
        pending().await
    }
}
