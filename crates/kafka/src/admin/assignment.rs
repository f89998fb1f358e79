//! What a member of a group of consumers has been given, as the protocol writes it.
//!
//! Kafka protocol, `ConsumerProtocolAssignment` v0 to v3: a version (i16), an array (i32 count) of a topic
//! (i16 length, UTF-8) and its partitions (i32 count of i32), then bytes for the user. Big-endian.

use bytes::{Buf, TryGetError};
use seawall_core::TopicPartition;
use std::sync::Arc;

/// The partitions in `bytes`; `None` where it is something else.
pub(super) fn assigned(mut bytes: &[u8]) -> Option<Vec<TopicPartition>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let _version = bytes.try_get_i16().ok()?;
    let mut all = Vec::new();
    for _ in 0..count(bytes.try_get_i32())? {
        let length = usize::try_from(bytes.try_get_i16().ok()?).ok()?;
        let name = bytes.get(..length)?;
        let topic: Arc<str> = std::str::from_utf8(name).ok()?.into();
        bytes.advance(length);
        for _ in 0..count(bytes.try_get_i32())? {
            let partition = u32::try_from(bytes.try_get_i32().ok()?).ok()?;
            all.push(TopicPartition::new(topic.clone(), partition));
        }
    }
    Some(all)
}

/// A count is believed only as far as there are bytes: nothing is reserved by it.
fn count(said: Result<i32, TryGetError>) -> Option<u32> {
    u32::try_from(said.ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[u8] =
        b"\0\x01\0\0\0\x02\0\x02ab\0\0\0\x02\0\0\0\x01\0\0\0\x07\0\x01c\0\0\0\x01\0\0\0\0\0\0\0\0";

    #[test]
    fn partitions_are_read_topic_by_topic() {
        let at = TopicPartition::new;
        assert_eq!(assigned(TWO), Some(vec![at("ab", 1), at("ab", 7), at("c", 0)]));
        assert_eq!(assigned(b""), Some(vec![]));
    }

    #[test]
    fn what_is_cut_or_something_else_is_nothing() {
        // The last four bytes are the user's, which nobody reads.
        for length in 1..TWO.len() - 4 {
            assert_eq!(assigned(&TWO[..length]), None, "{length}");
        }
        assert_eq!(assigned(&[0, 1, 0x7f, 0xff, 0xff, 0xff]), None);
        assert_eq!(assigned(&[0, 1, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
