//! Giving partitions up: one at a time on revocation, all of them on drain.
//!
//! What runs may finish, what waits is left: a handler started now might only be cancelled by the bound, and
//! the next owner gets the record anyway. The bound has two parts. When it has passed, what runs is cancelled;
//! cancelled handlers end at their next await, but an acknowledgement may just be on its way to the claim
//! store, so the loop allows [`GRACE`] more before it commits what is settled and lets go.
//!
//! A partition that is lost already is dropped at once: nothing may be committed for it. A group may take one away
//! from a member that is still busy with giving it up, and its client may not tell (librdkafka hears of no loss while
//! a revocation is unanswered). So the position is committed every [`PROBE`] even where it has not moved: a commit that
//! is refused for good tells.

use super::{Drain, Fetcher, Generation, Left, Nanos, Source, Stop, TopicPartition, count, lock};
use crate::partition::Partition;
use crate::running::DrainReport;
use crate::stats::State;
use crate::worker::Message;
use seawall_core::{Class, Fault};
use std::sync::Arc;
use std::time::Duration;

/// How long operations already under way may take after the bound.
const GRACE: Duration = Duration::from_millis(500);

/// How long a last commit that failed for a moment is not repeated.
const AFTER_COMMIT: Duration = Duration::from_millis(100);

/// How often it is asked whether a partition that is being given up is still ours.
const PROBE: Duration = Duration::from_secs(3);

/// A partition that is being given up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    deadline: Nanos,
    /// The last commit failed for a moment: not again before this.
    commit_after: Option<Nanos>,
    /// Since when what runs is being cancelled.
    cancelled: Option<Nanos>,
    /// When it is asked next whether it is still ours.
    probe_at: Nanos,
}

impl Leaving {
    /// When something is to be done about it at the latest.
    pub(super) fn due(&self) -> Nanos {
        let due = self.bound().min(self.probe_at);
        self.commit_after.map_or(due, |after| after.min(due))
    }

    /// When it is let go whatever happens.
    fn bound(&self) -> Nanos {
        self.cancelled.map_or(self.deadline, |since| since.plus(GRACE))
    }
}

/// A partition that was dropped already when the group asked for it.
pub(super) struct Late {
    partition: Arc<Partition>,
    /// When it is given back whatever still runs.
    pub(super) until: Nanos,
}

impl<S: Source> Fetcher<S> {
    /// Gives back a partition that is not ours any more, or never was: the group waits for the answer all the same. What was
    /// cancelled when it was dropped may still run.
    pub(super) fn begin_late_release(&mut self, id: TopicPartition, generation: Generation) {
        let Some(partition) = self.kept.find(&id, generation) else {
            return self.source.release(&id, generation);
        };
        partition.book().alarm.idle = true;
        self.tell_all(|| Message::Revoke(Arc::clone(&partition)));
        self.late.push(Late { partition, until: self.shared.now().plus(GRACE) });
    }

    /// The group waits no longer for the answer.
    pub(super) fn forget_late(&mut self, id: &TopicPartition) {
        self.late.retain(|late| late.partition.id != *id);
    }

    pub(super) fn release_late(&mut self, now: Nanos) {
        let workers = self.workers.len();
        let over = |late: &mut Late| now >= late.until || late.partition.book().is_idle(workers);
        for Late { partition, .. } in self.late.extract_if(.., over).collect::<Vec<_>>() {
            self.source.release(&partition.id, partition.generation);
            self.tell_all(|| Message::Cancel(partition.slot));
        }
    }

    pub(super) fn begin_leaving(&mut self, id: &TopicPartition, deadline: Nanos) {
        let probe_at = self.shared.now().plus(PROBE);
        let Some(owned) = self.owned.get_mut(id) else { return };
        if let Some(leaving) = &mut owned.leaving {
            leaving.deadline = leaving.deadline.min(deadline);
            return;
        }
        owned.leaving = Some(Leaving { deadline, commit_after: None, cancelled: None, probe_at });
        let partition = Arc::clone(&owned.partition);
        partition.leave();
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
        let waits_to_commit = leaving.commit_after.is_some_and(|after| now < after);
        if now < leaving.bound() && (!idle || waits_to_commit) {
            if now >= leaving.probe_at {
                leaving.probe_at = now.plus(PROBE);
                owned.partition.book().dirty = true;
            }
            return;
        }
        if !idle && leaving.cancelled.is_none() {
            leaving.cancelled = Some(now);
            let slot = owned.partition.slot;
            self.tell_all(|| Message::Cancel(slot));
            return;
        }
        self.let_go(id, now);
    }

    /// The last commit, then the release. A commit that fails for a moment is tried again within the bound.
    fn let_go(&mut self, id: &TopicPartition, now: Nanos) {
        let Some(owned) = self.owned.get(id) else { return };
        let partition = Arc::clone(&owned.partition);
        let cut_short = owned.leaving.is_some_and(|leaving| leaving.cancelled.is_some());
        let mut commit_failed: Option<Fault> = None;
        if let Some(commit) = self.take_commit(&partition) {
            match self.source.commit(std::slice::from_ref(&commit)) {
                Ok(()) => self.committed(&[commit]),
                Err(fault) if fault.class() != Class::Permanent && self.may_commit_later(id, now) => return,
                Err(fault) => {
                    tracing::warn!(partition = %id, %fault, "the last commit failed; what was settled since the one before is delivered again");
                    commit_failed = Some(fault);
                }
            }
        }
        let left = {
            self.close(&partition);
            let book = partition.book();
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
        if commit_failed.is_some() {
            self.kept.keep(partition, now);
        }
        if let Some(drain) = &mut self.drain {
            drain.within_bound &= !cut_short;
            drain.commit_failed = commit_failed.or(drain.commit_failed.take());
            drain.left.push(left);
        }
    }

    /// Whether a last commit may be tried again; if so, it will be.
    fn may_commit_later(&mut self, id: &TopicPartition, now: Nanos) -> bool {
        self.mark_dirty(id);
        let leaving = self.owned.get_mut(id).and_then(|owned| owned.leaving.as_mut());
        let Some(leaving) = leaving.filter(|leaving| now < leaving.bound()) else { return false };
        leaving.commit_after = Some(now.plus(AFTER_COMMIT));
        true
    }

    /// Ends the book of an assignment: what was settled and not committed is void.
    fn close(&self, partition: &Partition) {
        partition.leave();
        let mut book = partition.book();
        book.closed = true;
        count(&self.shared.totals.voided, book.uncommitted);
    }

    /// Drops a partition that is not ours any more.
    pub(super) fn lose(&mut self, id: &TopicPartition) {
        let Some(owned) = self.owned.remove(id) else { return };
        self.close(&owned.partition);
        lock(&self.shared.partitions).remove(id);
        self.tell_all(|| Message::Cancel(owned.partition.slot));
        self.kept.keep(owned.partition, self.shared.now());
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
        if !self.owned.is_empty() || !self.late.is_empty() {
            return None;
        }
        let mut drain = self.drain.take()?;
        drain.left.sort_by(|one, other| one.partition.cmp(&other.partition));
        self.tell_all(|| Message::Stop);
        if let Some(fault) = self.gave_up.take() {
            return Some(Stop::Failed(fault));
        }
        Some(Stop::Drained(DrainReport {
            within_bound: drain.within_bound,
            took: now.since(drain.began),
            commit_failed: drain.commit_failed,
            left: drain.left,
        }))
    }
}
