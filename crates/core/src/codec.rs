//! How a record lies in a frame of the wal.
//!
//! The wal keeps bytes and checks them; what they mean is said here. One frame holds one record:
//!
//! | field | form |
//! | --- | --- |
//! | version | 1 byte, [`VERSION`] |
//! | flags | 1 byte: bit 0 a key follows, bit 1 headers follow; all others zero |
//! | timestamp | zigzag varint, milliseconds since the Unix epoch, the producer's |
//! | key | varint length, bytes (with bit 0) |
//! | headers | varint count ≥ 1, then for each: varint length and name, varint length and value (with bit 1) |
//! | value | the rest of the frame |
//!
//! Varints are LEB128 of at most ten bytes. The value comes last and has no length: an empty value and a missing
//! one are the same thing here. Retention by age goes by the wal's own times, not by the timestamp: a producer's
//! clock may be wrong.
//!
//! Decoding copies nothing: key, headers and value share the frame's [`Bytes`]. A frame that does not read is a
//! [`CodecError`] that names the byte, never a panic; the checksum below makes it a defect rather than damage.

use crate::clock::WallMs;
use crate::fault::{Class, Classify};
use crate::record::{HEADERS_MAX, Header, Headers, Record, RecordError};
use bytes::{Buf, BufMut, Bytes};

/// The version this build writes, and the only one it reads.
pub const VERSION: u8 = 1;
const HAS_KEY: u8 = 0b01;
const HAS_HEADERS: u8 = 0b10;
/// Ten groups of seven bits hold 64 bits.
const VARINT_BYTES_MAX: usize = 10;
/// An empty name and an empty value.
const HEADER_BYTES_MIN: usize = 2;

/// Why a frame is not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Written by a newer build, or not a record at all.
    #[error("record format version {found} at byte 0; this build reads version {VERSION}")]
    Version {
        /// The version byte.
        found: u8,
    },
    /// A flag of a newer build.
    #[error("unknown flags {found:#010b} at byte 1; only the lowest two bits are defined")]
    Flags {
        /// The flags byte.
        found: u8,
    },
    /// The frame ends before the field does.
    #[error("{field} at byte {at} needs {needed} bytes, {left} are left")]
    Short {
        /// Which field.
        field: &'static str,
        /// Where it starts.
        at: usize,
        /// What it asks for.
        needed: u64,
        /// What is there.
        left: usize,
    },
    /// A varint over 64 bits, or a time out of range.
    #[error("{field} at byte {at} is out of range")]
    Range {
        /// Which field.
        field: &'static str,
        /// Where it starts.
        at: usize,
    },
    /// A kind of fact this build does not know.
    #[error("unknown kind {found} at byte 1")]
    Kind {
        /// The kind byte.
        found: u8,
    },
    /// A header count of zero, or of more than what follows has room for.
    #[error("{count} headers at byte {at}; 1 to {max} are possible")]
    HeaderCount {
        /// The count read.
        count: u64,
        /// The most for which there is room.
        max: usize,
        /// Where it stands.
        at: usize,
    },
    /// A header's name.
    #[error("header name at byte {at}")]
    HeaderName {
        /// Where it starts.
        at: usize,
        /// What is wrong with it.
        source: RecordError,
    },
}

impl Classify for CodecError {
    fn class(&self) -> Class {
        Class::Permanent
    }
}

/// Appends the frame of `record` to `out`.
pub fn encode(record: &Record, out: &mut impl BufMut) {
    let mut flags = 0;
    if record.key.is_some() {
        flags |= HAS_KEY;
    }
    if !record.headers.is_empty() {
        flags |= HAS_HEADERS;
    }
    out.put_u8(VERSION);
    out.put_u8(flags);
    put_varint(zigzag(record.timestamp.0), out);
    if let Some(key) = &record.key {
        put_bytes(key, out);
    }
    if !record.headers.is_empty() {
        put_varint(record.headers.len() as u64, out);
        for header in &record.headers {
            put_bytes(header.name_bytes(), out);
            put_bytes(&header.value, out);
        }
    }
    out.put_slice(&record.value);
}

/// How many bytes [`encode`] writes for `record`.
pub fn encoded_bytes(record: &Record) -> usize {
    let key = record.key.as_ref().map_or(0, |key| bytes_bytes(key.len()));
    let header = |header: &Header| bytes_bytes(header.name_bytes().len()) + bytes_bytes(header.value.len());
    let headers: usize = record.headers.iter().map(header).sum();
    let count = if record.headers.is_empty() { 0 } else { varint_bytes(record.headers.len() as u64) };
    2 + varint_bytes(zigzag(record.timestamp.0)) + key + count + headers + record.value.len()
}

/// How many bytes [`put_varint`] writes.
pub fn varint_bytes(value: u64) -> usize {
    (64 - value.leading_zeros()).div_ceil(7).max(1) as usize
}

/// How many bytes [`put_bytes`] writes for `len` of them.
pub fn bytes_bytes(len: usize) -> usize {
    varint_bytes(len as u64) + len
}

/// Reads a frame; the record shares its bytes.
///
/// # Errors
/// [`CodecError`] names the field and the byte.
pub fn decode(frame: &Bytes) -> Result<Record, CodecError> {
    decode_owned(frame.clone())
}

/// As [`decode`], for a frame that is not needed any more: the value takes its place, so that the count of
/// references, which readers on several processors change, is changed once less.
///
/// # Errors
/// As [`decode`].
pub fn decode_owned(mut frame: Bytes) -> Result<Record, CodecError> {
    let mut cursor = Cursor { frame: &frame, at: 0 };
    let version = cursor.byte("version")?;
    if version != VERSION {
        return Err(CodecError::Version { found: version });
    }
    let flags = cursor.byte("flags")?;
    if flags & !(HAS_KEY | HAS_HEADERS) != 0 {
        return Err(CodecError::Flags { found: flags });
    }
    let timestamp = unzigzag(cursor.varint("timestamp")?);
    let key = if flags & HAS_KEY == 0 { None } else { Some(cursor.bytes("key")?) };
    let headers = if flags & HAS_HEADERS == 0 { Headers::default() } else { cursor.headers()? };
    let value_at = cursor.at;
    frame.advance(value_at);
    Ok(Record { key, value: frame, headers, timestamp: WallMs(timestamp) })
}

/// Appends a LEB128 varint.
pub fn put_varint(mut value: u64, out: &mut impl BufMut) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Appends a length and the bytes.
pub fn put_bytes(bytes: &[u8], out: &mut impl BufMut) {
    put_varint(bytes.len() as u64, out);
    out.put_slice(bytes);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Reads a frame from its start; every read is bounds-checked and names its field.
#[derive(Debug)]
pub struct Cursor<'a> {
    /// What is read.
    pub frame: &'a Bytes,
    /// The byte that comes next.
    pub at: usize,
}

impl Cursor<'_> {
    fn short(&self, field: &'static str, needed: u64) -> CodecError {
        CodecError::Short { field, at: self.at, needed, left: self.frame.len() - self.at }
    }

    /// One byte.
    ///
    /// # Errors
    /// [`CodecError`] names `field` and its place.
    pub fn byte(&mut self, field: &'static str) -> Result<u8, CodecError> {
        let byte = *self.frame.get(self.at).ok_or_else(|| self.short(field, 1))?;
        self.at += 1;
        Ok(byte)
    }

    /// A LEB128 varint.
    ///
    /// # Errors
    /// [`CodecError`] names `field` and its place.
    pub fn varint(&mut self, field: &'static str) -> Result<u64, CodecError> {
        let start = self.at;
        let mut value = 0_u64;
        for group in 0..VARINT_BYTES_MAX {
            let byte = self.byte(field)?;
            let bits = u64::from(byte & 0x7f);
            if group == VARINT_BYTES_MAX - 1 && bits > 1 {
                break;
            }
            value |= bits << (7 * group);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(CodecError::Range { field, at: start })
    }

    /// A length and as many bytes, shared with the frame.
    ///
    /// # Errors
    /// [`CodecError`] names `field` and its place.
    pub fn bytes(&mut self, field: &'static str) -> Result<Bytes, CodecError> {
        let len = self.varint(field)?;
        let left = self.frame.len() - self.at;
        match usize::try_from(len) {
            Ok(len) if len <= left => {
                let bytes = self.frame.slice(self.at..self.at + len);
                self.at += len;
                Ok(bytes)
            }
            Ok(_) | Err(_) => Err(self.short(field, len)),
        }
    }

    fn headers(&mut self) -> Result<Headers, CodecError> {
        let at = self.at;
        let count = self.varint("header count")?;
        // How many a record may have is judged where it is taken. What was written by then is read.
        let max = (self.frame.len() - self.at) / HEADER_BYTES_MIN;
        if count == 0 || count > max as u64 {
            return Err(CodecError::HeaderCount { count, max, at });
        }
        let mut headers = Vec::with_capacity((count as usize).min(HEADERS_MAX));
        for _ in 0..count {
            let at = self.at;
            let name = self.bytes("header name")?;
            let value = self.bytes("header value")?;
            let header =
                Header::from_bytes(name, value).map_err(|source| CodecError::HeaderName { at, source })?;
            headers.push(header);
        }
        Ok(headers.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(record: &Record) -> Bytes {
        let mut out = Vec::new();
        encode(record, &mut out);
        assert_eq!(out.len(), encoded_bytes(record));
        Bytes::from(out)
    }

    prop_compose! {
        fn any_record()(
            key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
            value in proptest::collection::vec(any::<u8>(), 0..200),
            headers in proptest::collection::vec(("[a-z\u{e9}-]{0,12}", proptest::collection::vec(any::<u8>(), 0..30)), 0..6),
            timestamp in any::<i64>(),
        ) -> Record {
            Record {
                key: key.map(Bytes::from),
                value: Bytes::from(value),
                headers: headers.into_iter().map(|(name, value)| Header::new(name, value)).collect(),
                timestamp: WallMs(timestamp),
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(record in any_record()) {
            prop_assert_eq!(decode(&encoded(&record)).unwrap(), record);
        }

        #[test]
        fn any_bytes_are_a_record_or_a_named_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let frame = Bytes::from(bytes);
            let _ = decode(&frame);
            let mut framed = vec![VERSION, HAS_KEY | HAS_HEADERS];
            framed.extend_from_slice(&frame);
            let _ = decode(&Bytes::from(framed));
        }

        #[test]
        fn a_flipped_or_cut_frame_never_panics(
            record in any_record(), at in any::<proptest::sample::Index>(), bit in 0_u8..8, cut in any::<proptest::sample::Index>(),
        ) {
            let frame = encoded(&record);
            let mut flipped = frame.to_vec();
            let index = at.index(flipped.len());
            flipped[index] ^= 1 << bit;
            let _ = decode(&Bytes::from(flipped));
            let _ = decode(&frame.slice(..cut.index(frame.len())));
        }
    }

    #[test]
    fn errors_name_the_byte() {
        assert_eq!(decode(&Bytes::from_static(&[9])), Err(CodecError::Version { found: 9 }));
        assert_eq!(decode(&Bytes::from_static(&[1, 4])), Err(CodecError::Flags { found: 4 }));
        assert_eq!(
            decode(&Bytes::from_static(&[1, 1, 0, 5, b'a'])),
            Err(CodecError::Short { field: "key", at: 4, needed: 5, left: 1 })
        );
        let mut endless = vec![1, 0];
        endless.extend_from_slice(&[0xff; 11]);
        assert_eq!(decode(&Bytes::from(endless)), Err(CodecError::Range { field: "timestamp", at: 2 }));
        assert_eq!(
            decode(&Bytes::from_static(&[1, 2, 0, 0])),
            Err(CodecError::HeaderCount { count: 0, max: 0, at: 3 })
        );
        assert_eq!(
            decode(&Bytes::from_static(&[1, 2, 0, 3, 0, 0, 0, 0, 0])),
            Err(CodecError::HeaderCount { count: 3, max: 2, at: 3 })
        );
    }

    #[test]
    fn what_was_written_is_read_however_many_headers_it_has() {
        let mut record = Record::new(None, "v");
        record.headers = (0..=HEADERS_MAX).map(|n| Header::new(format!("h{n}"), "x")).collect();
        assert!(record.check().is_err(), "and refused where it is taken");
        assert_eq!(decode(&encoded(&record)).unwrap(), record);
    }

    #[test]
    fn the_format_is_pinned() {
        let mut record = Record::new(Bytes::from_static(b"k"), "v");
        record.headers.push(Header::new("h", "x"));
        record.timestamp = WallMs(1);
        assert_eq!(&encoded(&record)[..], b"\x01\x03\x02\x01k\x01\x01h\x01xv");
    }

    #[test]
    fn decoding_copies_nothing() {
        let frame = encoded(&Record::new(Bytes::from_static(b"key"), "value"));
        let record = decode(&frame).unwrap();
        let within = frame.as_ptr_range();
        assert!(within.contains(&record.value.as_ptr()));
        assert!(within.contains(&record.key.unwrap().as_ptr()));
    }
}
