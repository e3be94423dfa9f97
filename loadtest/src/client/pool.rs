//! The kept connections to one entry. They take turns, so that all of them are in use.
//!
//! Invariant: a request that finds no idle connection waits here, and its time runs; the schedule does not wait for it.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    net::SocketAddr,
    rc::Rc,
};

use tokio::sync::oneshot;

use super::{http1, job::Job, sample::End, shift::Shift};

pub(super) struct Pool {
    /// Which entry, and where it is.
    pub(super) entry: usize,
    pub(super) address: SocketAddr,
    /// Most connections; a load without kept connections has none.
    pub(super) size: usize,
    /// Connections that exist or are being opened.
    open: Cell<usize>,
    idle: RefCell<VecDeque<oneshot::Sender<Job>>>,
    /// Requests without a connection; bounded by their time limit, because each leaves when it is over.
    waiting: RefCell<VecDeque<Job>>,
    /// Links opened before the load begins.
    pub(super) spare: RefCell<Vec<http1::Link>>,
}

impl Pool {
    pub(super) fn new(entry: usize, address: SocketAddr, size: usize) -> Self {
        Self {
            entry,
            address,
            size,
            open: Cell::new(0),
            idle: RefCell::default(),
            waiting: RefCell::default(),
            spare: RefCell::default(),
        }
    }

    /// Gives a request to the connection that has been idle longest, to a new one, or to the queue.
    pub(super) fn take(self: &Rc<Self>, shift: &Rc<Shift>, job: Job) {
        let mut job = job;
        loop {
            let Some(idle) = self.idle.borrow_mut().pop_front() else { break };
            match idle.send(job) {
                Ok(()) => return,
                // it has ended since
                Err(back) => job = back,
            }
        }
        if self.open.get() < self.size {
            http1::keep(shift, self, None, Some(job));
        } else {
            job.queue();
            self.waiting.borrow_mut().push_back(job);
        }
    }

    /// The next request that waits and still has time.
    pub(super) fn next(&self) -> Option<Job> {
        self.expire();
        self.waiting.borrow_mut().pop_front()
    }

    /// Ends what has waited for too long. All have the same limit, so those in front are the first.
    pub(super) fn expire(&self) {
        loop {
            let Some(job) = self.waiting.borrow_mut().pop_front_if(|job| job.left().is_zero()) else { return };
            job.end(&End::Broken("backlog"), "");
        }
    }

    /// A place in the queue of idle connections.
    pub(super) fn park(&self) -> oneshot::Receiver<Job> {
        let (sender, receiver) = oneshot::channel();
        self.idle.borrow_mut().push_back(sender);
        receiver
    }

    pub(super) fn opened(&self) {
        self.open.set(self.open.get() + 1);
    }

    /// A connection has ended; somebody may be waiting for one.
    pub(super) fn closed(self: &Rc<Self>, shift: &Rc<Shift>) {
        self.open.set(self.open.get().saturating_sub(1));
        if let Some(job) = self.next() {
            self.take(shift, job);
        }
    }

    /// Ends whatever still waits.
    pub(super) fn give_up(&self) {
        for job in self.waiting.take() {
            job.end(&End::Broken("backlog"), "");
        }
    }
}
