//! The client of a member, and what is asked before it joins.

use super::bell::Bell;
use super::context::GroupContext;
use super::{GroupConsumer, SourceOptions};
use crate::connection::Connection;
use crate::error::{KafkaError, answered, heed};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use std::sync::Arc;
use std::time::Duration;

/// Settings of the client that a connection's properties may change.
///
/// A heartbeat tells a member of a rebalance, so its interval is how long the others wait for it when one leaves.
/// Each partition's queue has its own bound (a client's default is meant for one queue of all partitions), and a
/// partition whose queue was full is fetched again after a moment, not after a second: a second is as long as two
/// queues take.
const DEFAULTS: &[(&str, &str)] = &[
    ("heartbeat.interval.ms", "500"),
    ("queued.max.messages.kbytes", "16384"),
    ("fetch.queue.backoff.ms", "10"),
];

/// The client of a member of `group`, which rings `bell` when it has something to say.
pub(super) fn client(
    connection: &Connection,
    group: &str,
    options: &SourceOptions,
    bell: &Arc<Bell>,
) -> Result<GroupConsumer, KafkaError> {
    let session = options.session_timeout.as_millis().to_string();
    let interval = options.poll_interval_max.as_millis().to_string();
    let mut owned = vec![
        ("group.id", group),
        ("client.id", &options.client_id),
        ("session.timeout.ms", &session),
        ("max.poll.interval.ms", &interval),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "error"),
        ("enable.partition.eof", "false"),
        ("statistics.interval.ms", "1000"),
    ];
    if let Some(id) = &options.instance_id {
        owned.push(("group.instance.id", id));
    }
    let mut config = connection.reader_config(&owned)?;
    for (name, value) in DEFAULTS {
        if config.get(name).is_none() {
            config.set(*name, *value);
        }
    }
    let mut consumer: GroupConsumer = config
        .create_with_context(GroupContext::new(connection.trouble()?))
        .map_err(|source| connection.unusable("joining a consumer group", source))?;
    let ring = Arc::clone(bell);
    consumer.set_nonempty_callback(move || ring.ring());
    Ok(consumer)
}

/// Refuses topics that do not exist: a subscription would wait for them in silence.
pub(super) fn known(consumer: &GroupConsumer, topics: &[&str], timeout: Duration) -> Result<(), KafkaError> {
    heed(consumer)?;
    for topic in topics {
        let doing = || format!("looking for topic {topic}");
        let metadata = answered(consumer, doing, consumer.fetch_metadata(Some(topic), timeout))?;
        let error =
            metadata.topics().first().and_then(rdkafka::metadata::MetadataTopic::error).map(Code::from);
        if let Some(code) = error {
            let code = if code == Code::UnknownTopicOrPartition { Code::UnknownTopic } else { code };
            return Err(KafkaError::refused(doing(), ClientError::MetadataFetch(code)));
        }
    }
    Ok(())
}
