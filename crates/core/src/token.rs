//! The idempotency token: one name for one intended effect, the same on every attempt.

use crate::clock::WallMs;
use crate::record::Record;
use crate::source::TopicPartition;
use bytes::Bytes;
use std::fmt;

/// The header that carries a record's own token (the CloudEvents `id` of the record).
pub const TOKEN_HEADER: &str = "ce-id";
/// The longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 256;

/// So much of a long topic's name is in the token of its records, in bytes.
pub const TOPIC_BYTES_KEPT: usize = 180;

/// Names one intended effect. Visible ASCII, 1 to 256 bytes, so that it can travel in any header.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(Bytes);

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No bytes, or too many.
    #[error("a token has 1 to {TOKEN_BYTES_MAX} bytes, not {0}")]
    Length(usize),
    /// A byte that cannot travel in an HTTP header.
    #[error("a token holds visible ASCII only; byte {byte:#04x} at position {at} is not")]
    Byte {
        /// The offending byte.
        byte: u8,
        /// Its index.
        at: usize,
    },
}

impl Token {
    /// Takes `bytes` as a token.
    ///
    /// # Errors
    /// [`TokenError`] when empty, longer than [`TOKEN_BYTES_MAX`], or not visible ASCII (0x21 to 0x7e).
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, TokenError> {
        let bytes = bytes.into();
        if bytes.is_empty() || bytes.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Length(bytes.len()));
        }
        match bytes.iter().position(|b| !(0x21..=0x7e).contains(b)) {
            Some(at) => Err(TokenError::Byte { byte: bytes[at], at }),
            None => Ok(Self(bytes)),
        }
    }

    /// The token of `record`, whose origin is `offset` of `partition`: its own where it carries a valid one, else
    /// [`Self::of_origin`].
    pub fn of_record(record: &Record, partition: &TopicPartition, offset: u64) -> Self {
        let own = record.headers.get(TOKEN_HEADER).and_then(|bytes| Self::new(bytes.clone()).ok());
        own.unwrap_or_else(|| {
            Self::of_origin(&partition.topic, partition.partition, offset, record.timestamp)
        })
    }

    /// The token of a record without one of its own: its origin and when it was written there,
    /// `topic/partition/offset/milliseconds`. The offset alone names other records once the topic was deleted and made
    /// anew, or its log was cut. Of a topic whose name leaves no room for the rest in [`TOKEN_BYTES_MAX`] the first
    /// [`TOPIC_BYTES_KEPT`] bytes stand, and the hash of all.
    pub fn of_origin(topic: &str, partition: u32, offset: u64, written: WallMs) -> Self {
        let whole = format!("{topic}/{partition}/{offset}/{written}");
        if whole.len() <= TOKEN_BYTES_MAX {
            return Self(Bytes::from(whole));
        }
        let kept = topic.floor_char_boundary(TOPIC_BYTES_KEPT);
        let (start, hash) = (&topic[..kept], fnv_1a(topic.as_bytes()));
        Self(Bytes::from(format!("{start}~{hash:016x}/{partition}/{offset}/{written}")))
    }

    /// The token's text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The token's bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.as_str())
    }
}

/// Fowler, Noll and Vo's hash, 64 bits, variant 1a: the same in each version of each program.
fn fnv_1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_that_names_another_record_has_another_token() {
        let of = |topic: &str, written| Token::of_origin(topic, 3, 42, WallMs(written));
        assert_eq!(of("orders", 1_700_000_000_000).as_str(), "orders/3/42/1700000000000");
        assert_ne!(of("orders", 1), of("orders", 2));
    }

    #[test]
    fn the_token_of_the_longest_topic_is_one() {
        let long = "x".repeat(249);
        let token = |topic: &str| Token::of_origin(topic, u32::MAX, u64::MAX, WallMs(i64::MIN));
        assert_eq!(Token::new(token(&long).as_bytes().clone()), Ok(token(&long)));
        assert_ne!(token(&long), token(&format!("{}y", &long[1..])));
        // The value that the authors give for "foobar".
        assert_eq!(fnv_1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn refuses_what_could_split_a_header() {
        assert_eq!(Token::new("a\r\nb"), Err(TokenError::Byte { byte: b'\r', at: 1 }));
        assert_eq!(Token::new(""), Err(TokenError::Length(0)));
        assert!(Token::new("order-17").is_ok());
    }
}
