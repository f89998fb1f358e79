//! How a sink waits, batches and bounds itself.

use crate::connection::Connection;
use crate::error::KafkaError;
use rdkafka::ClientConfig;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How batches are compressed. The consumer needs no setting: each batch says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4, the cheapest to write.
    Lz4,
    /// Zstandard, the smallest.
    Zstd,
}

impl Compression {
    /// As clients spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// How a sink waits, batches and bounds itself. The defaults suit a cluster nearby.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkOptions {
    /// Most bytes waiting in the client for their acknowledgement; 1 KiB to 2 TiB. Default 64 MiB.
    pub queue_bytes: u64,
    /// Most records waiting there; 1 to 2³¹ − 1. Default 1,000,000.
    pub queue_records: u64,
    /// How long a record waits for room before it and the rest of its call are refused. Default 5 s.
    pub queue_wait: Duration,
    /// How long a call waits for its acknowledgements, retries included: 1 ms to 24 days, and longer than `linger`.
    /// Default 60 s, which a broker's restart fits into. What is not acknowledged by then may still be written: the
    /// [module's page](super) says how.
    pub delivery_timeout: Duration,
    /// How long a batch waits to become larger; up to 15 min. Default 5 ms.
    pub linger: Duration,
    /// The largest batch before compression, in bytes: 1 to 2³¹ − 1. Default 1,000,000.
    pub batch_bytes: u64,
    /// The largest key and value together, and the largest headers, in bytes, 1,000 to 1,000,000,000: a larger record is
    /// refused here, before it is sent. A topic's `max.message.bytes` must allow it. Default 1,000,000.
    pub record_bytes_max: u64,
    /// How batches are compressed. Default not at all.
    pub compression: Compression,
    /// How long dropping or closing waits for what is still queued. Default 5 s.
    pub close_within: Duration,
}

impl Default for SinkOptions {
    fn default() -> Self {
        Self {
            queue_bytes: 64 << 20,
            queue_records: 1_000_000,
            queue_wait: Duration::from_secs(5),
            delivery_timeout: Duration::from_mins(1),
            linger: Duration::from_millis(5),
            batch_bytes: 1_000_000,
            record_bytes_max: 1_000_000,
            compression: Compression::None,
            close_within: Duration::from_secs(5),
        }
    }
}

impl SinkOptions {
    /// The client's configuration; `more` are further settings that belong to Seawall.
    pub(super) fn config(
        &self,
        connection: &Connection,
        more: &[(&str, &str)],
    ) -> Result<ClientConfig, KafkaError> {
        let int_max = i32::MAX as u64;
        let delivery_ms = within("delivery_timeout", millis(self.delivery_timeout), 1..=int_max)?;
        let linger_ms = within("linger", millis(self.linger), 0..=900_000)?;
        if linger_ms >= delivery_ms {
            let want = format!("shorter than `delivery_timeout`, which is {delivery_ms} ms");
            return Err(KafkaError::setting("linger", &format!("{linger_ms} ms"), &want));
        }
        let queue_kib = within("queue_bytes", self.queue_bytes, 1024..=int_max << 10)? >> 10;
        let queue_records = within("queue_records", self.queue_records, 1..=int_max)?;
        let batch_bytes = within("batch_bytes", self.batch_bytes, 1..=int_max)?;
        let record_bytes = within("record_bytes_max", self.record_bytes_max, 1_000..=1_000_000_000)?;
        let text = [delivery_ms, linger_ms, queue_kib, queue_records, batch_bytes, record_bytes]
            .map(|number| number.to_string());
        let mut owned = vec![
            ("enable.idempotence", "true"),
            ("acks", "all"),
            // As Kafka's own clients place keys, so that both may write to one topic.
            ("partitioner", "murmur2_random"),
            ("compression.type", self.compression.as_str()),
            ("message.timeout.ms", &text[0]),
            ("linger.ms", &text[1]),
            ("queue.buffering.max.kbytes", &text[2]),
            ("queue.buffering.max.messages", &text[3]),
            ("batch.size", &text[4]),
            ("message.max.bytes", &text[5]),
            // Only for whether some broker is up, which a refused login is held against.
            ("statistics.interval.ms", "10000"),
        ];
        owned.extend_from_slice(more);
        connection.client_config(&owned)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn within(name: &str, value: u64, bounds: RangeInclusive<u64>) -> Result<u64, KafkaError> {
    if bounds.contains(&value) {
        return Ok(value);
    }
    let want = format!("{} to {}", bounds.start(), bounds.end());
    Err(KafkaError::setting(name, &value.to_string(), &want))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(options: SinkOptions) -> String {
        options.config(&Connection::new(["localhost:1"]), &[]).unwrap_err().to_string()
    }

    #[test]
    fn bounds_are_named() {
        let base = SinkOptions::default;
        assert!(base().config(&Connection::new(["localhost:1"]), &[]).is_ok());
        assert!(refused(SinkOptions { queue_bytes: 1023, ..base() }).contains("`queue_bytes` is \"1023\""));
        assert!(refused(SinkOptions { delivery_timeout: Duration::ZERO, ..base() }).contains("1 to"));
        let linger = Duration::from_mins(1);
        assert!(refused(SinkOptions { linger, ..base() }).contains("shorter than `delivery_timeout`"));
    }

    #[test]
    fn what_keeps_records_safe_cannot_be_set_otherwise() {
        let mut connection = Connection::new(["localhost:1"]);
        connection.properties.insert("acks".to_owned(), "1".to_owned());
        let error = SinkOptions::default().config(&connection, &[]).unwrap_err();
        assert!(matches!(error, KafkaError::Setting { name, .. } if name == "acks"));
    }
}
