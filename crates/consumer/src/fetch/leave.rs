//! Giving partitions up: one at a time on revocation, all of them on drain.
//!
//! What runs may finish, what waits is left: a handler started now might only be cancelled by the bound, and
//! the next owner gets the record anyway. The bound has two parts. When it has passed, what runs is cancelled;
//! cancelled handlers end at their next await, but an acknowledgement may just be on its way to the claim
//! store, so the loop allows [`GRACE`] more before it commits what is settled and lets go.
//!
//! A partition that is lost already is dropped at once: nothing may be committed for it.

use super::{Drain, Fetcher, Left, Nanos, Source, Stop, TopicPartition, lock};
use crate::running::DrainReport;
use crate::stats::State;
use crate::worker::Message;
use seawall_core::Fault;
use std::sync::Arc;
use std::time::Duration;

/// How long operations already under way may take after the bound.
const GRACE: Duration = Duration::from_millis(500);

/// A partition that is being given up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    deadline: Nanos,
    /// Since when what runs is being cancelled.
    cancelled: Option<Nanos>,
}

impl Leaving {
    /// When something is to be done about it at the latest.
    pub(super) fn due(&self) -> Nanos {
        self.cancelled.map_or(self.deadline, |since| since.plus(GRACE))
    }
}

impl<S: Source> Fetcher<S> {
    pub(super) fn begin_leaving(&mut self, id: &TopicPartition, deadline: Nanos) {
        let Some(owned) = self.owned.get_mut(id) else { return };
        if let Some(leaving) = &mut owned.leaving {
            leaving.deadline = leaving.deadline.min(deadline);
            return;
        }
        owned.leaving = Some(Leaving { deadline, cancelled: None });
        let partition = Arc::clone(&owned.partition);
        {
            let mut book = partition.book();
            book.revoking = true;
            book.alarm.idle = true;
        }
        self.tell_all(|| Message::Revoke(Arc::clone(&partition)));
    }

    /// Lets a partition go that has nothing running any more, or whose time is over.
    pub(super) fn leave_if_idle(&mut self, id: &TopicPartition, now: Nanos) {
        let workers = self.workers.len();
        let Some(owned) = self.owned.get_mut(id) else { return };
        let Some(leaving) = &mut owned.leaving else { return };
        let idle = owned.partition.book().is_idle(workers);
        if !idle && now < leaving.due() {
            return;
        }
        if !idle && leaving.cancelled.is_none() {
            leaving.cancelled = Some(now);
            let slot = owned.partition.slot;
            self.tell_all(|| Message::Cancel(slot));
            return;
        }
        self.let_go(id);
    }

    /// The last commit, then the release.
    fn let_go(&mut self, id: &TopicPartition) {
        let Some(owned) = self.owned.get(id) else { return };
        let partition = Arc::clone(&owned.partition);
        let cut_short = owned.leaving.is_some_and(|leaving| leaving.cancelled.is_some());
        let mut commit_failed: Option<Fault> = None;
        if let Some(commit) = self.take_commit(&partition) {
            match self.source.commit(std::slice::from_ref(&commit)) {
                Ok(()) => self.committed(&[commit]),
                Err(fault) => {
                    tracing::warn!(partition = %id, %fault, "the last commit failed; what was settled since the one before is delivered again");
                    commit_failed = Some(fault);
                }
            }
        }
        let left = {
            let mut book = partition.book();
            book.closed = true;
            let cancelled = book.cancelled;
            Left {
                partition: id.clone(),
                generation: partition.generation,
                watermark: book.tracker.watermark(),
                cancelled,
                queued: book.ledger.in_flight.saturating_sub(cancelled),
                parked: book.ledger.parked,
            }
        };
        self.source.release(id, partition.generation);
        self.tell_all(|| Message::Cancel(partition.slot));
        self.owned.remove(id);
        lock(&self.shared.partitions).remove(id);
        if let Some(drain) = &mut self.drain {
            drain.within_bound &= !cut_short;
            drain.commit_failed = commit_failed.or(drain.commit_failed.take());
            drain.left.push(left);
        }
    }

    /// Drops a partition that is not ours any more.
    pub(super) fn lose(&mut self, id: &TopicPartition) {
        let Some(owned) = self.owned.remove(id) else { return };
        owned.partition.book().closed = true;
        lock(&self.shared.partitions).remove(id);
        self.tell_all(|| Message::Cancel(owned.partition.slot));
    }

    pub(super) fn begin_drain(&mut self, deadline: Nanos, now: Nanos) {
        if let Some(drain) = &mut self.drain {
            drain.deadline = drain.deadline.min(deadline);
        } else {
            let left = Vec::new();
            self.drain = Some(Drain { began: now, deadline, within_bound: true, commit_failed: None, left });
            *lock(&self.shared.state) = State::Draining;
        }
        let deadline = self.drain.as_ref().map_or(deadline, |drain| drain.deadline);
        for id in self.owned.keys().cloned().collect::<Vec<_>>() {
            self.begin_leaving(&id, deadline);
        }
    }

    /// The report, once everything has been let go.
    pub(super) fn drained(&mut self, now: Nanos) -> Option<Stop> {
        if !self.owned.is_empty() {
            return None;
        }
        let mut drain = self.drain.take()?;
        drain.left.sort_by(|one, other| one.partition.cmp(&other.partition));
        self.tell_all(|| Message::Stop);
        Some(Stop::Drained(DrainReport {
            within_bound: drain.within_bound,
            took: now.since(drain.began),
            commit_failed: drain.commit_failed,
            left: drain.left,
        }))
    }
}
