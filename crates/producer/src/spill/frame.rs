//! What a frame of the spill's logs holds.
//!
//! | kind | form |
//! | --- | --- |
//! | 1, a record | varint length and topic; varint partition + 1, or 0 for none; the record ([`codec`]) |
//! | 2, progress | varint: every frame below this number was delivered, or is kept in `refused/`; then, for each run of frames beyond it of which the same holds, varint frames between, varint frames in it |
//! | 3, a refused record | varint length and why; then as kind 1 |
//! | 4, a record in a block | nothing: it is in the next frame of kind 5, if that holds enough; else a crash cut it off |
//! | 5, a block | varint count n: it holds the records of the n numbers that end with its own; varint bytes of them; then, as one LZ4 block, for each varint length and a frame of kind 1 without its kind |
//!
//! A block has at most 64 KiB of records, or one record of at most 32 MiB; one that claims more, or more than LZ4 can
//! reach, is refused before memory is reserved for it. Kinds 4 and 5 need version 2 of the [manifest](super::manifest).

use super::block::BlockError;
use super::progress::Proof;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use seawall_core::codec::{self, CodecError, Cursor, put_bytes, put_varint};
use seawall_core::{Outgoing, RecordError};
use std::sync::Arc;

pub(super) const RECORD: u8 = 1;
const PROGRESS: u8 = 2;
pub(super) const REFUSED: u8 = 3;
pub(crate) const INSIDE: u8 = 4;
pub(super) const BLOCK: u8 = 5;
/// The longest reason kept with a refused record.
const REASON_BYTES_MAX: usize = 4096;

/// A frame's meaning.
#[derive(Clone, Debug)]
pub enum Content {
    /// A record to be delivered.
    Record(Outgoing),
    /// Every frame below was delivered; the runs beyond are for the producer alone.
    Progress(u64),
    /// A record that a sink refused for good.
    Refused {
        /// Why.
        reason: String,
        /// The record.
        record: Outgoing,
    },
    /// Nothing: a crash cut off the block that the record of this number was in. It had no receipt.
    Nothing,
}

/// Why a frame does not read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FrameError {
    /// A field of it.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// It is a block of records.
    #[error("a block of records")]
    Block(#[from] BlockError),
}

/// Appends the frame of `outgoing`.
pub(crate) fn put_record(outgoing: &Outgoing, out: &mut impl BufMut) {
    out.put_u8(RECORD);
    put_rest(outgoing, out);
}

/// How many bytes [`put_record`] appends.
pub(crate) fn record_bytes(outgoing: &Outgoing) -> usize {
    let partition = codec::varint_bytes(partition(outgoing));
    1 + codec::bytes_bytes(outgoing.topic.len()) + partition + codec::encoded_bytes(&outgoing.record)
}

fn put_rest(outgoing: &Outgoing, out: &mut impl BufMut) {
    put_bytes(outgoing.topic.as_bytes(), out);
    put_varint(partition(outgoing), out);
    codec::encode(&outgoing.record, out);
}

/// As it is written: 0 for none.
fn partition(outgoing: &Outgoing) -> u64 {
    outgoing.partition.map_or(0, |partition| u64::from(partition) + 1)
}

/// The frame that says how far the delivery came.
pub(crate) fn progress(proof: &Proof) -> Bytes {
    let mut out = BytesMut::with_capacity(16 + 4 * proof.runs.len());
    out.put_u8(PROGRESS);
    put_varint(proof.watermark, &mut out);
    let mut at = proof.watermark;
    for (first, end) in &proof.runs {
        put_varint(first - at, &mut out);
        put_varint(end - first, &mut out);
        at = *end;
    }
    out.freeze()
}

/// The frame of a refused record.
pub(crate) fn refused(reason: &str, outgoing: &Outgoing) -> Bytes {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut out = BytesMut::new();
    out.put_u8(REFUSED);
    put_bytes(&reason.as_bytes()[..end], &mut out);
    put_rest(outgoing, &mut out);
    out.freeze()
}

/// What a progress frame says; `None` for any other frame, which is not looked into.
pub(crate) fn progress_of(frame: &Bytes) -> Option<Proof> {
    let mut cursor = Cursor { frame, at: 1 };
    if frame.first() != Some(&PROGRESS) {
        return None;
    }
    let watermark = cursor.varint("progress").ok()?;
    let (mut at, mut runs) = (watermark, Vec::new());
    while cursor.at < frame.len() {
        let first = at.checked_add(cursor.varint("gap").ok()?)?;
        at = first.checked_add(cursor.varint("run").ok()?)?;
        runs.push((first, at));
    }
    Some(Proof { watermark, runs })
}

/// Reads what frames hold; records of one topic share its name.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    topic: Option<Arc<str>>,
}

impl Decoder {
    /// What `frame` holds by itself.
    pub(super) fn decode(&mut self, mut frame: Bytes) -> Result<Content, FrameError> {
        let mut cursor = Cursor { frame: &frame, at: 0 };
        match cursor.byte("kind")? {
            RECORD => {
                frame.advance(1);
                Ok(Content::Record(self.record(frame)?))
            }
            PROGRESS => Ok(Content::Progress(cursor.varint("progress")?)),
            REFUSED => {
                let reason = text(&mut cursor, "reason")?;
                let at = cursor.at;
                frame.advance(at);
                Ok(Content::Refused { reason, record: self.record(frame)? })
            }
            found => Err(CodecError::Kind { found }.into()),
        }
    }

    /// A record, without its frame's kind.
    pub(super) fn record(&mut self, frame: Bytes) -> Result<Outgoing, CodecError> {
        let mut cursor = Cursor { frame: &frame, at: 0 };
        let topic = text(&mut cursor, "topic")?;
        let topic = match &self.topic {
            Some(known) if **known == *topic => Arc::clone(known),
            _ => Arc::from(topic),
        };
        self.topic = Some(Arc::clone(&topic));
        let at = cursor.at;
        let partition = match cursor.varint("partition")? {
            0 => None,
            n => Some(u32::try_from(n - 1).map_err(|_| CodecError::Range { field: "partition", at })?),
        };
        let start = cursor.at;
        let record = codec::decode_owned(frame.slice(start..))?;
        Ok(Outgoing { topic, partition, record })
    }
}

fn text(cursor: &mut Cursor<'_>, field: &'static str) -> Result<String, CodecError> {
    let at = cursor.at;
    let bytes = cursor.bytes(field)?;
    String::from_utf8(bytes.to_vec()).map_err(|error| CodecError::HeaderName {
        at,
        source: RecordError::NameNotUtf8 { lossy: String::from_utf8_lossy(error.as_bytes()).into_owned() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use seawall_core::Record;

    fn outgoing(topic: &str, partition: Option<u32>, value: Vec<u8>) -> Outgoing {
        Outgoing { topic: topic.into(), partition, record: Record::new(Bytes::from("k"), value) }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            topic in "[a-z]{1,20}", partition in proptest::option::of(any::<u32>()),
            value in proptest::collection::vec(any::<u8>(), 0..100), reason in "\\PC{0,40}", delivered in 0..u64::MAX / 2,
            gaps in proptest::collection::vec((1_u64..1000, 1_u64..1000), 0..20),
        ) {
            let record = outgoing(&topic, partition, value);
            let mut out = BytesMut::new();
            put_record(&record, &mut out);
            prop_assert_eq!(out.len(), record_bytes(&record));
            let mut decoder = Decoder::default();
            let same = |found: &Outgoing| {
                found.topic == record.topic && found.partition == partition && found.record == record.record
            };
            let read = decoder.decode(out.freeze()).unwrap();
            let whole = matches!(&read, Content::Record(found) if same(found));
            prop_assert!(whole);
            let read = decoder.decode(refused(&reason, &record)).unwrap();
            let kept = matches!(&read, Content::Refused { reason: r, record: found } if *r == reason && same(found));
            prop_assert!(kept);
            let mut at = delivered;
            let runs = gaps.iter().map(|(gap, run)| {
                let first = at + gap;
                at = first + run;
                (first, at)
            });
            let proof = Proof { watermark: delivered, runs: runs.collect() };
            let frame = progress(&proof);
            prop_assert_eq!(progress_of(&frame), Some(proof));
            let told = matches!(decoder.decode(frame).unwrap(), Content::Progress(n) if n == delivered);
            prop_assert!(told);
        }

        #[test]
        fn any_bytes_are_a_frame_or_a_named_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Decoder::default().decode(Bytes::from(bytes.clone()));
            let _ = progress_of(&Bytes::from(bytes));
        }
    }
}
