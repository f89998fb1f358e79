//! What a sink says of a record beyond what the broker said.

use crate::error::{KafkaError, Trouble};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use seawall_core::{Class, Classify, Fault};

/// Why a record has no receipt although no broker refused it. What a broker refused is a [`KafkaError`].
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// An earlier record of the same key in the same call failed and is worth another attempt. This one may
    /// have been written; sent again behind the earlier one it comes last, as it should.
    #[error(
        "topic {topic}: an earlier record of this key in this call failed, and must be written before it"
    )]
    Overtook {
        /// The topic.
        topic: String,
        /// What became of the earlier one.
        #[source]
        earlier: EarlierFault,
    },
    /// The client's queue had no room within [`SinkOptions::queue_wait`](super::SinkOptions::queue_wait).
    #[error("topic {topic}: the queue towards Kafka had no room for {waited_ms} ms; come back later")]
    Full {
        /// The topic.
        topic: String,
        /// How long room was waited for.
        waited_ms: u128,
        /// What the client said.
        #[source]
        source: KafkaError,
    },
    /// The batch that the record was sent in is over what the topic takes. Batches are smaller from now on.
    #[error(
        "topic {topic}: the batch of this record was too large and refused; smaller ones are sent from now on"
    )]
    BatchRefused {
        /// The topic.
        topic: String,
        /// What the broker said.
        #[source]
        source: KafkaError,
    },
    /// The transaction was given up; nothing of it is visible. Begin another and do the whole again, from the
    /// group's committed offsets.
    #[error("transactional id {id}: the transaction is aborted")]
    Aborted {
        /// The transactional id.
        id: String,
        /// What the coordinator or the client said.
        #[source]
        source: KafkaError,
    },
    /// Another producer holds the transactional id now, or the client failed for good.
    #[error("transactional id {id}: another producer has taken it over, or this one failed for good")]
    Fenced {
        /// The transactional id.
        id: String,
        /// What the coordinator or the client said.
        #[source]
        source: KafkaError,
    },
    /// The commit was asked for and never answered. A new sink of the same id settles it; the group's committed
    /// offsets then say which way.
    #[error("transactional id {id}: the commit was not answered; open the id again and read the offsets")]
    Undecided {
        /// The transactional id.
        id: String,
        /// What the client said.
        #[source]
        source: KafkaError,
    },
    /// The client gave no offset: the record may have been written.
    #[error("topic {topic}: the broker never said where the record was written, or whether")]
    Unanswered {
        /// The topic.
        topic: String,
    },
}

/// The failure of an earlier record, as a source.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct EarlierFault(pub Fault);

impl Classify for SinkError {
    fn class(&self) -> Class {
        match self {
            Self::Overtook { earlier, .. } => earlier.0.class(),
            Self::Full { .. } => Class::Overload,
            Self::Fenced { .. } => Class::Permanent,
            Self::BatchRefused { .. }
            | Self::Aborted { .. }
            | Self::Undecided { .. }
            | Self::Unanswered { .. } => Class::Transient,
        }
    }
}

/// What the client said of an attempt, as this crate's error.
pub(super) fn refused(doing: String, source: ClientError) -> KafkaError {
    match source {
        // Only a name with a NUL byte comes here, and no topic has one.
        ClientError::Nul(_) => KafkaError::setting("topic", &doing, "a name without NUL bytes"),
        source => KafkaError::refused(doing, source),
    }
}

/// The failure that a delivery report tells.
pub(super) fn undelivered(topic: &str, partition: i32, source: ClientError, trouble: &Trouble) -> KafkaError {
    match source.rdkafka_error_code() {
        // The client has waited `topic.metadata.propagation.max.ms` for a topic that is only being made.
        Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {
            let gone = ClientError::MessageProduction(RDKafkaErrorCode::UnknownTopic);
            refused(format!("a record for topic {topic}"), gone)
        }
        _ if partition < 0 => trouble.explain(format!("a record for topic {topic}"), source),
        _ => trouble.explain(format!("a record for {topic}/{partition}"), source),
    }
}
