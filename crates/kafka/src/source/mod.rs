//! The way in: one member of a consumer group.
//!
//! # Who does what
//!
//! The thread that polls owns everything here. Rebalances are written down inside the client's callback
//! ([`context`]) and acted upon between two polls ([`assignment`]): partitions are taken on once their committed
//! positions are read, and given back once the consumer has released all of a revoked set. Until then polling,
//! and so the membership, goes on. Commits run on a thread of their own ([`commit`]) and are waited for within a
//! bound, so that a dead broker does not silence the member. Parked records are read again by a second client
//! that is in no group ([`reread`]).
//!
//! # Queues
//!
//! Each partition has a queue of its own in the client ([`gather`]). A partition that is paused is not looked at:
//! what the client has fetched for it stays there, within the client's bound, while a pause of the client would
//! throw it away and fetch it again.
//!
//! # Waiting
//!
//! The client calls back when a queue is no longer empty, and the waker rings the same bell; a waiting poll
//! looks at least every [`SLICE`] all the same.
//!
//! # Generations
//!
//! Each assignment of a partition gets the next number of a counter of this source. A commit of another number
//! than the one in force is refused here, before any broker is asked; one in force carries the group's own
//! generation and member id, by which the coordinator refuses a member that was replaced.

mod assignment;
mod astray;
mod bell;
mod beyond;
mod commit;
mod context;
mod convert;
mod damage;
mod follow;
mod gather;
mod join;
mod later;
mod missing;
mod options;
mod place;
mod reread;
mod start;

pub(crate) use commit::write as commit_positions;
pub use options::{SourceOptions, StartAt};
pub(crate) use reread::Rereader;

use crate::connection::Connection;
use crate::error::{KafkaError, Troubled, meaning};
use assignment::Assigned;
use astray::Astray;
use bell::Bell;
use commit::Committer;
use context::GroupContext;
use convert::Copier;
use later::Later;
use missing::Missing;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::TopicPartitionList;
use seawall_core::{
    Batch, Class, Classify, Clock, Commit, Event, Fault, Generation, Limit, Nanos, Offset, Source,
    SystemClock, TopicPartition, Waker,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The longest time that a waiting poll does not look at the client.
const SLICE: Duration = Duration::from_millis(50);
type GroupConsumer = BaseConsumer<GroupContext>;

/// A member of a consumer group of a Kafka cluster. Dropping it leaves the group, unless its membership is
/// static.
pub struct KafkaSource {
    group: Arc<str>,
    options: SourceOptions,
    consumer: Arc<GroupConsumer>,
    committer: Option<Committer>,
    rereader: Rereader,
    copier: Copier,
    bell: Arc<Bell>,
    clock: SystemClock,
    assigned: Vec<Assigned>,
    /// Where partitions were started in which the group had no position, until it has one.
    chosen: BTreeMap<TopicPartition, Offset>,
    /// Whose queue is looked at first in the next poll.
    turn: usize,
    /// Assigned by the group, not yet told: where they start could not be read yet.
    arriving: Vec<TopicPartition>,
    /// The group waits for an answer to an assignment.
    unanswered: bool,
    /// When what is arriving is tried to be placed again.
    arriving_later: Later,
    /// That something cannot be placed is not told again before this.
    tell_after: Nanos,
    /// Still ours by the group, but a commit was refused: to be told again under a new generation.
    renewing: Vec<TopicPartition>,
    renewing_later: Later,
    /// Revoked; given back together once none of them is held.
    leaving: Vec<TopicPartition>,
    /// Since when there are any.
    giving_up_since: Option<Nanos>,
    generation: Generation,
    /// The group has said what this member gets, which may be nothing.
    member: bool,
    /// The client has given these up, and they were not put right yet.
    astray: Vec<Astray>,
    /// The client says that these are not there.
    missing: Vec<Missing>,
    /// What stopped the last poll after it had something to tell.
    fault: Option<Fault>,
}

impl std::fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSource").field("group", &self.group).finish_non_exhaustive()
    }
}

impl KafkaSource {
    /// Joins `group` to read `topics`. Asks the cluster for the topics first, at most
    /// [`SourceOptions::request_timeout`] each.
    ///
    /// # Errors
    /// `Permanent`: settings, rights, a topic that does not exist. `Transient`: no broker answers (yet).
    pub fn join(
        connection: &Connection,
        group: &str,
        topics: &[&str],
        options: SourceOptions,
    ) -> Result<Self, KafkaError> {
        options.check()?;
        if group.is_empty() {
            return Err(KafkaError::setting("group", "", "a name"));
        }
        if topics.is_empty() {
            return Err(KafkaError::setting("topics", "", "at least one topic"));
        }
        let source = Self::open(connection, group, options)?;
        join::known(&source.consumer, topics, source.options.request_timeout)?;
        source.consumer.subscribe(topics).map_err(|source| {
            KafkaError::refused(format!("subscribing group {group} to {topics:?}"), source)
        })?;
        Ok(source)
    }

    /// A client that has joined nothing yet. No broker is asked.
    fn open(connection: &Connection, group: &str, options: SourceOptions) -> Result<Self, KafkaError> {
        let bell = Arc::new(Bell::default());
        let consumer = Arc::new(join::client(connection, group, &options, &bell)?);
        let group: Arc<str> = Arc::from(group);
        let committer = Committer::start(&consumer, connection, &group, &options)?;
        let rereader = Rereader::new(connection.clone(), Arc::clone(&group), options.request_timeout);
        Ok(Self {
            // One clock for both: a time of one is compared with the other's.
            clock: rereader.clock,
            rereader,
            group,
            options,
            consumer,
            committer: Some(committer),
            copier: Copier::default(),
            bell,
            assigned: Vec::new(),
            chosen: BTreeMap::new(),
            turn: 0,
            arriving: Vec::new(),
            unanswered: false,
            arriving_later: Later::default(),
            tell_after: Nanos(0),
            renewing: Vec::new(),
            renewing_later: Later::default(),
            leaving: Vec::new(),
            giving_up_since: None,
            generation: Generation(0),
            member: false,
            astray: Vec::new(),
            missing: Vec::new(),
            fault: None,
        })
    }

    /// The group's name.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Whether the group has taken this member in: it has said what the member gets, which may be nothing.
    pub fn is_member(&self) -> bool {
        self.member
    }

    /// The partitions held now, revoked ones included until they are released.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.assigned.iter().map(|assigned| &assigned.tp)
    }

    fn look(&mut self, limit: Limit, events: &mut Vec<Event>) -> Result<(), Fault> {
        // Whatever one of these cannot do now, the others go on: what the client says is told once, and a member that
        // does not serve its client is thrown out.
        let heeded = self.heed_changes(events);
        let righted = self.back_into_range(events);
        let found = self.look_for_missing();
        let gathered = self.gather(limit, events);
        self.rereader.rest();
        let righted = self.both(righted, found);
        let looked = self.both(heeded, righted);
        self.both(looked, gathered)?;
        self.heed_changes(events)
    }

    /// The worse of two answers; if both are bad the other one is the next poll's.
    fn both(&mut self, one: Result<(), Fault>, other: Result<(), Fault>) -> Result<(), Fault> {
        match (one, other) {
            (Ok(()), answer) | (answer, Ok(())) => answer,
            (Err(one), Err(other)) => {
                let other_first = other.class() == Class::Permanent;
                let (worse, rest) = if other_first { (other, one) } else { (one, other) };
                self.keep(rest);
                Err(worse)
            }
        }
    }

    /// What the client says instead of a record, in the queue of the partition at `place` or of all.
    fn trouble(&mut self, error: ClientError, place: Option<usize>) -> Result<(), Fault> {
        let doing = format!("fetching for group {}", self.group);
        match error {
            ClientError::PartitionEOF(_) => Ok(()),
            ClientError::MessageConsumption(
                Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation,
            ) => {
                self.go_astray(place);
                Ok(())
            }
            ClientError::MessageConsumption(Code::BadMessage) => Err(self.fetch_again()),
            ClientError::MessageConsumption(Code::UnknownTopic | Code::UnknownPartition) => {
                Err(self.miss(place, error).into())
            }
            ClientError::MessageConsumptionFatal(_) => {
                let (code, said) =
                    self.consumer.client().fatal_error().unwrap_or((Code::Fatal, String::new()));
                tracing::error!(group = %self.group, ?code, said, "the group client failed for good");
                // Whatever a code asks for elsewhere, this client is of no use any more.
                let code = if meaning(code).class == Class::Permanent { code } else { Code::Fatal };
                Err(KafkaError::refused(doing, ClientError::MessageConsumptionFatal(code)).into())
            }
            other => {
                let trouble = self.consumer.context().trouble();
                if self.member {
                    trouble.let_in();
                }
                Err(trouble.explain(doing, other).into())
            }
        }
    }

    /// Keeps `fault` for the next poll, unless a worse one is kept already.
    fn keep(&mut self, fault: Fault) {
        let worse = |kept: &Fault| kept.class() == Class::Permanent || fault.class() != Class::Permanent;
        if !self.fault.as_ref().is_some_and(worse) {
            self.fault = Some(fault);
        }
    }

    fn hold(&mut self, partition: &TopicPartition, held: bool) {
        for assigned in self.assigned.iter_mut().filter(|assigned| assigned.tp == *partition) {
            assigned.held = held;
        }
    }

    fn held(&self, tp: &TopicPartition, generation: Generation) -> bool {
        self.assigned
            .iter()
            .any(|assigned| assigned.tp == *tp && assigned.generation == generation && !assigned.void)
    }
}

fn list<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for tp in partitions {
        list.add_partition(&tp.topic, tp.partition as i32);
    }
    list
}

impl Source for KafkaSource {
    fn poll(&mut self, wait: Duration, limit: Limit) -> Result<Vec<Event>, Fault> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let until = self.clock.now().plus(wait);
        let mut events = Vec::new();
        loop {
            self.bell.hush();
            let looked = self.look(limit, &mut events);
            match looked {
                Ok(()) => {}
                Err(fault) if events.is_empty() => return Err(fault),
                // An assignment that is swallowed would never be told again: first what there is to tell.
                Err(fault) => self.keep(fault),
            }
            let left = until.since(self.clock.now());
            if !events.is_empty() || left.is_zero() || self.bell.wait(left.min(SLICE)) {
                return Ok(events);
            }
        }
    }

    fn pause(&mut self, partition: &TopicPartition) {
        self.hold(partition, true);
    }

    fn resume(&mut self, partition: &TopicPartition) {
        self.hold(partition, false);
    }

    fn commit(&mut self, commits: &[Commit]) -> Result<(), Fault> {
        if commits.is_empty() {
            return Ok(());
        }
        if let Some(late) = commits.iter().find(|commit| !self.held(&commit.partition, commit.generation)) {
            let (group, partition) = (self.group.to_string(), late.partition.clone());
            return Err(KafkaError::NotHeld { group, partition, given: late.generation }.into());
        }
        let Some(committer) = &mut self.committer else { return Err(KafkaError::Closed.into()) };
        let Err(error) = committer.commit(commits) else {
            self.stand_at(commits);
            return Ok(());
        };
        if matches!(error, KafkaError::Refused { code: Code::IllegalGeneration, .. }) {
            // A kept partition's commit met a rebalance, after which the client has the new generation. Had the
            // group moved on without this member, the client would tell the loss by itself.
            return Err(KafkaError::Rebalancing { group: self.group.to_string() }.into());
        }
        if error.is_fenced() {
            for commit in commits {
                self.renew(&commit.partition);
            }
        } else if error.class() == Class::Permanent && commits.len() == 1 {
            // Nobody took the partition away, and no commit of it will be taken: that has to be seen.
            self.keep(error.clone().into());
        }
        Err(error.into())
    }

    fn release(&mut self, partition: &TopicPartition, generation: Generation) {
        let before = self.assigned.len();
        self.assigned.retain(|assigned| assigned.tp != *partition || assigned.generation != generation);
        if self.assigned.len() < before && !self.leaving.contains(partition) {
            // Given up by the consumer alone: the group takes it when this member leaves.
            if let Err(error) = self.consumer.pause(&list([partition])) {
                tracing::warn!(group = %self.group, %partition, %error, "could not be paused");
            }
        }
        self.give_back();
    }

    fn reread(
        &mut self,
        partition: &TopicPartition,
        from: Offset,
        to: Offset,
        limit: Limit,
    ) -> Result<Batch, Fault> {
        Ok(self.rereader.look(partition, from, to, limit)?)
    }

    fn waker(&self) -> Waker {
        let bell = Arc::clone(&self.bell);
        Waker::new(move || bell.wake())
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        // The commit under way, if any, is waited for within its bound; then nothing else uses the client.
        if let Some(committer) = self.committer.take() {
            committer.stop();
        }
        self.consumer.context().close();
        self.assigned.clear();
        // Every change that waits for an answer gets one, or closing would wait for it.
        while let Some(change) = self.consumer.context().take_change() {
            match change {
                context::Change::Assign(partitions) => {
                    self.arriving.extend(partitions);
                    self.unanswered = true;
                }
                context::Change::Revoke { partitions, .. } => self.leaving.extend(partitions),
            }
        }
        if self.unanswered || !self.arriving.is_empty() {
            let mut arriving = list(&self.arriving);
            let answered = arriving
                .set_all_offsets(rdkafka::Offset::End)
                .and_then(|()| self.consumer.incremental_assign(&arriving));
            tracing::debug!(?answered, "an assignment that came while closing");
        }
        if !self.leaving.is_empty() {
            let answered = self.consumer.incremental_unassign(&list(&self.leaving));
            tracing::debug!(?answered, "a revocation that came while closing");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_troubles_the_worse_is_told_first_and_none_is_lost() {
        let mut source = KafkaSource::open(&Connection::new(["127.0.0.1:1"]), "g", SourceOptions::default())
            .expect("offline");
        let fault = |class| Fault::new(class, "x");
        let told = source.both(Err(fault(Class::Transient)), Err(fault(Class::Permanent)));
        assert_eq!(told.map_err(|fault| fault.class()), Err(Class::Permanent));
        assert_eq!(source.fault.as_ref().map(Fault::class), Some(Class::Transient));
        source.keep(fault(Class::Permanent));
        source.keep(fault(Class::Transient));
        assert_eq!(source.fault.as_ref().map(Fault::class), Some(Class::Permanent));
        let told = source.poll(Duration::ZERO, Limit { records: 1, bytes: 1 });
        assert_eq!(told.map_err(|fault| fault.class()).err(), Some(Class::Permanent));
    }
}
