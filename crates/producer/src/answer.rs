//! How the delivery result reaches its caller: always, and the callers of one call with one waking.

use crate::error::SendError;
use crate::grade::{Outcome, Safe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The answers of one send, filled in by the pump; the last one wakes the caller.
pub(crate) struct Call {
    records: usize,
    heard: Mutex<Heard>,
    /// Answers to come, and one for the caller until it waits.
    open: AtomicUsize,
    done: Notify,
}

/// Records of one call, in its order, that lie next to each other on disk: most do, and are one answer.
struct Run {
    place: usize,
    seq: u64,
    records: usize,
}

/// Answers for records of one call.
#[derive(Default)]
struct Heard {
    spilled: Vec<Run>,
    others: Vec<(usize, Outcome)>,
}

impl Heard {
    fn add(&mut self, place: usize, outcome: Outcome) {
        let Ok(Safe::Spilled { seq }) = outcome else { return self.others.push((place, outcome)) };
        match self.spilled.last_mut() {
            Some(run) if place == run.place + run.records && seq == run.seq + run.records as u64 => {
                run.records += 1;
            }
            _ => self.spilled.push(Run { place, seq, records: 1 }),
        }
    }

    fn append(&mut self, others: &mut Self) {
        if self.len() == 0 {
            return std::mem::swap(self, others);
        }
        self.spilled.append(&mut others.spilled);
        self.others.append(&mut others.others);
    }

    fn len(&self) -> usize {
        self.others.len() + self.spilled.iter().map(|run| run.records).sum::<usize>()
    }

    /// One for each of `records` records: where nothing was said, that the answer is lost.
    fn outcomes(self, records: usize) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> =
            std::iter::repeat_with(|| Err(SendError::Lost)).take(records).collect();
        for Run { place, seq, records } in self.spilled {
            for (outcome, seq) in outcomes.iter_mut().skip(place).take(records).zip(seq..) {
                *outcome = Ok(Safe::Spilled { seq });
            }
        }
        for (place, heard) in self.others {
            if let Some(outcome) = outcomes.get_mut(place) {
                *outcome = heard;
            }
        }
        outcomes
    }
}

impl Call {
    /// For so many records: [`Call::answer`] or [`Call::refuse`] is to be called once for each place.
    pub(crate) fn new(records: usize) -> Arc<Self> {
        let (heard, open) = (Mutex::default(), AtomicUsize::new(records + 1));
        Arc::new(Self { records, heard, open, done: Notify::new() })
    }

    /// The duty to answer for the record at `place`.
    pub(crate) fn answer(self: &Arc<Self>, place: usize) -> Answer {
        Answer(To::Call { call: Arc::clone(self), place })
    }

    /// The record at `place` was not taken.
    pub(crate) fn refuse(&self, place: usize, error: SendError) {
        self.put(place, Err(error));
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, place: usize, outcome: Outcome) {
        self.heard().add(place, outcome);
        self.less(1);
    }

    /// All of `answers` at once.
    fn put_all(&self, answers: &mut Heard) {
        let count = answers.len();
        self.heard().append(answers);
        self.less(count);
    }

    /// Waits for all answers. Called once.
    pub(crate) async fn answered(&self) -> Vec<Outcome> {
        self.less(1);
        while self.open.load(Ordering::Acquire) > 0 {
            self.done.notified().await;
        }
        let heard = std::mem::take(&mut *self.heard());
        heard.outcomes(self.records)
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
    heard: Heard,
}

impl Settled {
    pub(crate) fn add(&mut self, answer: &mut Answer, outcome: Outcome) {
        match std::mem::replace(&mut answer.0, To::Nobody) {
            To::Call { call, place } => {
                if self.call.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &call)) {
                    self.give();
                    self.call = Some(call);
                }
                self.heard.add(place, outcome);
            }
            other => Answer(other).settle(outcome),
        }
    }

    fn give(&mut self) {
        if let Some(call) = self.call.take() {
            call.put_all(&mut self.heard);
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

    fn nobody() -> Self {
        Self(To::Nobody)
    }

    pub(crate) fn settle(&mut self, outcome: Outcome) {
        match std::mem::replace(&mut self.0, To::Nobody) {
            To::Call { call, place } => call.put(place, outcome),
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

    #[tokio::test]
    async fn what_lies_together_on_disk_is_one_answer_and_each_record_keeps_its_own() {
        let call = Call::new(6);
        call.refuse(2, SendError::Closed);
        let told = |(place, seq): (usize, u64)| {
            (call.answer(place), if seq > 0 { Ok(Safe::Spilled { seq }) } else { Err(SendError::Lost) })
        };
        let mut settled = Settled::default();
        // Neither place nor number alone makes a run.
        for (mut answer, outcome) in [(0, 7), (1, 8), (3, 9), (4, 11), (5, 0)].map(told) {
            settled.add(&mut answer, outcome);
        }
        assert_eq!(settled.heard.spilled.len(), 3);
        drop(settled);
        let seq = |outcome| if let Ok(Safe::Spilled { seq }) = outcome { Some(seq) } else { None };
        let seqs: Vec<_> = call.answered().await.into_iter().map(seq).collect();
        assert_eq!(seqs, [Some(7), Some(8), None, Some(9), Some(11), None]);
    }
}
