//! What a producer wrote: key, value, headers, timestamp.

use crate::clock::WallMs;
use bytes::{Bytes, BytesMut};
use std::fmt;

/// The largest key, in bytes. A key names an order lane; it is not a place for payload.
pub const KEY_BYTES_MAX: usize = 16 * 1024;
/// The largest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most headers on one record.
pub const HEADERS_MAX: usize = 128;
/// The longest header name, in bytes.
pub const HEADER_NAME_BYTES_MAX: usize = 256;
/// The largest header value, in bytes.
pub const HEADER_VALUE_BYTES_MAX: usize = 32 * 1024;

/// One record. Cloning shares the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Records of one key keep their order; records without a key promise none.
    pub key: Option<Bytes>,
    /// The payload, never looked into.
    pub value: Bytes,
    /// Named annotations, in the order written; names may repeat.
    pub headers: Headers,
    /// When it was written, by the producer's wall clock.
    pub timestamp: WallMs,
}

impl Record {
    /// A record of `key` and `value`.
    pub fn new(key: impl Into<Option<Bytes>>, value: impl Into<Bytes>) -> Self {
        Self { key: key.into(), value: value.into(), headers: Headers::default(), timestamp: WallMs(0) }
    }

    /// Bytes this record holds, for budgets: key, value and headers, without the allocator's overhead.
    pub fn weight(&self) -> usize {
        self.key.as_ref().map_or(0, Bytes::len) + self.value.len() + self.headers.weight()
    }

    /// Copies its bytes into memory of their own. What is read is cut out of buffers of up to a megabyte, and a record that
    /// waits for long would keep all of its buffer.
    pub fn detach(&mut self) {
        let mut own = BytesMut::with_capacity(self.weight());
        let headers = self.headers.0.iter_mut().flat_map(|header| [&mut header.name, &mut header.value]);
        for bytes in self.key.iter_mut().chain([&mut self.value]).chain(headers) {
            own.extend_from_slice(bytes);
            *bytes = own.split().freeze();
        }
    }

    /// Refuses what exceeds the bounds above.
    ///
    /// # Errors
    /// [`RecordError`] names the part, its size and the bound.
    pub fn check(&self) -> Result<(), RecordError> {
        let within = |part: &'static str, bytes: usize, max: usize| {
            if bytes > max { Err(RecordError::TooLarge { part, bytes, max }) } else { Ok(()) }
        };
        within("key", self.key.as_ref().map_or(0, Bytes::len), KEY_BYTES_MAX)?;
        within("value", self.value.len(), VALUE_BYTES_MAX)?;
        if self.headers.len() > HEADERS_MAX {
            return Err(RecordError::TooManyHeaders { count: self.headers.len(), max: HEADERS_MAX });
        }
        for header in &self.headers {
            within("header name", header.name_bytes().len(), HEADER_NAME_BYTES_MAX)?;
            within("header value", header.value.len(), HEADER_VALUE_BYTES_MAX)?;
        }
        Ok(())
    }
}

/// Why a record is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A part is over its bound.
    #[error("record {part} has {bytes} bytes; at most {max} are accepted")]
    TooLarge {
        /// Which part.
        part: &'static str,
        /// Its size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// Too many headers.
    #[error("record has {count} headers; at most {max} are accepted")]
    TooManyHeaders {
        /// How many.
        count: usize,
        /// The bound.
        max: usize,
    },
    /// A header name is not UTF-8.
    #[error("record header name {lossy:?} is not UTF-8")]
    NameNotUtf8 {
        /// The name with its bad bytes replaced.
        lossy: String,
    },
}

impl crate::fault::Classify for RecordError {
    fn class(&self) -> crate::fault::Class {
        crate::fault::Class::Permanent
    }
}

/// One header: a UTF-8 name and any bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    name: Bytes,
    /// The value.
    pub value: Bytes,
}

impl Header {
    /// A header from an owned or static name.
    pub fn new(name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self { name: Bytes::from(name.into()), value: value.into() }
    }

    /// A header whose name is part of the program: nothing is allocated for it.
    pub fn named(name: &'static str, value: impl Into<Bytes>) -> Self {
        Self { name: Bytes::from_static(name.as_bytes()), value: value.into() }
    }

    /// A header whose name shares the bytes it was read from.
    ///
    /// # Errors
    /// [`RecordError::NameNotUtf8`].
    pub fn from_bytes(name: Bytes, value: Bytes) -> Result<Self, RecordError> {
        match std::str::from_utf8(&name) {
            Ok(_) => Ok(Self { name, value }),
            Err(_) => Err(RecordError::NameNotUtf8 { lossy: String::from_utf8_lossy(&name).into_owned() }),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        // Checked by every constructor; an empty name would be visible, a panic would not be survivable.
        std::str::from_utf8(&self.name).unwrap_or_default()
    }

    /// The name's bytes, for what happens to every record: [`Header::name`] reads them as UTF-8 each time.
    pub(crate) fn name_bytes(&self) -> &[u8] {
        &self.name
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.value.escape_ascii())
    }
}

/// The headers of a record, in the order written. An empty list allocates nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<Header>);

impl Headers {
    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Header> {
        self.0.iter()
    }

    /// The last value under `name` (later headers win, as in Kafka).
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.0.iter().rev().find(|h| h.name_bytes() == name.as_bytes()).map(|h| &h.value)
    }

    /// The last value under `name`, where it is UTF-8.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|v| std::str::from_utf8(v).ok())
    }

    /// Adds one at the end.
    pub fn push(&mut self, header: Header) {
        self.0.push(header);
    }

    /// Replaces every header of that name by this one.
    pub fn set(&mut self, header: Header) {
        self.remove(header.name().to_owned().as_str());
        self.0.push(header);
    }

    /// Removes every header of that name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|h| h.name_bytes() != name.as_bytes());
    }

    /// Bytes that the list takes in memory, beside those of names and values.
    pub fn list_bytes(&self) -> usize {
        self.0.len() * size_of::<Header>()
    }

    /// Bytes of names and values.
    pub fn weight(&self) -> usize {
        self.0.iter().map(|h| h.name.len() + h.value.len()).sum()
    }
}

impl FromIterator<Header> for Headers {
    fn from_iter<I: IntoIterator<Item = Header>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = &'a Header;
    type IntoIter = std::slice::Iter<'a, Header>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_headers_win_and_set_replaces_all() {
        let mut headers: Headers = [Header::new("a", "1"), Header::new("a", "2")].into_iter().collect();
        assert_eq!(headers.get_str("a"), Some("2"));
        headers.set(Header::new("a", "3"));
        assert_eq!((headers.len(), headers.get_str("a")), (1, Some("3")));
    }

    #[test]
    fn a_record_lets_go_of_what_it_was_cut_out_of() {
        let buffer = Bytes::from(b"keyvaluenamehead".to_vec());
        let mut record = Record::new(buffer.slice(..3), buffer.slice(3..8));
        record.headers.push(Header::from_bytes(buffer.slice(8..12), buffer.slice(12..)).unwrap());
        let same = record.clone();
        record.detach();
        assert_eq!(record, same);
        drop(same);
        assert!(buffer.is_unique(), "nothing else holds it");
        let mut empty = Record::default();
        empty.detach();
        assert_eq!(empty, Record::default());
    }

    #[test]
    fn bounds_are_named() {
        let record = Record::new(Bytes::from(vec![0; KEY_BYTES_MAX + 1]), "v");
        assert_eq!(
            record.check(),
            Err(RecordError::TooLarge { part: "key", bytes: KEY_BYTES_MAX + 1, max: KEY_BYTES_MAX })
        );
    }
}
