//! A dead letter's story as a value: written by the consumer, read by the tools that list and redrive.

use super::headers;
use bytes::Bytes;
use seawall_core::record::{HEADER_VALUE_BYTES_MAX, HEADERS_MAX};
use seawall_core::token::{TOKEN_HEADER, TokenError};
use seawall_core::{Class, Classify, Header, Offset, Record, Token, TopicPartition, WallMs};

/// The longest error text written, in bytes; longer ones are cut at a character's border.
const ERROR_BYTES_MAX: usize = 4_096;
const _: () = assert!(ERROR_BYTES_MAX <= HEADER_VALUE_BYTES_MAX);

/// Why a record became a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The error of the last attempt.
    pub error: String,
    /// Its class.
    pub class: Class,
    /// Attempts that counted.
    pub attempts: u32,
    /// When the first one failed.
    pub first_failed: WallMs,
    /// When the last one failed.
    pub last_failed: WallMs,
    /// Where it was read from.
    pub origin: TopicPartition,
    /// Its offset there.
    pub offset: Offset,
    /// The token its effect is known by.
    pub token: Token,
    /// The pipeline that gave up.
    pub pipeline: String,
}

/// Why a record's headers do not tell a dead letter's story.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProvenanceError {
    /// A header is missing: this may not be a dead letter of a consumer.
    #[error("the record has no header {0}; it is no dead letter of a consumer")]
    Missing(&'static str),
    /// A header's value is not what its name promises.
    #[error("header {name} is {value:?}; {right} would be right")]
    Malformed {
        /// The header.
        name: &'static str,
        /// Its value, bad bytes replaced.
        value: String,
        /// What would be right.
        right: &'static str,
    },
    /// The token could not travel in a header.
    #[error("header {} is no token", headers::TOKEN)]
    Token(#[source] TokenError),
}

impl Classify for ProvenanceError {
    fn class(&self) -> Class {
        Class::Permanent
    }
}

impl Provenance {
    /// Reads the story from a dead letter's headers.
    ///
    /// # Errors
    /// [`ProvenanceError`] names the header that is missing or malformed.
    pub fn from_record(record: &Record) -> Result<Self, ProvenanceError> {
        Ok(Self {
            error: text(record, headers::ERROR)?,
            class: class(record)?,
            attempts: number(record, headers::ATTEMPTS)?,
            first_failed: WallMs(number(record, headers::FIRST_FAILED_MS)?),
            last_failed: WallMs(number(record, headers::LAST_FAILED_MS)?),
            origin: TopicPartition::new(
                text(record, headers::ORIGIN_TOPIC)?,
                number(record, headers::ORIGIN_PARTITION)?,
            ),
            offset: number(record, headers::ORIGIN_OFFSET)?,
            token: Token::new(raw(record, headers::TOKEN)?.clone()).map_err(ProvenanceError::Token)?,
            pipeline: text(record, headers::PIPELINE)?,
        })
    }

    /// Writes the story into `record`'s headers, replacing an older story: a letter that dies twice tells
    /// of its last life. Where the story would exceed the bound on headers, the oldest of the record's own
    /// headers make room, but not its id; where it has none, there is room for one.
    pub fn write_to(&self, record: &mut Record) {
        for name in headers::ALL {
            record.headers.remove(name);
        }
        let is_id = |header: &Header| header.name() == TOKEN_HEADER;
        let own = record.headers.len() + usize::from(!record.headers.iter().any(is_id));
        let mut excess = (own + headers::ALL.len()).saturating_sub(HEADERS_MAX);
        if excess > 0 {
            let mut stays = |header: &&Header| {
                let goes = excess > 0 && !is_id(header);
                excess -= usize::from(goes);
                !goes
            };
            record.headers = record.headers.iter().filter(|header| stays(header)).cloned().collect();
        }
        let mut put = |name: &'static str, value: Bytes| record.headers.push(Header::new(name, value));
        put(headers::ERROR, Bytes::from(one_line(&self.error)));
        put(headers::CLASS, Bytes::from_static(self.class.as_str().as_bytes()));
        put(headers::ATTEMPTS, Bytes::from(self.attempts.to_string()));
        put(headers::FIRST_FAILED_MS, Bytes::from(self.first_failed.to_string()));
        put(headers::LAST_FAILED_MS, Bytes::from(self.last_failed.to_string()));
        put(headers::ORIGIN_TOPIC, Bytes::from(self.origin.topic.to_string()));
        put(headers::ORIGIN_PARTITION, Bytes::from(self.origin.partition.to_string()));
        put(headers::ORIGIN_OFFSET, Bytes::from(self.offset.to_string()));
        put(headers::TOKEN, self.token.as_bytes().clone());
        put(headers::PIPELINE, Bytes::from(self.pipeline.clone()));
    }

    /// Makes `record` a dead letter that is sent at `wall`: with its story, the time of now, and its own time in a header.
    pub fn bury(&self, record: &mut Record, wall: WallMs) {
        self.write_to(record);
        record.headers.push(Header::new(headers::TIMESTAMP_MS, Bytes::from(record.timestamp.to_string())));
        record.timestamp = wall;
    }

    /// Takes the story off again, for a redrive; the record's own headers stay, and it has its own time again, where that
    /// is told.
    pub fn strip(record: &mut Record) {
        if let Ok(before) = number(record, headers::TIMESTAMP_MS) {
            record.timestamp = WallMs(before);
        }
        for name in headers::ALL {
            record.headers.remove(name);
        }
    }
}

/// Control characters become spaces, since the text will travel in HTTP headers and terminal tables.
fn one_line(error: &str) -> String {
    let mut line: String = error.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() > ERROR_BYTES_MAX {
        let cut = (0..=ERROR_BYTES_MAX).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        line.truncate(cut);
    }
    line
}

fn raw<'a>(record: &'a Record, name: &'static str) -> Result<&'a Bytes, ProvenanceError> {
    record.headers.get(name).ok_or(ProvenanceError::Missing(name))
}

fn malformed(name: &'static str, value: &[u8], right: &'static str) -> ProvenanceError {
    ProvenanceError::Malformed { name, value: String::from_utf8_lossy(value).into_owned(), right }
}

fn text(record: &Record, name: &'static str) -> Result<String, ProvenanceError> {
    let value = raw(record, name)?;
    std::str::from_utf8(value).map(str::to_owned).map_err(|_| malformed(name, value, "UTF-8 text"))
}

/// A header's decimal number.
pub(crate) fn number<N: std::str::FromStr>(
    record: &Record,
    name: &'static str,
) -> Result<N, ProvenanceError> {
    let value = raw(record, name)?;
    let parsed = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
    parsed.ok_or_else(|| malformed(name, value, "a decimal number in range"))
}

fn class(record: &Record) -> Result<Class, ProvenanceError> {
    let value = raw(record, headers::CLASS)?;
    [Class::Transient, Class::Permanent, Class::Overload, Class::Bug]
        .into_iter()
        .find(|class| class.as_str().as_bytes() == &value[..])
        .ok_or_else(|| malformed(headers::CLASS, value, "transient, permanent, overload or bug"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story() -> Provenance {
        Provenance {
            error: "push: refused".into(),
            class: Class::Transient,
            attempts: 16,
            first_failed: WallMs(1_000),
            last_failed: WallMs(9_000),
            origin: TopicPartition::new("orders", 3),
            offset: 42,
            token: Token::new("order-17").expect("visible"),
            pipeline: "fulfil".into(),
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_the_rest_is_kept() {
        let mut record = Record::new(Bytes::from_static(b"k"), "v");
        record.headers.push(Header::new("traceparent", "00-1"));
        let before = record.clone();
        story().write_to(&mut record);
        assert_eq!(Provenance::from_record(&record), Ok(story()));
        assert_eq!(record.headers.get_str("traceparent"), Some("00-1"));
        let mut second = story();
        second.attempts = 2;
        second.write_to(&mut record);
        assert_eq!(Provenance::from_record(&record), Ok(second), "a second death replaces the first story");
        Provenance::strip(&mut record);
        assert_eq!(record, before);
    }

    #[test]
    fn a_dead_letter_has_the_time_of_its_death_and_tells_its_own() {
        let mut record = Record { timestamp: WallMs(7), ..Record::new(Bytes::from_static(b"k"), "v") };
        let before = record.clone();
        story().bury(&mut record, WallMs(61_500));
        assert_eq!(record.timestamp, WallMs(61_500), "or the topic takes it for too old to be kept");
        assert_eq!(record.headers.get_str(headers::TIMESTAMP_MS), Some("7"));
        assert_eq!(Provenance::from_record(&record), Ok(story()));
        Provenance::strip(&mut record);
        assert_eq!(record, before);
        story().write_to(&mut record);
        Provenance::strip(&mut record);
        assert_eq!(record, before, "a letter of an earlier version");
    }

    #[test]
    fn every_missing_and_malformed_header_is_named() {
        // Of the time nothing is decided, and letters of earlier versions do not tell it.
        for name in headers::ALL.into_iter().filter(|name| *name != headers::TIMESTAMP_MS) {
            let mut record = Record::default();
            story().write_to(&mut record);
            record.headers.remove(name);
            assert_eq!(Provenance::from_record(&record), Err(ProvenanceError::Missing(name)));
            record.headers.push(Header::new(name, &b"\xff"[..]));
            let error = Provenance::from_record(&record).expect_err("0xff fits none").to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn the_error_stays_within_a_header_and_the_letter_within_its_bounds() {
        let mut long = story();
        long.error = "ü\r\n".repeat(5_000);
        let mut record = Record::default();
        for n in 0..HEADERS_MAX {
            record.headers.push(Header::new(format!("h{n}"), "v"));
        }
        let id = std::iter::once(Header::new(TOKEN_HEADER, "id"));
        let headers = id.chain(record.headers.iter().skip(1).cloned()).collect();
        let mut named = Record { headers, ..Record::default() };
        long.bury(&mut named, WallMs(1));
        assert_eq!((named.headers.len(), named.headers.get_str(TOKEN_HEADER)), (HEADERS_MAX, Some("id")));
        long.bury(&mut record, WallMs(1));
        assert_eq!((record.check(), record.headers.len()), (Ok(()), HEADERS_MAX - 1), "and an id has room");
        let read = Provenance::from_record(&record).expect("whole");
        assert!(read.error.len() <= ERROR_BYTES_MAX && !read.error.contains(['\r', '\n']));
    }
}
