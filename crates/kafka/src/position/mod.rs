//! How a position is written beside a committed offset.
//!
//! The committed offset is the watermark; the set of settled offsets beyond it goes into the commit's metadata,
//! a string of at most 4,096 characters ([`METADATA_CHARS_MAX`], the brokers' default):
//!
//! | metadata | meaning |
//! | --- | --- |
//! | empty | nothing beyond |
//! | `SW1i` + base64 (no padding) of the bytes | they fit |
//! | `SW1p` + `watermark:partition:offset:topic` | they do not: they are the value of that record ([`overflow`]) |
//!
//! The bytes are the tracker's own and carry their own magic and checksum. Whatever cannot be read is reported to
//! the caller, who goes on with the empty set: records are delivered again, none is lost.

pub(crate) mod overflow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use seawall_core::Offset;

/// The longest metadata that a broker with default settings takes, in characters.
pub const METADATA_CHARS_MAX: usize = 4_096;
const INLINE: &str = "SW1i";
const POINTER: &str = "SW1p";

/// What the metadata of a commit says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Metadata {
    /// The bytes themselves; none where nothing is settled beyond.
    Inline(Vec<u8>),
    /// Where the bytes are.
    Pointer(Pointer),
}

/// A record of the overflow topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointer {
    /// The watermark that the record was written for: a commit moved by hand does not match it.
    pub(crate) watermark: Offset,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// Metadata that Seawall did not write, or that was damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("not written by Seawall, or by a later version of it")]
    Foreign,
    #[error("damaged")]
    Damaged,
}

/// The metadata that holds `beyond` itself; `None` where it is too long.
pub(crate) fn inline(beyond: &[u8]) -> Option<String> {
    if beyond.is_empty() {
        return Some(String::new());
    }
    let mut out = INLINE.to_owned();
    STANDARD_NO_PAD.encode_string(beyond, &mut out);
    (out.len() <= METADATA_CHARS_MAX).then_some(out)
}

/// The metadata that points to a record.
pub(crate) fn point_to(pointer: &Pointer) -> String {
    let Pointer { watermark, topic, partition, offset } = pointer;
    format!("{POINTER}{watermark}:{partition}:{offset}:{topic}")
}

/// Reads what [`inline`] or [`point_to`] wrote.
pub(crate) fn parse(text: &str) -> Result<Metadata, Unreadable> {
    if text.is_empty() {
        return Ok(Metadata::Inline(Vec::new()));
    }
    if let Some(rest) = text.strip_prefix(INLINE) {
        return STANDARD_NO_PAD.decode(rest).map(Metadata::Inline).map_err(|_| Unreadable::Damaged);
    }
    let rest = text.strip_prefix(POINTER).ok_or(Unreadable::Foreign)?;
    let mut parts = rest.splitn(4, ':');
    let mut part = || parts.next().filter(|part| !part.is_empty()).ok_or(Unreadable::Damaged);
    let damaged = |_| Unreadable::Damaged;
    let pointer = Pointer {
        watermark: part()?.parse().map_err(damaged)?,
        partition: part()?.parse().map_err(damaged)?,
        offset: part()?.parse().map_err(damaged)?,
        topic: part()?.to_owned(),
    };
    if pointer.partition < 0 || pointer.offset < 0 || pointer.topic.contains('\0') {
        return Err(Unreadable::Damaged);
    }
    Ok(Metadata::Pointer(pointer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_come_back_and_stay_within_the_bound() {
        for length in 0..5_000 {
            let beyond: Vec<u8> = (0..length).map(|n| n as u8).collect();
            match inline(&beyond) {
                Some(text) => {
                    assert!(text.len() <= METADATA_CHARS_MAX);
                    assert_eq!(parse(&text), Ok(Metadata::Inline(beyond)));
                }
                None => assert!(length > 3_060, "{length} bytes fit"),
            }
        }
        let topic = "a.b-c_d".repeat(35);
        let pointer = Pointer { watermark: u64::MAX, topic, partition: i32::MAX, offset: i64::MAX };
        let text = point_to(&pointer);
        assert!(text.len() <= METADATA_CHARS_MAX);
        assert_eq!(parse(&text), Ok(Metadata::Pointer(pointer)));
    }

    #[test]
    fn garbage_is_an_error_and_never_a_panic() {
        for text in ["x", "SW2iAAAA", "SW1", "{\"a\":1}", "ünïcode"] {
            assert_eq!(parse(text), Err(Unreadable::Foreign), "{text}");
        }
        for text in [
            "SW1i!",
            "SW1iA",
            "SW1p",
            "SW1p1:2:3",
            "SW1p1:2:3:",
            "SW1p-1:2:3:t",
            "SW1p1:-2:3:t",
            "SW1p1:2:3:t\0",
        ] {
            assert_eq!(parse(text), Err(Unreadable::Damaged), "{text:?}");
        }
    }
}
