//! The waker of one upstream connection, which passes wakes on to whichever request uses the connection now.
//!
//! A connection keeps the waker that it was last polled with. If that were the waker of a request's own task, the next
//! request to take the connection from the pool would wake the task of the last one, and a connection that is told
//! something by its own user would wake its user for nothing: two needless polls of cold state a request.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Wake, Waker},
};

/// Where wakes go.
#[derive(Default)]
pub struct Relay {
    /// Somebody has gone to sleep and waits for the connection.
    waiting: AtomicBool,
    /// A wake came while nobody waited.
    missed: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Relay {
    /// The connection is about to be polled: what it was told until now, it will see.
    pub fn begin(&self) {
        self.waiting.store(false, Relaxed);
        self.missed.store(false, Relaxed);
    }

    /// The connection was polled; from now on wakes go to `task`, and one that came meanwhile goes at once.
    pub fn wait(&self, task: &Waker) {
        let mut held = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *held {
            Some(waker) => waker.clone_from(task),
            none => *none = Some(task.clone()),
        }
        drop(held);
        self.waiting.store(true, Relaxed);
        if self.missed.load(Relaxed) {
            task.wake_by_ref();
        }
    }

    /// Its user is awake and will poll it if it has to.
    pub fn attend(&self) {
        self.waiting.store(false, Relaxed);
    }

    /// Nobody uses the connection.
    pub fn leave(&self) {
        self.waiting.store(false, Relaxed);
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.waiting.load(Relaxed) {
            self.missed.store(true, Relaxed);
            return;
        }
        let held = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = &*held {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn task() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (Arc::clone(&count), Waker::from(count))
    }

    #[test]
    fn only_who_waits_is_woken() {
        let relay = Arc::new(Relay::default());
        let connection = Waker::from(Arc::clone(&relay));
        let ((first, first_task), (second, second_task)) = (task(), task());
        relay.begin();
        relay.wait(&first_task);
        connection.wake_by_ref();
        assert_eq!(first.0.load(Relaxed), 1);
        relay.leave();
        connection.wake_by_ref();
        relay.begin();
        relay.wait(&second_task);
        assert_eq!((first.0.load(Relaxed), second.0.load(Relaxed)), (1, 0), "what was said in the pool wakes nobody");
        connection.wake();
        assert_eq!((first.0.load(Relaxed), second.0.load(Relaxed)), (1, 1));
    }

    #[test]
    fn a_wake_during_the_poll_is_not_lost() {
        let relay = Arc::new(Relay::default());
        let connection = Waker::from(Arc::clone(&relay));
        let (count, task) = task();
        relay.begin();
        connection.wake_by_ref();
        relay.wait(&task);
        assert_eq!(count.0.load(Relaxed), 1, "a connection that yields is polled again");
    }
}
