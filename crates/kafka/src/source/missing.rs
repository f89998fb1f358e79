//! Partitions of ours that the client says are not there.
//!
//! It says so after one answer of one broker, which may not have heard of them yet or have come back with what it knew
//! long ago, and goes on by itself once another answer has them. So that is told as something that may pass, and only
//! after a while without a record the cluster is asked: what it says then is believed.

use super::KafkaSource;
use super::later::Later;
use crate::error::{KafkaError, Troubled};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use seawall_core::{Class, Classify, Clock, Fault, Nanos, TopicPartition};
use std::time::Duration;

/// How long a partition has to be missing. As long as the client waits for a new topic to be known everywhere.
const BELIEVED_AFTER: Duration = Duration::from_secs(30);

/// A partition that is not there, as the client says.
#[derive(Clone, Debug)]
pub(super) struct Missing {
    pub(super) tp: TopicPartition,
    /// Once it has been missing for long enough.
    ask_after: Nanos,
    /// It is not asked for again before this.
    later: Later,
}

impl Missing {
    fn is_due(&self, now: Nanos) -> bool {
        now >= self.ask_after && self.later.is_due(now)
    }
}

impl KafkaSource {
    /// The client says, as `source`, that the partition at `place` is not there.
    pub(super) fn miss(&mut self, place: Option<usize>, source: ClientError) -> KafkaError {
        let Some(assigned) = place.and_then(|place| self.assigned.get(place)) else {
            return KafkaError::refused(format!("fetching for group {}", self.group), source);
        };
        let (tp, ask_after) = (assigned.tp.clone(), self.clock.now().plus(BELIEVED_AFTER));
        let error = KafkaError::refused(format!("fetching {tp} for group {}", self.group), source);
        if !self.missing.iter().any(|missing| missing.tp == tp) {
            self.missing.push(Missing { tp, ask_after, later: Later::default() });
        }
        KafkaError::MayPass { source: Box::new(error) }
    }

    /// Asks the cluster for what has been missing for long enough.
    ///
    /// # Errors
    /// `Permanent`: it is not there, or may not be seen any more.
    pub(super) fn look_for_missing(&mut self) -> Result<(), Fault> {
        if self.missing.is_empty() {
            return Ok(());
        }
        // What the group took away is its new owner's.
        let assigned = &self.assigned;
        self.missing.retain(|missing| assigned.iter().any(|held| held.tp == missing.tp && !held.revoked));
        let began = self.clock.now();
        let Some(at) = self.missing.iter().position(|missing| missing.is_due(began)) else { return Ok(()) };
        let tp = self.missing[at].tp.clone();
        match self.is_there(&tp) {
            Ok(true) => {
                self.missing.remove(at);
                Ok(())
            }
            Ok(false) => {
                let source = ClientError::MetadataFetch(Code::UnknownPartition);
                Err(KafkaError::refused(format!("fetching {tp} for group {}", self.group), source).into())
            }
            Err(error) if error.class() == Class::Permanent => Err(error.into()),
            Err(error) => {
                tracing::debug!(group = %self.group, partition = %tp, %error, "not known whether it is there");
                self.missing[at].later.wait(began, self.clock.now());
                Ok(())
            }
        }
    }

    fn is_there(&self, tp: &TopicPartition) -> Result<bool, KafkaError> {
        let doing = || format!("looking for {tp}");
        let said = self.consumer.fetch_metadata(Some(&tp.topic), self.options.request_timeout);
        let said = said.map_err(|source| self.consumer.context().trouble().explain(doing(), source))?;
        let Some(topic) = said.topics().first() else { return Ok(false) };
        match topic.error().map(Code::from) {
            None => Ok(topic.partitions().iter().any(|partition| partition.id() == tp.partition as i32)),
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Ok(false),
            Some(code) => Err(KafkaError::refused(doing(), ClientError::MetadataFetch(code))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Connection;
    use crate::source::SourceOptions;
    use crate::source::start::Start;
    use rdkafka::mocking::MockCluster;
    use seawall_core::{Batch, Limit, Origin, Position};

    /// A source of the cluster at `address` that holds partition 0 of `t`, and was told that it is not there.
    fn told(address: &str) -> KafkaSource {
        let options = SourceOptions { request_timeout: Duration::from_secs(10), ..SourceOptions::default() };
        let mut source = KafkaSource::open(&Connection::new([address]), "g", options).expect("offline");
        let tp = TopicPartition::new("t", 0);
        let queue = source.queue_of(&tp).expect("offline");
        source.begin(Start { tp, position: Position::default(), origin: Origin::Committed, end: 9 }, queue);
        for _ in 0..2 {
            let gone = ClientError::MessageConsumption(Code::UnknownPartition);
            let fault = source.trouble(gone, Some(0)).expect_err("it is told");
            assert_eq!(fault.class(), Class::Transient);
            assert!(fault.to_string().contains("fetching t/0 for group g"), "{fault}");
        }
        assert_eq!(source.missing.len(), 1);
        source
    }

    #[test]
    fn a_partition_that_is_missing_is_asked_about_after_a_while_and_then_believed_to_be_gone() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let mut source = told(&cluster.bootstrap_servers());
        let now = source.clock.now();
        assert!(!source.missing[0].is_due(now.plus(Duration::from_secs(25))));
        assert!(source.missing[0].is_due(now.plus(BELIEVED_AFTER)));
        source.look_for_missing().expect("it is too early");
        source.missing[0].ask_after = Nanos(0);
        for (topic, partition) in [("t", 99), ("no-such-topic", 0)] {
            let tp = TopicPartition::new(topic, partition);
            (source.missing[0].tp, source.assigned[0].tp) = (tp.clone(), tp.clone());
            let fault = source.look_for_missing().expect_err("it is not there");
            assert_eq!(fault.class(), Class::Permanent);
            assert!(fault.to_string().contains(&format!("fetching {tp} for group g: UnknownP")), "{fault}");
        }
        source.assigned[0].revoked = true;
        source.look_for_missing().expect("it is another's");
        assert!(source.missing.is_empty());
    }

    #[test]
    fn one_answer_that_lacks_a_partition_ends_nothing() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let mut source = told(&cluster.bootstrap_servers());
        source.missing[0].ask_after = Nanos(0);
        source.look_for_missing().expect("it is there");
        assert!(source.missing.is_empty());

        let mut source = told(&cluster.bootstrap_servers());
        source.assigned[0].batch = Some(Batch::default());
        source.gather(Limit { records: 0, bytes: 0 }, &mut Vec::new()).expect("records came");
        assert!(source.missing.is_empty());
    }

    #[test]
    fn a_cluster_that_does_not_answer_says_nothing_of_a_partition() {
        let mut source = told("127.0.0.1:1");
        source.options.request_timeout = Duration::from_millis(50);
        source.missing[0].ask_after = Nanos(0);
        source.look_for_missing().expect("nothing is known");
        let waits = !source.missing[0].later.is_due(source.clock.now());
        assert!(waits, "nothing is polled while it is asked");
        let said = ClientError::Global(Code::UnknownPartition);
        source.consumer.context().trouble().note(&said, "desired partition is not available");
        let error =
            source.consumer.context().trouble().explain("x", ClientError::Global(Code::AllBrokersDown));
        assert_eq!(error.class(), Class::Transient, "{error}");
    }
}
