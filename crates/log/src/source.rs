//! The way out: one member of a group.

use crate::append::Fence;
use crate::broker::Broker;
use crate::error::LogError;
use crate::group::assign::MemberId;
use crate::group::coordinator::Notice;
use crate::group::state::{Fact, Held};
use crate::group::{Group, Inbox};
use crate::options::Driver;
use crate::partition::Partition;
use crate::signal::Ended;
use bytes::Bytes;
use seawall_core::{
    Batch, Commit, Event, Fault, Generation, Limit, Offset, Origin, Position, Source, TopicPartition, Waker,
};
use seawall_wal::{Disk, Reader, RealDisk};
use std::sync::Arc;
use std::time::Duration;

/// The most bytes of completed offsets beyond the watermark that a position keeps.
pub(crate) const BEYOND_BYTES_MAX: usize = 1 << 20;

/// A share of a poll's limit that is worth a read: the wal reads 256 KiB at a time.
const SHARE_BYTES_MIN: usize = 256 * 1024;
/// As many records of 100 B fill that.
const SHARE_RECORDS_MIN: usize = 2048;

/// Where a group starts in a partition in which it has no position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartAt {
    /// At the oldest record held.
    #[default]
    Earliest,
    /// After the newest record at the moment of the assignment. The start is not durable before the first
    /// commit, which the consumer makes at once: a restart before it starts at the then newest.
    Latest,
}

/// How a source reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceOptions {
    /// Where a new group starts.
    pub start_at: StartAt,
}

/// A member of a consumer group over the embedded log.
///
/// Polls take the partitions in turn, so that a full one does not starve the others. Records share the bytes
/// they were read into: holding one holds its read's buffer. With [`Driver::Inline`] and [`Driver::Turns`] a poll
/// never waits. Dropping it leaves the group.
pub struct LogSource<D: Disk = RealDisk> {
    broker: Broker<D>,
    group: Arc<Group>,
    member: MemberId,
    inbox: Arc<Inbox>,
    options: SourceOptions,
    assigned: Vec<Assigned<D>>,
    /// Whose turn it is.
    turn: usize,
}

struct Assigned<D: Disk> {
    tp: TopicPartition,
    generation: Generation,
    partition: Arc<Partition<D>>,
    reader: Reader<D>,
    next: Offset,
    paused: bool,
    revoked: bool,
}

impl<D: Disk> std::fmt::Debug for LogSource<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogSource")
            .field("group", &self.group.name)
            .field("member", &self.member)
            .finish_non_exhaustive()
    }
}

impl<D: Disk> LogSource<D> {
    pub(crate) fn join(
        broker: Broker<D>,
        group: Arc<Group>,
        topics: &[(Arc<str>, u32)],
        options: SourceOptions,
    ) -> Self {
        let (member, inbox) = group.join(topics, broker.shared.clock.now());
        Self { broker, group, member, inbox, options, assigned: Vec::new(), turn: 0 }
    }

    /// The group's name.
    pub fn group(&self) -> &str {
        &self.group.name
    }

    /// The partitions held now, revoked ones included until they are released.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.assigned.iter().map(|assigned| &assigned.tp)
    }

    fn take_notices(&mut self, events: &mut Vec<Event>) -> Result<(), LogError> {
        self.group.expire(self.broker.shared.clock.now(), self.broker.options().release_within);
        for notice in self.inbox.take() {
            match notice {
                Notice::Assigned { partition, generation } => {
                    events.push(self.take_on(partition, generation)?);
                }
                Notice::Revoked { partition, generation } => {
                    if let Some(assigned) = self.held(&partition, generation) {
                        assigned.revoked = true;
                        events.push(Event::Revoked { partition, generation });
                    }
                }
                Notice::Lost { partition, generation } => {
                    self.let_go(&partition, generation);
                    events.push(Event::Lost { partition, generation });
                }
            }
        }
        Ok(())
    }

    fn take_on(&mut self, tp: TopicPartition, generation: Generation) -> Result<Event, LogError> {
        let partition = self.broker.shared.partition(&tp)?;
        let (start, end) = (partition.start(), partition.end());
        let chosen = |watermark| (Position { watermark, beyond: Bytes::new() }, Origin::Chosen);
        let (position, origin) = match self.broker.position(&self.group.name, &tp) {
            Some(position) if position.watermark >= start => (position, Origin::Committed),
            // Retention went past it: what `beyond` says is relative to a place that is gone.
            Some(_) => chosen(start),
            None => chosen(match self.options.start_at {
                StartAt::Earliest => start,
                StartAt::Latest => end,
            }),
        };
        partition.listen(&self.inbox.signal);
        self.assigned.push(Assigned {
            tp: tp.clone(),
            generation,
            reader: partition.reader(),
            partition,
            next: position.watermark,
            paused: false,
            revoked: false,
        });
        Ok(Event::Assigned { partition: tp, generation, position, origin, end })
    }

    fn held(&mut self, tp: &TopicPartition, generation: Generation) -> Option<&mut Assigned<D>> {
        self.assigned.iter_mut().find(|assigned| assigned.tp == *tp && assigned.generation == generation)
    }

    fn let_go(&mut self, tp: &TopicPartition, generation: Generation) {
        self.assigned.retain(|assigned| assigned.tp != *tp || assigned.generation != generation);
    }

    /// What there is to tell now. An error waits for the next poll where there is something to tell first: an
    /// assignment that is swallowed would never be told again.
    fn look(&mut self, limit: Limit, events: &mut Vec<Event>) -> Result<(), LogError> {
        self.inbox.signal.seen();
        self.take_notices(events)?;
        let read = self.read(limit, events);
        if events.is_empty() { read } else { Ok(()) }
    }

    /// One pass over the partitions that have something, from where the last pass stopped. What is left of the
    /// limit is shared evenly among those still to come, but among no more than leaves each a share worth a read
    /// of the wal: the rest of a read's buffer would be read and thrown away, poll after poll. Who gets nothing
    /// this time is first the next.
    fn read(&mut self, limit: Limit, events: &mut Vec<Event>) -> Result<(), LogError> {
        let count = self.assigned.len();
        let ready: Vec<usize> = (0..count)
            .map(|step| (self.turn + step) % count)
            .filter(|at| self.assigned[*at].has_records())
            .collect();
        let mut left = limit;
        for (nth, at) in ready.iter().enumerate() {
            if left.records == 0 || left.bytes == 0 {
                break;
            }
            let worthwhile = (left.records / SHARE_RECORDS_MIN).min(left.bytes / SHARE_BYTES_MIN).max(1);
            let sharers = (ready.len() - nth).min(worthwhile);
            let share =
                Limit { records: left.records.div_ceil(sharers), bytes: left.bytes.div_ceil(sharers) };
            let assigned = &mut self.assigned[*at];
            let batch = assigned.partition.read(&assigned.reader, assigned.next, share)?;
            self.turn = (at + 1) % count;
            assigned.next = batch.next;
            if batch.records.is_empty() {
                continue;
            }
            left.records = left.records.saturating_sub(batch.records.len());
            let bytes: usize = batch.records.iter().map(|fetched| fetched.record.weight()).sum();
            left.bytes = left.bytes.saturating_sub(bytes);
            events.push(Event::Records {
                partition: assigned.tp.clone(),
                generation: assigned.generation,
                batch,
                end: assigned.partition.end(),
            });
        }
        Ok(())
    }

    fn fact(&self, commit: &Commit) -> Result<(Option<Fence>, Fact), LogError> {
        let partition = self.broker.shared.partition(&commit.partition)?;
        let refused = |why| LogError::Position {
            group: self.group.name.to_string(),
            partition: commit.partition.clone(),
            why,
        };
        let (position, end) = (&commit.position, partition.end());
        if position.watermark > end {
            return Err(refused(format!("watermark {} is beyond the end {end}", position.watermark)));
        }
        if position.beyond.len() > BEYOND_BYTES_MAX {
            let bytes = position.beyond.len();
            return Err(refused(format!("{bytes} bytes beyond the watermark, at most {BEYOND_BYTES_MAX}")));
        }
        let fence = Fence {
            group: Arc::clone(&self.group),
            member: self.member,
            partition: commit.partition.clone(),
            generation: commit.generation,
        };
        // Copied: the caller's slice may hold a larger buffer for as long as the position lives.
        let beyond = Bytes::copy_from_slice(&position.beyond);
        let held = Held { position: Position { watermark: position.watermark, beyond }, end };
        let fact =
            Fact::Position { group: Arc::clone(&self.group.name), partition: commit.partition.clone(), held };
        Ok((Some(fence), fact))
    }
}

impl<D: Disk> Assigned<D> {
    fn has_records(&self) -> bool {
        !self.paused && !self.revoked && self.next < self.partition.end()
    }
}

/// One commit of several partitions makes those durable that are in force; where any is not, the answer is
/// [`LogError::Fenced`] all the same.
impl<D: Disk> Source for LogSource<D> {
    fn poll(&mut self, wait: Duration, limit: Limit) -> Result<Vec<Event>, Fault> {
        let mut events = Vec::new();
        self.look(limit, &mut events)?;
        if self.broker.shared.driver != Driver::Thread || wait.is_zero() {
            return Ok(events);
        }
        let clock = Arc::clone(self.broker.clock());
        let until = clock.now().plus(wait);
        while events.is_empty() {
            match self.inbox.signal.wait(until.since(clock.now())) {
                // Nothing may come of it: another member's partition, a paused one.
                Ended::Raised => self.look(limit, &mut events)?,
                Ended::Woken | Ended::Quiet => break,
            }
        }
        Ok(events)
    }

    fn pause(&mut self, partition: &TopicPartition) {
        for assigned in self.assigned.iter_mut().filter(|assigned| assigned.tp == *partition) {
            assigned.paused = true;
        }
    }

    fn resume(&mut self, partition: &TopicPartition) {
        for assigned in self.assigned.iter_mut().filter(|assigned| assigned.tp == *partition) {
            assigned.paused = false;
        }
    }

    fn commit(&mut self, commits: &[Commit]) -> Result<(), Fault> {
        if commits.is_empty() {
            return Ok(());
        }
        let facts = commits.iter().map(|commit| self.fact(commit)).collect::<Result<Vec<_>, _>>()?;
        self.broker.shared.state(facts)?;
        Ok(())
    }

    fn release(&mut self, partition: &TopicPartition, generation: Generation) {
        self.let_go(partition, generation);
        self.group.release(self.member, partition, generation, self.broker.shared.clock.now());
    }

    fn reread(
        &mut self,
        partition: &TopicPartition,
        from: Offset,
        to: Offset,
        limit: Limit,
    ) -> Result<Batch, Fault> {
        let Some(assigned) = self.assigned.iter().find(|assigned| assigned.tp == *partition) else {
            return Err(Fault::from(LogError::Fenced {
                group: self.group.name.to_string(),
                partition: partition.clone(),
                given: Generation(0),
            }));
        };
        let span = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        if span == 0 {
            return Ok(Batch { records: Vec::new(), next: from });
        }
        let limit = Limit { records: limit.records.min(span), ..limit };
        let mut batch = assigned.partition.read(&assigned.reader.clone(), from, limit)?;
        // Where retention moved the start, the read began above `from`, maybe above `to`.
        batch.records.retain(|fetched| fetched.offset < to);
        batch.next = batch.next.min(to);
        Ok(batch)
    }

    fn waker(&self) -> Waker {
        let signal = Arc::clone(&self.inbox.signal);
        Waker::new(move || signal.wake())
    }
}

impl<D: Disk> Drop for LogSource<D> {
    fn drop(&mut self) {
        self.group.leave(self.member, self.broker.shared.clock.now());
    }
}
