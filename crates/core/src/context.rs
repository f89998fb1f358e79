//! What travels with a delivery through every hop: trace, deadline, cancellation.

use crate::clock::Nanos;
use std::ops::Deref;
use std::sync::atomic::{Ordering::Acquire, fence};
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
    /// Whether these two are all that is left of one token, and nobody ever looked at it: both are as good as new.
    pub fn are_new(one: &Self, other: &Self) -> bool {
        let alone = Arc::ptr_eq(&one.0, &other.0) && Arc::strong_count(&one.0) == 2;
        // The count was last changed by whoever dropped a third: what that one did is to be seen here.
        fence(Acquire);
        alone && one.0.get().is_none()
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
        let one = Cancel::default();
        let other = one.clone();
        assert!(Cancel::are_new(&one, &other) && !Cancel::are_new(&one, &Cancel::default()));
        let third = one.clone();
        assert!(!Cancel::are_new(&one, &other));
        drop(third);
        assert!(Cancel::are_new(&one, &other));
        // A token taken out of it outlives it, so it never counts as new again.
        let token = CancellationToken::clone(&other);
        assert!(!Cancel::are_new(&one, &other));
        one.cancel();
        assert!(token.is_cancelled());
    }
}
