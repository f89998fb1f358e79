//! What travels with a delivery through every hop: trace, deadline, cancellation.

use crate::clock::Nanos;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The context of one delivery. The deadline is made per record when its handling starts, never inherited
/// from an earlier one; on the wire it travels as remaining time.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// When the handler must have answered, by the process's monotonic clock.
    pub deadline: Option<Nanos>,
    /// Cancelled when the partition is lost or the drain's bound has passed.
    pub cancel: Cancel,
}

/// A [`CancellationToken`] that comes into being when it is first looked at: most handlers answer at once and
/// never ask, and a token costs an allocation and several locks. Clones are one token, as its own are.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<OnceLock<CancellationToken>>);

impl Cancel {
    /// Whether nobody else has it and nobody ever looked at it: as good as new.
    pub fn is_new(&mut self) -> bool {
        Arc::get_mut(&mut self.0).is_some_and(|token| token.get().is_none())
    }
}

impl Deref for Cancel {
    type Target = CancellationToken;

    fn deref(&self) -> &CancellationToken {
        self.0.get_or_init(CancellationToken::new)
    }
}

impl From<CancellationToken> for Cancel {
    fn from(token: CancellationToken) -> Self {
        Self(Arc::new(OnceLock::from(token)))
    }
}

impl Context {
    /// Time left at `now`; `None` where there is no deadline.
    pub fn remaining(&self, now: Nanos) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_are_one_token_whoever_looks_first() {
        let (one, other) = (Cancel::default(), Context::default());
        let clone = other.cancel.clone();
        other.cancel.cancel();
        assert!(clone.is_cancelled() && other.clone().cancel.is_cancelled() && !one.is_cancelled());
    }

    #[test]
    fn what_was_shared_or_looked_at_is_not_new() {
        let mut cancel = Cancel::default();
        assert!(cancel.is_new());
        let mut clone = cancel.clone();
        assert!(!cancel.is_new() && !clone.is_new());
        drop(clone);
        assert!(cancel.is_new());
        // A token taken out of it outlives it, so it never counts as new again.
        let token = CancellationToken::clone(&cancel);
        assert!(!cancel.is_new());
        cancel.cancel();
        assert!(token.is_cancelled() && !Cancel::from(token).is_new());
    }
}
