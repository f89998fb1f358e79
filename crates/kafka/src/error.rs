//! What can go wrong with a cluster, by name.

mod code;
mod login;
mod reports;
mod trouble;

use crate::token::TokenError;
use rdkafka::error::RDKafkaErrorCode;
use seawall_core::{Class, Classify, Generation, TopicPartition};

pub(crate) use code::is_about_group;
pub use code::{Meaning, is_fenced, meaning};
pub(crate) use trouble::{Trouble, Troubled, answered, explained, heed};

/// Why Kafka refuses or fails: what was tried, what the broker or the client said, and what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KafkaError {
    /// A client setting that is missing, unknown, or belongs to Seawall.
    #[error("Kafka setting `{name}` is {value:?}: it must be {want}")]
    Setting {
        /// The setting.
        name: String,
        /// Its value; empty for a secret.
        value: String,
        /// What would be right.
        want: String,
    },
    /// A setting that needs OpenSSL, in a build without it.
    #[error(
        "Kafka setting `{name}` is {value:?}, which needs TLS, and this Seawall was built without it: build it \
         with `--features tls` (the system's OpenSSL) or `--features tls-vendored` (its own)"
    )]
    WithoutTls {
        /// The setting.
        name: String,
        /// Its value: a protocol or a mechanism.
        value: String,
    },
    /// The client could not be made from its settings.
    #[error("the Kafka client cannot start while {doing}")]
    Client {
        /// What was tried.
        doing: &'static str,
        /// What librdkafka said.
        #[source]
        source: rdkafka::error::KafkaError,
    },
    /// A broker, or the client on its behalf, said no.
    #[error("{doing}: {code:?}{}: {advice}", in_brackets(said.as_deref()))]
    Refused {
        /// What was tried, with topic, partition or group.
        doing: String,
        /// The protocol's or the client's code.
        code: RDKafkaErrorCode,
        /// What to do about it.
        advice: &'static str,
        /// The broker's or the client's own words, where there were any.
        said: Option<Box<str>>,
        /// What was said.
        #[source]
        source: Box<rdkafka::error::KafkaError>,
    },
    /// A partition is not held under that assignment (any more): nothing may be committed for it.
    #[error("group {group}: {partition} is not held under generation {}; another member may own it by now", given.0)]
    NotHeld {
        /// The group.
        group: String,
        /// The partition.
        partition: TopicPartition,
        /// The generation of the late completion.
        given: Generation,
    },
    /// A commit was not answered in time; nothing is known of it.
    #[error("group {group}: the commit was not answered within {waited_ms} ms; the next one supersedes it")]
    Unanswered {
        /// The group.
        group: String,
        /// How long it was waited for.
        waited_ms: u128,
    },
    /// The group began a new generation while the commit was under way. What is kept through that is committed
    /// under the new one; what is not is told as revoked or lost.
    #[error(
        "group {group}: the group was rebalancing while the commit was under way; the next one supersedes it"
    )]
    Rebalancing {
        /// The group.
        group: String,
    },
    /// A refusal that may come of a broker that stalls or goes away, or that has not heard of something.
    #[error("{source}; it is tried again, since it may pass")]
    MayPass {
        /// What was said.
        source: Box<KafkaError>,
    },
    /// The cluster's token is not to be had, now.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A change of the cluster that was asked for in the name of a token.
    #[error(
        "{doing}: the Kafka client can read and write with a token (OAUTHBEARER), but change no topics; do it by \
         other means, or with another SASL mechanism"
    )]
    ChangeWithToken {
        /// What was asked for.
        doing: String,
    },
    /// The operating system gave no thread.
    #[error("no thread while {doing}")]
    Thread {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: std::sync::Arc<std::io::Error>,
    },
    /// The client or its thread was closed.
    #[error("the Kafka client is closed")]
    Closed,
}

impl KafkaError {
    /// What a broker, or the client on its behalf, answered while `doing`.
    pub(crate) fn refused(doing: impl Into<String>, source: rdkafka::error::KafkaError) -> Self {
        let code = source.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        let (advice, source) = (meaning(code).advice, Box::new(source));
        Self::Refused { doing: doing.into(), code, advice, said: None, source }
    }

    /// As [`refused`](Self::refused), with the words in which it was said.
    pub(crate) fn told(doing: impl Into<String>, source: rdkafka::error::KafkaError, words: &str) -> Self {
        let mut error = Self::refused(doing, source);
        if let Self::Refused { said, .. } = &mut error {
            *said = Some(words.into());
        }
        error
    }

    /// Whether it says that somebody else holds what was held.
    pub fn is_fenced(&self) -> bool {
        match self {
            Self::NotHeld { .. } => true,
            Self::Refused { code, .. } => is_fenced(*code),
            _ => false,
        }
    }

    /// Whether it says that a record is larger than the sink or the topic takes.
    pub fn is_too_large(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                code: RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge,
                ..
            }
        )
    }

    /// Whether it says that there is no such topic.
    pub fn is_unknown_topic(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                code: RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition,
                ..
            }
        )
    }

    /// Whether the settings are at fault, rather than what a broker says to them.
    pub fn is_setting(&self) -> bool {
        matches!(self, Self::Setting { .. } | Self::Client { .. } | Self::WithoutTls { .. })
    }

    pub(crate) fn setting(name: &str, value: &str, want: &str) -> Self {
        Self::Setting { name: name.to_owned(), value: value.to_owned(), want: want.to_owned() }
    }
}

fn in_brackets(said: Option<&str>) -> String {
    said.map_or_else(String::new, |said| format!(" ({said})"))
}

impl Classify for KafkaError {
    fn class(&self) -> Class {
        match self {
            Self::Setting { .. }
            | Self::WithoutTls { .. }
            | Self::Client { .. }
            | Self::ChangeWithToken { .. }
            | Self::NotHeld { .. } => Class::Permanent,
            Self::Refused { code, .. } => meaning(*code).class,
            // Closing is an end that was asked for: whoever still had a record sends it again elsewhere.
            // And a token's file is written by another program, which may be late.
            Self::Unanswered { .. }
            | Self::Rebalancing { .. }
            | Self::MayPass { .. }
            | Self::Token(_)
            | Self::Thread { .. }
            | Self::Closed => Class::Transient,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::error::KafkaError as ClientError;
    use rdkafka::types::RDKafkaRespErr;

    /// Every code that librdkafka knows by number, the brokers' and its own.
    fn all() -> impl Iterator<Item = RDKafkaErrorCode> {
        (-199..=200).filter_map(|n| RDKafkaRespErr::try_from(n).ok()).map(RDKafkaErrorCode::from)
    }

    #[test]
    fn every_code_has_a_class_and_an_advice() {
        assert!(all().count() > 100, "{}", all().count());
        for code in all() {
            let meaning = meaning(code);
            assert!(!meaning.advice.is_empty(), "{code:?}");
            assert!(matches!(meaning.class, Class::Permanent | Class::Transient), "{code:?}");
            if is_fenced(code) {
                assert_eq!(meaning.class, Class::Permanent, "{code:?}: a fenced owner never retries");
            }
        }
    }

    #[test]
    fn what_cannot_heal_stops_and_what_can_is_tried_again() {
        use RDKafkaErrorCode as Code;
        let class = |code| KafkaError::refused("x", ClientError::Global(code)).class();
        for code in [
            Code::SaslAuthenticationFailed,
            Code::Authentication,
            Code::TopicAuthorizationFailed,
            Code::GroupAuthorizationFailed,
            Code::UnsupportedVersion,
            Code::InvalidConfig,
            Code::FencedInstanceId,
            Code::IllegalGeneration,
            Code::UnknownMemberId,
            Code::MessageSizeTooLarge,
            Code::InvalidTopic,
            Code::Fatal,
        ] {
            assert_eq!(class(code), Class::Permanent, "{code:?}");
        }
        for code in [
            Code::BrokerTransportFailure,
            Code::AllBrokersDown,
            Code::NotLeaderForPartition,
            Code::OperationTimedOut,
            Code::CoordinatorLoadInProgress,
            Code::CoordinatorNotAvailable,
            Code::RebalanceInProgress,
            Code::UnknownTopicOrPartition,
            Code::Unknown,
        ] {
            assert_eq!(class(code), Class::Transient, "{code:?}");
        }
    }

    #[test]
    fn the_message_says_what_was_tried_what_was_said_and_what_to_do() {
        let source = ClientError::Global(RDKafkaErrorCode::GroupAuthorizationFailed);
        let said = seawall_core::Fault::from(KafkaError::refused("joining group orders", source)).to_string();
        for part in
            ["joining group orders", "GroupAuthorizationFailed", "ACL Read", "Group authorization failed"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}
