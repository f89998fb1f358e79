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

impl Name {
    /// The setting that `written` (a whole path) means.
    pub(crate) fn of(written: &str) -> Option<Self> {
        let words = words(written);
        // sarama's consumer has an `errors` to return as well, which is not about deliveries.
        let consumers = words.iter().any(|word| word == "consumer");
        let found = NAMES.iter().find(|(end, _)| {
            words.len() >= end.len() && words[words.len() - end.len()..].iter().zip(*end).all(|(a, b)| a == b)
        });
        found.map(|(_, name)| *name).filter(|name| !(consumers && *name == Self::DeliveryReports))
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
        for other in ["backpacks", "Consumer.Return.Errors", "timeout", "max.poll.records", ""] {
            assert_eq!(Name::of(other), None, "{other}");
        }
    }
}
