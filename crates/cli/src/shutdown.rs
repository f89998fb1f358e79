//! When to stop: SIGINT or SIGTERM once to drain, twice to leave at once; SIGHUP to reload.

use crate::exit::Failure;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals a serving command listens to.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Finish what is in flight, then end.
    Stop,
    /// Read the configuration again.
    Reload,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the process may not install handlers.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let one = |kind| {
            signal(kind).map_err(|e| Failure::environment(format_args!("cannot listen to signals: {e}")))
        };
        Ok(Self {
            interrupt: one(SignalKind::interrupt())?,
            terminate: one(SignalKind::terminate())?,
            hangup: one(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }
}
