//! How the delivery result reaches its caller: always, and the callers of one call with one waking.

use crate::error::SendError;
use crate::grade::Outcome;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// The answers of one send, filled in by the pump; the last one wakes the caller.
pub(crate) struct Call {
    /// Where nothing was said: that the answer is lost.
    outcomes: Mutex<Vec<Outcome>>,
    /// Answers to come, and one for the caller until it waits.
    open: AtomicUsize,
    done: Notify,
}

impl Call {
    /// For so many records: [`Call::answer`] or [`Call::refuse`] is to be called once for each place.
    pub(crate) fn new(records: usize) -> Arc<Self> {
        let outcomes = Mutex::new(std::iter::repeat_with(|| Err(SendError::Lost)).take(records).collect());
        Arc::new(Self { outcomes, open: AtomicUsize::new(records + 1), done: Notify::new() })
    }

    /// The duty to answer for the record at `place`.
    pub(crate) fn answer(self: &Arc<Self>, place: usize) -> Answer {
        Answer(To::Call { call: Arc::clone(self), place })
    }

    /// The record at `place` was not taken.
    pub(crate) fn refuse(&self, place: usize, error: SendError) {
        self.put(std::iter::once((place, Err(error))));
    }

    /// Answers for so many records at once.
    fn put(&self, answers: impl Iterator<Item = (usize, Outcome)>) {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = 0;
        for (place, outcome) in answers {
            count += 1;
            if let Some(slot) = outcomes.get_mut(place) {
                *slot = outcome;
            }
        }
        drop(outcomes);
        self.less(count);
    }

    /// Waits for all answers. Called once.
    pub(crate) async fn answered(&self) -> Vec<Outcome> {
        self.less(1);
        while self.open.load(Ordering::Acquire) > 0 {
            self.done.notified().await;
        }
        std::mem::take(&mut *self.outcomes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn less(&self, count: usize) {
        if self.open.fetch_sub(count, Ordering::AcqRel) == count {
            self.done.notify_one();
        }
    }
}

/// Answers given together: for a run of records of one call it is locked, and counted down, once. They are given at
/// the latest when this is dropped.
#[derive(Default)]
pub(crate) struct Settled {
    call: Option<Arc<Call>>,
    outcomes: Vec<(usize, Outcome)>,
}

impl Settled {
    /// For about so many.
    pub(crate) fn of(answers: usize) -> Self {
        Self { call: None, outcomes: Vec::with_capacity(answers) }
    }

    pub(crate) fn add(&mut self, answer: &mut Answer, outcome: Outcome) {
        match std::mem::replace(&mut answer.0, To::Nobody) {
            To::Call { call, place } => {
                if self.call.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &call)) {
                    self.give();
                    self.call = Some(call);
                }
                self.outcomes.push((place, outcome));
            }
            other => Answer(other).settle(outcome),
        }
    }

    fn give(&mut self) {
        if let Some(call) = self.call.take() {
            call.put(self.outcomes.drain(..));
        }
    }
}

impl Drop for Settled {
    fn drop(&mut self) {
        self.give();
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
            To::Call { call, place } => call.put(std::iter::once((place, outcome))),
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

    /// The duty, where somebody still waits; nobody does afterwards.
    pub(crate) fn take(&mut self) -> Option<Self> {
        (!self.is_settled()).then(|| std::mem::replace(self, Self::nobody()))
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

    #[tokio::test]
    async fn answers_given_together_reach_each_call_and_each_callback() {
        let (one, other) = (Call::new(3), Call::new(1));
        let heard = Arc::new(AtomicUsize::new(0));
        let hears = {
            let heard = Arc::clone(&heard);
            move |_| {
                heard.fetch_add(1, Ordering::Relaxed);
            }
        };
        let mut settled = Settled::default();
        let answers = [one.answer(0), one.answer(2), Answer::callback(hears), other.answer(0), one.answer(1)];
        for (mut answer, seq) in answers.into_iter().zip(0..) {
            settled.add(&mut answer, Ok(Safe::Spilled { seq }));
        }
        drop(settled);
        assert_eq!(heard.load(Ordering::Relaxed), 1);
        let spilled = |outcomes: Vec<Outcome>| -> Vec<u64> {
            let seq = |outcome| match outcome {
                Ok(Safe::Spilled { seq }) => seq,
                other => panic!("{other:?}"),
            };
            outcomes.into_iter().map(seq).collect()
        };
        assert_eq!(spilled(one.answered().await), [0, 4, 1]);
        assert_eq!(spilled(other.answered().await), [3]);
    }
}
