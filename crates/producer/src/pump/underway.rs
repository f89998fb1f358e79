//! The batches on their way to the disk, and what came of them.

use crate::answer::Answer;
use crate::inbox::{Duty, Entry};
use crate::spill::Records;
use crate::spill::keys::Bucket;
use crate::spill::progress::Proof;
use seawall_core::Nanos;
use seawall_wal::{Appended, Chain, WalError};
use std::collections::VecDeque;
use std::sync::Arc;

/// One batch.
pub(super) struct Batch {
    number: u64,
    /// When it went on its way.
    since: Nanos,
    pub(super) duties: Vec<Duty>,
    /// When the time of the first of its callers is over who has not been told.
    deadline: Nanos,
    pub(super) records: Arc<Records>,
    /// What the records may take on disk.
    bytes: u64,
    pub(super) checkpoint: Option<Checkpoint>,
    answer: Option<Result<Appended, WalError>>,
}

/// A batch ends with the progress up to here, which proves the delivery of records of these keys.
pub(super) struct Checkpoint {
    pub(super) proof: Proof,
    pub(super) proven: Vec<(u64, Bucket)>,
}

/// All batches on their way, oldest first.
#[derive(Default)]
pub(super) struct Appends {
    batches: VecDeque<Batch>,
    chain: Chain,
    number: u64,
    answered_at: Nanos,
}

/// What came of the oldest batches.
pub(super) enum Outcome {
    Written(Batch, Appended),
    /// This one failed, and the others were behind it.
    Refused(Vec<Batch>, WalError),
}

/// When the first of these callers' time is over.
fn earliest<'a>(duties: impl IntoIterator<Item = &'a Duty>) -> Nanos {
    duties.into_iter().map(|duty| duty.deadline).min().unwrap_or(Nanos(u64::MAX))
}

impl Batch {
    /// Takes the answers of the callers whose time is over; the records stay on their way.
    fn expire(&mut self, now: Nanos) -> Vec<Answer> {
        let due = self.duties.iter_mut().filter(|duty| now >= duty.deadline);
        let late = due.filter_map(|duty| duty.answer.take()).collect();
        self.deadline = earliest(self.duties.iter().filter(|duty| now < duty.deadline));
        late
    }

    pub(super) fn into_entries(self) -> impl Iterator<Item = Entry> {
        let records = Records::take(self.records);
        records.into_iter().zip(self.duties).map(|(outgoing, duty)| Entry { outgoing, duty })
    }
}

impl Appends {
    /// What the next batch is written behind.
    pub(super) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// One more is on its way, behind the others: its number.
    pub(super) fn push(
        &mut self,
        duties: Vec<Duty>,
        records: Arc<Records>,
        bytes: u64,
        checkpoint: Option<Checkpoint>,
        since: Nanos,
    ) -> u64 {
        self.number += 1;
        let (number, deadline, answer) = (self.number, earliest(&duties), None);
        self.batches.push_back(Batch { number, since, duties, deadline, records, bytes, checkpoint, answer });
        number
    }

    /// What the records of all batches may take on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.batches.iter().map(|batch| batch.bytes).sum()
    }

    /// Since when an answer is waited for: from when the oldest went on its way, or the one before was answered.
    pub(super) fn waits_since(&self) -> Option<Nanos> {
        let oldest = self.batches.iter().find(|batch| batch.answer.is_none())?;
        Some(oldest.since.max(self.answered_at))
    }

    pub(super) fn duties(&self) -> impl Iterator<Item = &Duty> {
        self.batches.iter().flat_map(|batch| &batch.duties)
    }

    pub(super) fn duties_mut(&mut self) -> impl Iterator<Item = &mut Duty> {
        self.batches.iter_mut().flat_map(|batch| &mut batch.duties)
    }

    pub(super) fn records(&self) -> usize {
        self.batches.iter().map(|batch| batch.duties.len()).sum()
    }

    /// The callers whose time is over, and when the next one's is: a disk that hangs answers nobody.
    pub(super) fn expire(&mut self, now: Nanos) -> (Vec<Answer>, Nanos) {
        let due = self.batches.iter_mut().filter(|batch| now >= batch.deadline);
        let late = due.flat_map(|batch| batch.expire(now)).collect();
        let next = self.batches.iter().map(|batch| batch.deadline).min();
        (late, next.unwrap_or(Nanos(u64::MAX)))
    }

    pub(super) fn abandon(&mut self) -> impl Iterator<Item = Entry> + use<> {
        std::mem::take(&mut self.batches).into_iter().flat_map(Batch::into_entries)
    }

    /// Whether one more, of at most `most` at a time, may go on its way: not behind one that is known to have failed.
    pub(super) fn is_open(&self, most: usize) -> bool {
        let failed = |batch: &Batch| matches!(batch.answer, Some(Err(_)));
        self.batches.len() < most && !self.batches.iter().any(failed)
    }

    pub(super) fn answered(&mut self, number: u64, answer: Result<Appended, WalError>, now: Nanos) {
        self.answered_at = now;
        if let Some(batch) = self.batches.iter_mut().find(|batch| batch.number == number) {
            batch.answer = Some(answer);
        }
    }

    /// The oldest batch, once it is answered; if it was refused, with all behind it, once they are.
    pub(super) fn next_outcome(&mut self) -> Option<Outcome> {
        let answer = self.batches.front()?.answer.clone()?;
        match answer {
            Ok(appended) => Some(Outcome::Written(self.batches.pop_front()?, appended)),
            Err(error) => self.batches.iter().all(|batch| batch.answer.is_some()).then(|| {
                self.chain = Chain::default();
                Outcome::Refused(self.batches.drain(..).collect(), error)
            }),
        }
    }
}
