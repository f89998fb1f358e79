//! Which partition a record belongs to.
//!
//! A key's partition is the non-negative murmur2 of its bytes modulo the number of partitions: the rule of
//! Kafka's default partitioner (`org.apache.kafka.common.utils.Utils.murmur2` and `toPositive`; Austin
//! Appleby's MurmurHash2, 32 bits, seed `0x9747b28c`). A topic of as many partitions in Kafka therefore puts
//! each key where it lay here. The rule is part of the on-disk promise and never changes.
//!
//! Records without a key stay on one partition until [`STICKY_BYTES`] went there, then move on to the next:
//! spreading every record would dirty (and sync) every partition in every round.

use std::sync::atomic::{AtomicU64, Ordering};

const SEED: u32 = 0x9747_b28c;
const MULTIPLY: u32 = 0x5bd1_e995;

/// How many bytes without a key go to one partition before the next takes over: Kafka's default `batch.size`.
pub const STICKY_BYTES: u64 = 16 * 1024;

/// The 32-bit MurmurHash2 with Kafka's seed.
pub fn murmur2(bytes: &[u8]) -> u32 {
    let mut hash = SEED ^ bytes.len() as u32;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        k = k.wrapping_mul(MULTIPLY);
        k ^= k >> 24;
        k = k.wrapping_mul(MULTIPLY);
        hash = hash.wrapping_mul(MULTIPLY) ^ k;
    }
    let tail = words.remainder();
    if !tail.is_empty() {
        for (place, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(MULTIPLY);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLY);
    hash ^ (hash >> 15)
}

/// The partition of `key` among `partitions` (at least 1).
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

/// Chooses the partition of records without a key.
#[derive(Debug, Default)]
pub(crate) struct Sticky {
    bytes: AtomicU64,
}

impl Sticky {
    /// The partition for a record of `weight` bytes.
    pub(crate) fn next(&self, weight: usize, partitions: u32) -> u32 {
        // An empty record counts too, or a topic of empty records would never leave partition 0.
        let before = self.bytes.fetch_add(weight.max(1) as u64, Ordering::Relaxed);
        ((before / STICKY_BYTES) % u64::from(partitions.max(1))) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_kafka() {
        // The vectors of Kafka's UtilsTest.testMurmur2.
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn a_negative_hash_still_has_a_partition() {
        // murmur2("21") is negative: its sign bit is dropped, not its sign.
        assert_eq!(partition_of(b"21", 8), 0x45f2_f8ec % 8);
        assert!((0..1000_u32).all(|key| partition_of(&key.to_le_bytes(), 7) < 7));
    }

    #[test]
    fn keyless_records_stick_then_move_on() {
        let sticky = Sticky::default();
        let chosen: Vec<u32> = (0..64).map(|_| sticky.next(1024, 3)).collect();
        assert_eq!(chosen[..16], [0; 16]);
        assert_eq!(chosen[16..32], [1; 16]);
        assert_eq!(chosen[32..48], [2; 16]);
        assert_eq!(chosen[48..64], [0; 16]);
    }
}
