//! How the settled offsets beyond the watermark are written into a commit.
//!
//! # Format, version 1
//!
//! Nothing settled beyond: no bytes at all. Otherwise:
//!
//! | bytes | meaning |
//! | --- | --- |
//! | 2 | `0x53 0x57` ("SW") |
//! | 1 | version, `1` |
//! | 1 | kind: `1` runs, `2` bits |
//! | n | payload |
//! | 4 | crc32c of the watermark (8 bytes, little-endian) and all bytes above, little-endian |
//!
//! Runs: pairs of LEB128 numbers, the distance from the end of the run before (at first, from the watermark)
//! and the length, until the payload ends. Bits: bit `i` of byte `b`, lowest first, is the offset
//! `watermark + 8 b + i`. The shorter of the two is written.
//!
//! The checksum covers the watermark because the two travel apart in some stores: a watermark that somebody
//! moved by hand must not be combined with a set that was relative to another.
//!
//! # When it does not fit
//!
//! With a bound (Kafka: 3,072 bytes, which are 4,096 characters of base64) the payload is cut, and of the two
//! cuts the one that keeps more offsets is written. Left out are always the highest offsets: after a restart
//! their records are delivered again, with their old tokens. That repeats work, it loses none.
//!
//! # What cannot be read
//!
//! Garbage (another tool's metadata, a damaged store, a later version) reads as the empty set, and the caller
//! says so in the log: everything above the watermark is delivered again.

use super::OffsetSet;
use bytes::Bytes;
use seawall_core::{Offset, Position};

const MAGIC: [u8; 2] = *b"SW";
const VERSION: u8 = 1;
const RUNS: u8 = 1;
const BITS: u8 = 2;
const HEAD: usize = 4;
const TAIL: usize = 4;

/// A position with its set encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The watermark and the encoded set.
    pub position: Position,
    /// Whether settled offsets had to be left out.
    pub truncated: bool,
}

/// Why a set could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Too short, or another magic: written by something else.
    #[error("not written by a consumer of this kind")]
    Foreign,
    /// A version or kind this build does not know.
    #[error("format {version}, kind {kind} is not known to this build")]
    Unknown {
        /// The version byte.
        version: u8,
        /// The kind byte.
        kind: u8,
    },
    /// The checksum does not match, or the watermark was moved.
    #[error("the checksum does not match the bytes and the watermark")]
    Checksum,
    /// The payload contradicts itself.
    #[error("the payload is malformed")]
    Malformed,
}

/// A payload being built: the bytes that fit, and how many offsets they hold.
#[derive(Default)]
struct Payload {
    bytes: Vec<u8>,
    offsets: u64,
}

/// Encodes the `count` offsets of `done` at or above `watermark` in at most `bytes_max` bytes.
pub fn encode(watermark: Offset, done: &OffsetSet, count: u64, bytes_max: usize) -> Encoded {
    let room = bytes_max.saturating_sub(HEAD + TAIL);
    if count == 0 || room == 0 {
        return Encoded { position: Position { watermark, beyond: Bytes::new() }, truncated: count > 0 };
    }
    let runs = encode_runs(watermark, done, room);
    let bits = encode_bits(watermark, done, room);
    let runs_win = (runs.offsets, std::cmp::Reverse(runs.bytes.len()))
        >= (bits.offsets, std::cmp::Reverse(bits.bytes.len()));
    let (kind, payload) = if runs_win { (RUNS, runs) } else { (BITS, bits) };
    let truncated = payload.offsets < count;
    if payload.offsets == 0 {
        return Encoded { position: Position { watermark, beyond: Bytes::new() }, truncated };
    }
    let mut out = Vec::with_capacity(HEAD + payload.bytes.len() + TAIL);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[VERSION, kind]);
    out.extend_from_slice(&payload.bytes);
    let crc = checksum(watermark, &out);
    out.extend_from_slice(&crc.to_le_bytes());
    Encoded { position: Position { watermark, beyond: Bytes::from(out) }, truncated }
}

fn encode_runs(watermark: Offset, done: &OffsetSet, room: usize) -> Payload {
    let mut payload = Payload::default();
    let mut end_before = watermark;
    for (start, end) in done.runs(watermark) {
        let mark = payload.bytes.len();
        put_number(&mut payload.bytes, start - end_before);
        put_number(&mut payload.bytes, end - start);
        if payload.bytes.len() > room {
            payload.bytes.truncate(mark);
            break;
        }
        payload.offsets += end - start;
        end_before = end;
    }
    payload
}

fn encode_bits(watermark: Offset, done: &OffsetSet, room: usize) -> Payload {
    let mut payload = Payload::default();
    let bits_max = (room as u64).saturating_mul(8);
    for (start, end) in done.runs(watermark) {
        let first = start - watermark;
        if first >= bits_max {
            break;
        }
        let last = (end - watermark).min(bits_max);
        payload.bytes.resize(last.div_ceil(8) as usize, 0);
        for bit in first..last {
            payload.bytes[(bit / 8) as usize] |= 1 << (bit % 8);
        }
        payload.offsets += last - first;
    }
    payload
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// [`DecodeError`]; the caller goes on with the empty set and says so.
pub fn decode(position: &Position) -> Result<OffsetSet, DecodeError> {
    let bytes = &position.beyond[..];
    if bytes.is_empty() {
        return Ok(OffsetSet::default());
    }
    if bytes.len() < HEAD + TAIL || bytes[..2] != MAGIC {
        return Err(DecodeError::Foreign);
    }
    let (body, tail) = bytes.split_at(bytes.len() - TAIL);
    if checksum(position.watermark, body).to_le_bytes() != tail {
        return Err(DecodeError::Checksum);
    }
    let (version, kind, payload) = (body[2], body[3], &body[HEAD..]);
    match (version, kind) {
        (VERSION, RUNS) => decode_runs(position.watermark, payload),
        (VERSION, BITS) => decode_bits(position.watermark, payload),
        _ => Err(DecodeError::Unknown { version, kind }),
    }
}

fn decode_runs(watermark: Offset, mut payload: &[u8]) -> Result<OffsetSet, DecodeError> {
    let mut set = OffsetSet::default();
    let mut at = watermark;
    while !payload.is_empty() {
        let gap = take_number(&mut payload).ok_or(DecodeError::Malformed)?;
        let length = take_number(&mut payload).ok_or(DecodeError::Malformed)?;
        let start = at.checked_add(gap).ok_or(DecodeError::Malformed)?;
        at = start.checked_add(length).ok_or(DecodeError::Malformed)?;
        set.insert_range(start, at);
    }
    Ok(set)
}

fn decode_bits(watermark: Offset, payload: &[u8]) -> Result<OffsetSet, DecodeError> {
    watermark.checked_add(payload.len() as u64 * 8).ok_or(DecodeError::Malformed)?;
    let mut set = OffsetSet::default();
    for (at, byte) in payload.iter().enumerate() {
        for bit in 0..8 {
            if byte & (1 << bit) != 0 {
                set.insert(watermark + at as u64 * 8 + bit);
            }
        }
    }
    Ok(set)
}

fn checksum(watermark: Offset, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&watermark.to_le_bytes()), body)
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            return None;
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(offsets: impl IntoIterator<Item = Offset>) -> (OffsetSet, u64) {
        let mut set = OffsetSet::default();
        let count = offsets.into_iter().map(|offset| u64::from(set.insert(offset))).sum();
        (set, count)
    }

    fn offsets_of(set: &OffsetSet) -> Vec<Offset> {
        set.runs(0).flat_map(|(start, end)| start..end).collect()
    }

    /// Test 18 of the fault list: a random half of 30,000.
    #[test]
    fn a_random_half_of_thirty_thousand_stays_within_the_bound() {
        for seed in 0..50 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (set, count) = filled((101..30_100).filter(|_| rng.bool()));
            for bytes_max in [32, 100, 1_000, 3_072, 4_096] {
                let encoded = encode(100, &set, count, bytes_max);
                assert!(encoded.position.beyond.len() <= bytes_max);
                let kept = offsets_of(&decode(&encoded.position).expect("own encoding"));
                let whole = offsets_of(&set);
                assert_eq!(kept[..], whole[..kept.len()], "what is left out is the highest part");
                assert_eq!(encoded.truncated, kept.len() < whole.len());
                assert!(!kept.is_empty());
                if bytes_max == 4_096 {
                    assert!(!encoded.truncated, "30,000 bits are 3,750 bytes");
                }
            }
        }
    }

    /// Test 20 of the fault list, on the codec alone.
    #[test]
    fn garbage_is_an_error_and_never_a_panic() {
        let (set, count) = filled((11..500).filter(|n| n % 3 != 0));
        let good = encode(10, &set, count, 4_096).position;
        assert!(decode(&good).is_ok());
        for at in 0..good.beyond.len() {
            for bit in 0..8 {
                let mut bad = good.beyond.to_vec();
                bad[at] ^= 1 << bit;
                assert!(decode(&Position { watermark: 10, beyond: bad.into() }).is_err());
            }
            let cut = Position { watermark: 10, beyond: good.beyond.slice(..at) };
            assert_eq!(decode(&cut).is_err(), at != 0, "no bytes at all mean the empty set");
        }
        assert_eq!(decode(&Position { watermark: 11, ..good }).err(), Some(DecodeError::Checksum));
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..10_000 {
            let beyond: Vec<u8> = (0..rng.usize(1..64)).map(|_| rng.u8(..)).collect();
            let _ = decode(&Position { watermark: rng.u64(..), beyond: beyond.into() });
        }
    }

    #[test]
    fn payloads_that_lie_under_a_right_checksum_are_malformed() {
        let seal = |watermark: Offset, kind: u8, payload: &[u8]| {
            let mut out = vec![MAGIC[0], MAGIC[1], VERSION, kind];
            out.extend_from_slice(payload);
            let crc = checksum(watermark, &out);
            out.extend_from_slice(&crc.to_le_bytes());
            Position { watermark, beyond: out.into() }
        };
        let malformed = Some(DecodeError::Malformed);
        assert_eq!(decode(&seal(0, RUNS, &[1])).err(), malformed, "half a pair");
        assert_eq!(decode(&seal(0, RUNS, &[0x80; 11])).err(), malformed, "a number without an end");
        assert_eq!(decode(&seal(u64::MAX, RUNS, &[1, 1])).err(), malformed, "past the end of numbers");
        assert_eq!(decode(&seal(u64::MAX, BITS, &[1])).err(), malformed);
        assert_eq!(decode(&seal(0, 9, &[])).err(), Some(DecodeError::Unknown { version: VERSION, kind: 9 }));
        let mut huge = Vec::new();
        put_number(&mut huge, 0);
        put_number(&mut huge, u64::MAX);
        let set = decode(&seal(0, RUNS, &huge)).expect("a legal, absurd run");
        assert!(set.heap_bytes() < 10_000);
    }
}
