//! What the group committed, by the brokers' own log of it: `__consumer_offsets`.

use super::{GROUP, TOPIC};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Buf;
use seawall_consumer::track::{OffsetSet, codec};
use seawall_core::{Event, Limit, Position, Record, Source};
use seawall_kafka::{Connection, KafkaSource, SourceOptions};
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

/// How metadata begins that holds the set beyond the watermark itself.
const INLINE: &str = "SW1i";

/// One commit of one partition.
#[derive(Debug)]
pub(crate) struct Committed {
    /// When the coordinator took it.
    pub(crate) at: SystemTime,
    watermark: u64,
    beyond: OffsetSet,
    metadata: String,
}

impl Committed {
    pub(crate) fn covers(&self, offset: u64) -> bool {
        offset < self.watermark || self.beyond.contains(offset)
    }

    /// Certainly not covered: what overflows into a topic of its own is not followed here.
    pub(crate) fn leaves_out(&self, offset: u64) -> bool {
        let overflows = !self.metadata.is_empty() && !self.metadata.starts_with(INLINE);
        !self.covers(offset) && !overflows
    }

    /// The same positions, which a client that lost the answer sends again.
    pub(crate) fn says_as(&self, other: &Self) -> bool {
        (self.watermark, &self.metadata) == (other.watermark, &other.metadata)
    }

    #[cfg(test)]
    pub(crate) fn of(at: SystemTime, watermark: u64) -> Self {
        Self { at, watermark, beyond: OffsetSet::default(), metadata: String::new() }
    }
}

/// By partition, in the order of the log.
pub(crate) type Commits = BTreeMap<u32, Vec<Committed>>;

/// All that the log holds, up to the first commit of a group that joins for this and so comes after them.
pub(crate) fn read(bootstrap: &str) -> Commits {
    let connection = Connection::new(bootstrap.split(','));
    let options = SourceOptions { session_timeout: Duration::from_secs(6), ..SourceOptions::default() };
    let mut source = KafkaSource::join(&connection, "reader", &["__consumer_offsets"], options).unwrap();
    let (mut commits, mut read, since) = (Commits::new(), BTreeMap::new(), Instant::now());
    while read.is_empty() || read.values().any(|(next, end)| next < end) {
        assert!(since.elapsed() < Duration::from_mins(2), "not read to the end: {read:?}");
        let limit = Limit { records: 10_000, bytes: 16 << 20 };
        for event in source.poll(Duration::from_millis(200), limit).unwrap_or_default() {
            match event {
                Event::Assigned { partition, position, end, .. } => {
                    read.insert(partition.partition, (position.watermark, end));
                }
                Event::Records { partition, batch, .. } => {
                    for fetched in batch.records {
                        if let Some((partition, commit)) = commit(&fetched.record) {
                            commits.entry(partition).or_default().push(commit);
                        }
                    }
                    read.entry(partition.partition).and_modify(|(next, _)| *next = batch.next);
                }
                _ => {}
            }
        }
    }
    commits
}

/// Reads key and value as Kafka's `OffsetCommitKey` (0 and 1) and `OffsetCommitValue` (3 and 4) lay them out; `None`
/// for what is not a commit of our group.
fn commit(record: &Record) -> Option<(u32, Committed)> {
    let mut key = record.key.clone()?;
    if key.try_get_u16().ok()? > 1 || text(&mut key)? != GROUP || text(&mut key)? != TOPIC {
        return None;
    }
    let partition = key.try_get_u32().ok()?;
    let mut value = record.value.clone();
    // A tombstone: the group's position expired or was deleted.
    let version = value.try_get_u16().ok()?;
    let watermark = value.try_get_u64().ok()?;
    let _leader_epoch = value.try_get_i32().ok()?;
    let metadata = match version {
        3 => text(&mut value)?,
        4 => compact_text(&mut value)?,
        other => panic!("a commit of version {other} cannot be read"),
    };
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(value.try_get_u64().ok()?);
    let beyond = metadata.strip_prefix(INLINE).map_or_else(OffsetSet::default, |coded| {
        let beyond = STANDARD_NO_PAD.decode(coded).unwrap().into();
        codec::decode(&Position { watermark, beyond }).unwrap()
    });
    Some((partition, Committed { at, watermark, beyond, metadata }))
}

fn text(from: &mut impl Buf) -> Option<String> {
    let length = usize::from(from.try_get_u16().ok()?);
    take(from, length)
}

/// Its length is one more, in pieces of seven bits, the lowest first.
fn compact_text(from: &mut impl Buf) -> Option<String> {
    let (mut length, mut shift) = (0, 0);
    loop {
        let byte = from.try_get_u8().ok()?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return take(from, length.checked_sub(1)?);
        }
        shift += 7;
    }
}

fn take(from: &mut impl Buf, length: usize) -> Option<String> {
    if from.remaining() < length {
        return None;
    }
    String::from_utf8(from.copy_to_bytes(length).to_vec()).ok()
}
