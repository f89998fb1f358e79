//! The idempotency token: one name for one intended effect, the same on every attempt.

use bytes::Bytes;
use std::fmt;

/// The header that carries a record's own token (the CloudEvents `id` of the record).
pub const TOKEN_HEADER: &str = "ce-id";
/// The longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 256;

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

    /// The token of a record without one of its own: its origin, `topic/partition/offset`.
    pub fn of_origin(topic: &str, partition: u32, offset: u64) -> Self {
        Self(Bytes::from(format!("{topic}/{partition}/{offset}")))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_could_split_a_header() {
        assert_eq!(Token::new("a\r\nb"), Err(TokenError::Byte { byte: b'\r', at: 1 }));
        assert_eq!(Token::new(""), Err(TokenError::Length(0)));
        assert!(Token::new("order-17").is_ok());
    }
}
