//! Reads records again, and positions that overflowed, without touching the group: a second client that only
//! assigns.
//!
//! # Partitions
//!
//! Each partition that is read has its own queue in the client and its own place there, so that reads of several
//! partitions in turn do not throw away what was fetched for each other. A read that goes on where the last one of
//! its partition stopped finds its records in the queue; another one seeks. A partition that nobody has read for
//! [`IDLE`] is given up.
//!
//! # The end of a log
//!
//! The client tells the end of a log through the same queue, without its offset, and long before anybody reads. An
//! end that was told before the records asked for were written says nothing of them: only one that was told where the
//! client has sought since counts. And a leader that is new may not know yet how far its followers are, and ends its
//! log before records that were delivered long ago. So records that an end says are gone are believed to be gone only
//! once it has been told so for [`BELIEVED_AFTER`], by the leader: a follower (`client.rack`) may be behind for longer.
//! Otherwise records would pass for a gap, and be lost.
//!
//! # Memory
//!
//! A read mostly goes back or jumps, and then what was fetched ahead is thrown away: little is fetched ahead
//! ([`SETTINGS`]), about 256 KiB a partition, and one record or batch of any size.
//!
//! # Waiting
//!
//! A broker answers one fetch at a time. One that waits for records at the end of a log delays those for other
//! partitions and those after a seek, so it is held for a moment only.

use super::convert::Copier;
use super::list;
use super::place::{Place, Stopped, is_believed};
use crate::admin::Quiet;
use crate::connection::Connection;
use crate::error::{KafkaError, Troubled, is_about_group};
use rdkafka::Offset as ClientOffset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::TopicPartitionList;
use seawall_core::{Batch, Clock, Limit, Nanos, Offset, SystemClock, TopicPartition};
use std::sync::Arc;
use std::time::Duration;

/// How long a read waits for its first record where there is time; the next one goes on where it stopped.
const READ: Duration = Duration::from_millis(100);
/// How long a partition that is not read is still fetched.
const IDLE: Duration = Duration::from_secs(2);
/// How long a partition is left to who reads records again there: the two would throw away what was fetched for each
/// other, and neither would get anywhere.
const REREAD: Duration = Duration::from_millis(500);
/// How many records ahead of its place a read still skips rather than seeks.
const SKIP: u64 = 500;

/// See the module: what is fetched ahead, and how long a fetch waits at the end of a log.
const SETTINGS: &[(&str, &str)] = &[
    ("fetch.message.max.bytes", "131072"),
    ("queued.max.messages.kbytes", "128"),
    ("queued.min.messages", "1000"),
    ("fetch.queue.backoff.ms", "5"),
    ("fetch.wait.max.ms", "20"),
    ("fetch.min.bytes", "1"),
];
/// Not wanted here: another name of one of [`SETTINGS`], and what lets a follower answer.
const LEFT_OUT: &[&str] = &["max.partition.fetch.bytes", "client.rack"];
/// How long the end of a log has to be told before records that were there count as gone. Twice as long as a follower
/// may be behind and be elected (`replica.lag.time.max.ms`, 30 s by default).
const BELIEVED_AFTER: Duration = Duration::from_mins(1);

/// See the module.
pub(crate) struct Rereader {
    connection: Connection,
    pub(super) group: Arc<str>,
    pub(super) timeout: Duration,
    /// See the module: how long the end of a log has to be told.
    believed_after: Duration,
    /// Before the client, which closes once no queue is held.
    places: Vec<Place>,
    pub(super) consumer: Option<Arc<BaseConsumer<Quiet>>>,
    copier: Copier,
    pub(super) clock: SystemClock,
}

impl Rereader {
    /// For records that were delivered once, and so were there.
    pub(crate) fn new(connection: Connection, group: Arc<str>, timeout: Duration) -> Self {
        let (copier, clock) = (Copier::default(), SystemClock::new());
        let believed_after = BELIEVED_AFTER;
        Self { connection, group, timeout, believed_after, places: Vec::new(), consumer: None, copier, clock }
    }

    /// For ranges whose end was asked for just now: there may have been nothing but gaps.
    pub(crate) fn of_ranges(connection: Connection, group: Arc<str>, timeout: Duration) -> Self {
        Self { believed_after: Duration::ZERO, ..Self::new(connection, group, timeout) }
    }

    /// When a question that is asked now has been waited for long enough.
    pub(crate) fn deadline(&self) -> Nanos {
        self.clock.now().plus(self.timeout)
    }

    /// Records of `tp` in `from..to`; none, with `next` at `from`, where the broker has not answered yet. Waits for
    /// it a little.
    pub(crate) fn read(
        &mut self,
        tp: &TopicPartition,
        from: Offset,
        to: Offset,
        limit: Limit,
    ) -> Result<Batch, KafkaError> {
        self.read_within(READ, tp, from, to, limit)
    }

    /// The same without waiting: what the broker has answered so far.
    pub(crate) fn look(
        &mut self,
        tp: &TopicPartition,
        from: Offset,
        to: Offset,
        limit: Limit,
    ) -> Result<Batch, KafkaError> {
        self.read_within(Duration::ZERO, tp, from, to, limit)
    }

    /// Records of `tp` from `from` on, as far as the broker has answered; does not wait. None where there are none yet.
    pub(crate) fn follow(
        &mut self,
        tp: &TopicPartition,
        from: Offset,
        limit: Limit,
    ) -> Result<Batch, KafkaError> {
        let mut batch = Batch { records: Vec::new(), next: from };
        self.serve(tp, from)?;
        let now = self.clock.now();
        let reread = self.places.iter().find(|place| place.tp == *tp).and_then(|place| place.reread);
        if reread.is_some_and(|at| now.since(at) < REREAD) {
            return Ok(batch);
        }
        // No end that is told here is to be believed later.
        let place = self.stand_at(tp, from, 0)?;
        loop {
            let Self { places, copier, clock, .. } = self;
            match places[place].pull(copier, clock, Duration::ZERO, Offset::MAX, limit, &mut batch) {
                Stopped::AtEnd => {}
                Stopped::Full | Stopped::Empty => {
                    self.came(&batch);
                    return Ok(batch);
                }
                Stopped::Failed(source) => {
                    let doing = format!("reading on in {tp} from {}", batch.next);
                    self.leave(place);
                    return if batch.records.is_empty() {
                        Err(KafkaError::refused(doing, source))
                    } else {
                        Ok(batch)
                    };
                }
            }
        }
    }

    fn read_within(
        &mut self,
        wait: Duration,
        tp: &TopicPartition,
        from: Offset,
        to: Offset,
        limit: Limit,
    ) -> Result<Batch, KafkaError> {
        let mut batch = Batch { records: Vec::new(), next: from };
        if from >= to {
            return Ok(batch);
        }
        self.serve(tp, from)?;
        let place = self.stand_at(tp, from, to)?;
        self.places[place].reread = Some(self.clock.now());
        let result = self.fill(place, wait, to, limit, &mut batch);
        self.came(&batch);
        if result.is_err() {
            self.leave(place);
        }
        result.map(|()| batch)
    }

    /// Records came, so whatever was said before is over.
    fn came(&self, batch: &Batch) {
        if let Some(consumer) = self.consumer.as_ref().filter(|_| !batch.records.is_empty()) {
            consumer.context().trouble().over();
        }
    }

    fn fill(
        &mut self,
        place: usize,
        wait: Duration,
        to: Offset,
        limit: Limit,
        batch: &mut Batch,
    ) -> Result<(), KafkaError> {
        // A read that is asked for brings something.
        let limit = Limit { records: limit.records.max(1), bytes: limit.bytes.max(1) };
        let Self { places, copier, clock, .. } = self;
        let Place { tp, end_above, .. } = &places[place];
        let (tp, end_above) = (tp.clone(), *end_above);
        match places[place].pull(copier, clock, wait, to, limit, batch) {
            Stopped::Full | Stopped::Empty => Ok(()),
            Stopped::AtEnd => {
                // Told once: who reads on here has to seek.
                places[place].next = None;
                let told = end_above >= to;
                let (now, after) = (clock.now(), self.believed_after);
                if told && is_believed(&mut places[place].ended, batch.next, now, after) {
                    if !after.is_zero() {
                        tracing::warn!(
                            group = %self.group, partition = %tp, from = batch.next, to,
                            "records to be read again are not there any more"
                        );
                    }
                    batch.next = to;
                }
                Ok(())
            }
            Stopped::Failed(ClientError::MessageConsumption(
                Code::AutoOffsetReset | Code::OffsetOutOfRange,
            )) => {
                batch.next = self.gone(&tp, batch.next, to)?;
                self.leave(place);
                Ok(())
            }
            Stopped::Failed(source) => {
                let doing = format!("reading {tp} from {} again", batch.next);
                Err(KafkaError::refused(doing, source))
            }
        }
    }

    /// Lets the client do what is due: opens it, gives up what is idle, and hears of trouble that concerns it as a
    /// whole.
    fn serve(&mut self, tp: &TopicPartition, from: Offset) -> Result<(), KafkaError> {
        self.rest();
        let consumer = self.open()?;
        let mut trouble = None;
        while let Some(said) = consumer.poll(Duration::ZERO) {
            // Of a group nothing is wanted.
            let said = said.err().filter(|error| !error.rdkafka_error_code().is_some_and(is_about_group));
            trouble = said.or(trouble);
        }
        match trouble {
            Some(source) => {
                let doing = format!("reading {tp} from {from} again");
                Err(consumer.context().trouble().explain(doing, source))
            }
            None => Ok(()),
        }
    }

    /// Gives up the partitions that nobody reads any more.
    pub(crate) fn rest(&mut self) {
        let now = self.clock.now();
        for place in (0..self.places.len()).rev() {
            if now.since(self.places[place].used) >= IDLE {
                self.leave(place);
            }
        }
    }

    fn leave(&mut self, place: usize) {
        let place = self.places.swap_remove(place);
        if let Some(consumer) = &self.consumer
            && let Err(error) = consumer.incremental_unassign(&list([&place.tp]))
        {
            tracing::warn!(group = %self.group, partition = %place.tp, %error, "could not be left");
        }
    }

    pub(super) fn open(&mut self) -> Result<Arc<BaseConsumer<Quiet>>, KafkaError> {
        if let Some(consumer) = &self.consumer {
            return Ok(Arc::clone(consumer));
        }
        // The client assigns nothing without a group's name; it neither joins nor commits.
        let mut config = self.connection.reader_config(&[
            ("group.id", &self.group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("enable.partition.eof", "true"),
        ])?;
        for name in LEFT_OUT {
            config.remove(name);
        }
        for (name, value) in SETTINGS {
            config.set(*name, *value);
        }
        let consumer: BaseConsumer<Quiet> = config
            .create_with_context(Quiet::groupless(self.connection.trouble()?))
            .map_err(|source| self.connection.unusable("reading parked records again", source))?;
        Ok(Arc::clone(self.consumer.insert(Arc::new(consumer))))
    }

    /// The place of a partition, whose queue goes on at `from` or a little below. Everything below `to` is written.
    fn stand_at(&mut self, tp: &TopicPartition, from: Offset, to: Offset) -> Result<usize, KafkaError> {
        let consumer = self.open()?;
        let refused = |source| KafkaError::refused(format!("reading {tp} from {from} again"), source);
        let (number, at) = (tp.partition as i32, ClientOffset::Offset(from as i64));
        if let Some(found) = self.places.iter().position(|place| place.tp == *tp) {
            let place = &mut self.places[found];
            place.used = self.clock.now();
            if place.next.is_some_and(|next| (next..=next + SKIP).contains(&from)) {
                return Ok(found);
            }
            // The client's own thread answers, no broker is asked.
            if consumer.seek(&tp.topic, number, at, self.timeout).is_ok() {
                (place.next, place.end_above) = (Some(from), to);
                return Ok(found);
            }
            // Its fetching has not begun yet, or was given up.
            self.leave(found);
        }
        // Before the client begins to fetch, or the first records would lie in the queue of all.
        let queue = consumer.split_partition_queue(&tp.topic, number).ok_or(KafkaError::Closed)?;
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&tp.topic, number, at)
            .and_then(|()| consumer.incremental_assign(&list))
            .map_err(refused)?;
        let used = self.clock.now();
        self.places.push(Place {
            tp: tp.clone(),
            queue,
            next: Some(from),
            end_above: to,
            ended: None,
            used,
            reread: None,
        });
        Ok(self.places.len() - 1)
    }

    /// The partition does not hold `from`: where what it still holds begins, or `to` where the log was cut below.
    fn gone(&self, tp: &TopicPartition, from: Offset, to: Offset) -> Result<Offset, KafkaError> {
        let Some(consumer) = &self.consumer else { return Err(KafkaError::Closed) };
        let (low, high) = consumer
            .fetch_watermarks(&tp.topic, tp.partition as i32, self.timeout)
            .map_err(|source| KafkaError::refused(format!("reading the range of {tp}"), source))?;
        let (low, high) = (u64::try_from(low).unwrap_or(0), u64::try_from(high).unwrap_or(0));
        tracing::warn!(group = %self.group, partition = %tp, asked = from, earliest = low, latest = high, "records to be read again are not held any more");
        Ok(if from >= high { to } else { low.clamp(from, to) })
    }
}
