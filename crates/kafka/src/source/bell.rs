//! Wakes a poll that waits: the client rings when it has something, a waker when somebody else has.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

#[derive(Clone, Copy, Default)]
struct Rung {
    client: bool,
    waker: bool,
}

/// See the module.
#[derive(Default)]
pub(super) struct Bell {
    rung: Mutex<Rung>,
    heard: Condvar,
}

impl Bell {
    /// The client has something.
    pub(super) fn ring(&self) {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner).client = true;
        self.heard.notify_all();
    }

    /// The waiting poll, or the next one, is to return.
    pub(super) fn wake(&self) {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner).waker = true;
        self.heard.notify_all();
    }

    /// The client is about to be looked at.
    pub(super) fn hush(&self) {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner).client = false;
    }

    /// Waits at most `wait` for either; true where the waker asked to return, a single time.
    pub(super) fn wait(&self, wait: Duration) -> bool {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let quiet = |rung: &mut Rung| !rung.client && !rung.waker;
        let (mut rung, _) =
            self.heard.wait_timeout_while(rung, wait, quiet).unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut rung.waker)
    }
}
