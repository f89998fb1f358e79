//! How the delivery result reaches its caller: always, and the callers of one call with one waking.

use crate::error::SendError;
use crate::grade::Outcome;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// The answers of one send, filled in by the pump; the last one wakes the caller.
pub(crate) struct Call {
    outcomes: Mutex<Vec<Option<Outcome>>>,
    /// Answers to come, and one for the caller until it waits.
    open: AtomicUsize,
    done: Notify,
}

impl Call {
    pub(crate) fn new(records: usize) -> Arc<Self> {
        let outcomes = Mutex::new(vec![None; records]);
        Arc::new(Self { outcomes, open: AtomicUsize::new(1), done: Notify::new() })
    }

    /// The duty to answer for the record at `place`.
    pub(crate) fn answer(self: &Arc<Self>, place: usize) -> Answer {
        self.open.fetch_add(1, Ordering::Relaxed);
        Answer(To::Call { call: Arc::clone(self), place })
    }

    pub(crate) fn put(&self, place: usize, outcome: Outcome) {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = outcomes.get_mut(place) {
            *slot = Some(outcome);
        }
    }

    /// Waits for all answers. Called once.
    pub(crate) async fn answered(&self) -> Vec<Outcome> {
        self.one_less();
        while self.open.load(Ordering::Acquire) > 0 {
            self.done.notified().await;
        }
        let outcomes = std::mem::take(&mut *self.outcomes.lock().unwrap_or_else(PoisonError::into_inner));
        outcomes.into_iter().map(|outcome| outcome.unwrap_or(Err(SendError::Lost))).collect()
    }

    fn one_less(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }
}

enum To {
    Call { call: Arc<Call>, place: usize },
    Callback(Box<dyn FnOnce(Outcome) + Send>),
    Nobody,
}

/// Answers for one record, once. Dropped without an answer it says [`SendError::Lost`].
pub(crate) struct Answer(To);

impl Answer {
    pub(crate) fn callback(callback: impl FnOnce(Outcome) + Send + 'static) -> Self {
        Self(To::Callback(Box::new(callback)))
    }

    /// No duty yet.
    pub(crate) fn nobody() -> Self {
        Self(To::Nobody)
    }

    pub(crate) fn settle(&mut self, outcome: Outcome) {
        match std::mem::replace(&mut self.0, To::Nobody) {
            To::Call { call, place } => {
                call.put(place, outcome);
                call.one_less();
            }
            To::Callback(callback) => {
                // The caller's code: its panic must not take the producer along.
                let called = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| callback(outcome)));
                if called.is_err() {
                    tracing::error!("a delivery callback panicked");
                }
            }
            To::Nobody => {}
        }
    }

    /// Whether nobody waits any more.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.0, To::Nobody)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.settle(Err(SendError::Lost));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::Safe;

    #[tokio::test]
    async fn an_answer_that_is_dropped_is_an_answer() {
        let call = Call::new(2);
        let (mut first, second) = (call.answer(0), call.answer(1));
        first.settle(Ok(Safe::Spilled { seq: 7 }));
        drop((first, second));
        let outcomes = call.answered().await;
        assert!(matches!(outcomes[..], [Ok(Safe::Spilled { seq: 7 }), Err(SendError::Lost)]));
    }
}
