//! Which setting a name means.

/// A setting that some rule looks at, or that tells what kind of client this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Brokers,
    Acks,
    BufferBytes,
    BufferRecords,
    InFlight,
    Idempotence,
    /// The same, the other way round (franz-go).
    NoIdempotence,
    /// Whether failed sends are told (sarama, confluent-kafka-go).
    DeliveryReports,
    /// Sends that nobody waits for (kafka-go).
    Async,
    Linger,
    Compression,
    Retries,
    TransactionalId,
    GroupId,
    GroupProtocol,
    SessionTimeout,
    HeartbeatInterval,
    PollInterval,
    Assignor,
    AutoCommit,
    OffsetStore,
}

/// Words at the end of a name, longest first where one ends another.
const NAMES: &[(&[&str], Name)] = &[
    (&["bootstrap", "servers"], Name::Brokers),
    (&["metadata", "broker", "list"], Name::Brokers),
    (&["seed", "brokers"], Name::Brokers),
    (&["brokers"], Name::Brokers),
    (&["request", "required", "acks"], Name::Acks),
    (&["required", "acks"], Name::Acks),
    (&["acks"], Name::Acks),
    (&["buffer", "memory"], Name::BufferBytes),
    (&["queue", "buffering", "max", "kbytes"], Name::BufferBytes),
    (&["max", "buffered", "bytes"], Name::BufferBytes),
    (&["queue", "buffering", "max", "messages"], Name::BufferRecords),
    (&["max", "in", "flight", "requests", "per", "connection"], Name::InFlight),
    (&["max", "in", "flight"], Name::InFlight),
    (&["max", "open", "requests"], Name::InFlight),
    (&["max", "produce", "requests", "inflight", "per", "broker"], Name::InFlight),
    (&["disable", "idempotent", "write"], Name::NoIdempotence),
    (&["enable", "idempotence"], Name::Idempotence),
    (&["idempotent"], Name::Idempotence),
    (&["go", "delivery", "reports"], Name::DeliveryReports),
    (&["return", "errors"], Name::DeliveryReports),
    (&["async"], Name::Async),
    (&["linger", "ms"], Name::Linger),
    (&["queue", "buffering", "max", "ms"], Name::Linger),
    (&["compression", "type"], Name::Compression),
    (&["compression", "codec"], Name::Compression),
    (&["message", "send", "max", "retries"], Name::Retries),
    (&["transactional", "id"], Name::TransactionalId),
    (&["group", "id"], Name::GroupId),
    (&["group", "protocol"], Name::GroupProtocol),
    (&["session", "timeout", "ms"], Name::SessionTimeout),
    (&["session", "timeout"], Name::SessionTimeout),
    (&["heartbeat", "interval", "ms"], Name::HeartbeatInterval),
    (&["heartbeat", "interval"], Name::HeartbeatInterval),
    (&["max", "poll", "interval", "ms"], Name::PollInterval),
    (&["max", "poll", "interval"], Name::PollInterval),
    (&["partition", "assignment", "strategy"], Name::Assignor),
    (&["enable", "auto", "commit"], Name::AutoCommit),
    (&["enable", "auto", "offset", "store"], Name::OffsetStore),
];

/// Words that divide the settings of one client and make no other of it: Spring's and Flink's `properties`,
/// Spring Cloud's `configuration`, sarama's `Net`.
const SECTIONS: &[&str] = &["properties", "config", "configuration", "net"];
/// Words before settings of the broker that end as a client's do.
const BROKERS: &[&[&str]] = &[&["group", "consumer"], &["group", "min"], &["group", "max"], &["zookeeper"]];

impl Name {
    /// The setting that `written` (a whole path) means.
    pub(crate) fn of(written: &str) -> Option<Self> {
        Self::split(written).map(|(name, _)| name)
    }

    /// As [`Self::of`], and the [`prefix`] that stands before it.
    pub(super) fn split(written: &str) -> Option<(Self, Vec<String>)> {
        let mut words = words(written);
        // sarama's consumer has an `errors` to return as well, which is not about deliveries.
        let consumers = words.iter().any(|word| word == "consumer");
        let (end, name) = NAMES.iter().find(|(end, _)| ends(&words, end))?;
        words.truncate(words.len() - end.len());
        let brokers = |of: &&[&str]| words.windows(of.len()).any(|some| *some == **of);
        if (consumers && *name == Self::DeliveryReports) || BROKERS.iter().any(brokers) {
            return None;
        }
        Some((*name, without_sections(words)))
    }

    pub(crate) fn is_consumers(self) -> bool {
        matches!(
            self,
            Self::GroupId
                | Self::GroupProtocol
                | Self::SessionTimeout
                | Self::HeartbeatInterval
                | Self::PollInterval
                | Self::Assignor
                | Self::AutoCommit
                | Self::OffsetStore
        )
    }

    pub(crate) fn is_producers(self) -> bool {
        matches!(
            self,
            Self::Acks
                | Self::BufferBytes
                | Self::BufferRecords
                | Self::Idempotence
                | Self::NoIdempotence
                | Self::DeliveryReports
                | Self::Linger
                | Self::Compression
                | Self::Retries
                | Self::TransactionalId
        )
    }
}

fn ends(words: &[String], end: &[&str]) -> bool {
    words.len() >= end.len() && words[words.len() - end.len()..] == *end
}

/// The words of what stands before a name, without those that tell no client from another.
pub(super) fn prefix(written: &str) -> Vec<String> {
    without_sections(words(written))
}

fn without_sections(mut words: Vec<String>) -> Vec<String> {
    words.retain(|word| !SECTIONS.contains(&word.as_str()));
    words
}

/// `Group.Session.Timeout`, `sessionTimeout` and `session-timeout` in words, in lower case.
pub(crate) fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        let begins = !c.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase());
        if begins && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_is_understood() {
        for (written, name) in [
            ("session.timeout.ms", Name::SessionTimeout),
            ("spring.kafka.consumer.properties.session.timeout.ms", Name::SessionTimeout),
            ("Consumer.Group.Session.Timeout", Name::SessionTimeout),
            ("SessionTimeout", Name::SessionTimeout),
            ("session_timeout", Name::SessionTimeout),
            ("spring.kafka.consumer.enable-auto-commit", Name::AutoCommit),
            ("Producer.RequiredAcks", Name::Acks),
            ("request.required.acks", Name::Acks),
            ("Net.MaxOpenRequests", Name::InFlight),
            ("Producer.Return.Errors", Name::DeliveryReports),
            ("go.delivery.reports", Name::DeliveryReports),
            ("maxInFlight", Name::InFlight),
        ] {
            assert_eq!(Name::of(written), Some(name), "{written}");
        }
        let brokers = ["group.consumer.heartbeat.interval.ms", "kafka.group.min.session.timeout.ms"];
        let others = ["backpacks", "Consumer.Return.Errors", "timeout", "max.poll.records", ""];
        for other in others.into_iter().chain(brokers).chain(["zookeeper.session.timeout.ms"]) {
            assert_eq!(Name::of(other), None, "{other}");
        }
    }
}
