//! Wakes one waiting thread.

use crate::mutex::lock;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Two flags that a thread can wait for: something changed, and somebody wants the wait to end.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    flags: Mutex<Flags>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    raised: bool,
    woken: bool,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Something changed.
    Raised,
    /// Somebody called [`Signal::wake`].
    Woken,
    /// Neither, for as long as was asked.
    Quiet,
}

impl Signal {
    /// Something changed.
    pub(crate) fn raise(&self) {
        lock(&self.flags).raised = true;
        self.changed.notify_all();
    }

    /// Ends the wait under way, or the next one, a single time.
    pub(crate) fn wake(&self) {
        lock(&self.flags).woken = true;
        self.changed.notify_all();
    }

    /// What changed until now will be seen by a look that follows: no wait need end for it.
    pub(crate) fn seen(&self) {
        lock(&self.flags).raised = false;
    }

    /// Waits until a flag is up or `wait` has passed, and takes it down.
    pub(crate) fn wait(&self, wait: Duration) -> Ended {
        let flags = lock(&self.flags);
        let (mut flags, _) = self
            .changed
            .wait_timeout_while(flags, wait, |flags| !flags.raised && !flags.woken)
            .unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut *flags) {
            Flags { woken: true, .. } => Ended::Woken,
            Flags { raised: true, .. } => Ended::Raised,
            Flags { .. } => Ended::Quiet,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_before_the_wait_ends_it_once() {
        let signal = Signal::default();
        signal.raise();
        signal.seen();
        signal.wake();
        assert_eq!(signal.wait(Duration::from_hours(1)), Ended::Woken);
        assert_eq!(signal.wait(Duration::ZERO), Ended::Quiet);
        signal.raise();
        assert_eq!(signal.wait(Duration::from_hours(1)), Ended::Raised);
        assert_eq!(signal.wait(Duration::ZERO), Ended::Quiet);
    }
}
