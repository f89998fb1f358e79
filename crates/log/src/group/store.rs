//! The wal under the groups' state.

use crate::error::LogError;
use crate::group::state::{Fact, State};
use crate::mutex::lock;
use seawall_core::{Clock, Offset, Position, TopicPartition, WallMs};
use seawall_wal::{Disk, Limit, Log, Options, Recovery, Scan, WalError};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// What errors call this wal.
pub(crate) const PLACE: &str = "group state";
/// Bytes of a segment: small, so that compaction frees soon.
const SEGMENT_BYTES: u64 = 4 << 20;
const ZERO_AHEAD_BYTES: u64 = 256 << 10;
/// Fewer frames than this are never worth compacting.
const FRAMES_BEFORE_COMPACTION_MIN: u64 = 16_384;
/// Compaction once there are so many frames to each fact.
const FRAMES_PER_FACT: u64 = 8;
/// Frames of a snapshot that are written between two syncs.
const SNAPSHOT_CHUNK: usize = 1024;

/// The facts, in memory and in their wal.
pub(crate) struct Store<D: Disk> {
    /// Gone once the broker is closed.
    log: Mutex<Option<Writer<D>>>,
    state: Mutex<State>,
}

struct Writer<D: Disk> {
    log: Log<D>,
    frames: u64,
    compact_at: u64,
}

impl<D: Disk> Store<D> {
    pub(crate) fn open(disk: D, dir: PathBuf, now: WallMs) -> Result<(Self, Recovery), LogError> {
        let wal = |source| LogError::wal(PLACE, source);
        let options = Options {
            segment_bytes: SEGMENT_BYTES,
            zero_ahead_bytes: ZERO_AHEAD_BYTES,
            scan: Scan::All,
            ..Options::new(dir)
        };
        let (log, recovery) = Log::open(disk, options, now).map_err(wal)?;
        let reader = log.reader();
        let mut state = State::default();
        let mut from = recovery.first;
        while from < recovery.next {
            let frames = reader.read(from, Limit { frames: 4096, bytes: 1 << 20 }).map_err(wal)?;
            for frame in &frames.frames {
                let fact = Fact::decode(&frame.payload).map_err(|source| LogError::Frame {
                    place: PLACE.into(),
                    offset: frame.seq,
                    source,
                })?;
                state.apply(fact);
            }
            from = frames.next;
        }
        let frames = recovery.next - recovery.first;
        let compact_at = FRAMES_BEFORE_COMPACTION_MIN.max(state.len() as u64 * FRAMES_PER_FACT);
        let log = Mutex::new(Some(Writer { log, frames, compact_at }));
        Ok((Self { log, state: Mutex::new(state) }, recovery))
    }

    /// Makes `facts` durable with one sync, then true in memory.
    pub(crate) fn write(&self, facts: Vec<Fact>, clock: &dyn Clock) -> Result<(), LogError> {
        let wal = |source| LogError::wal(PLACE, source);
        let mut writer = lock(&self.log);
        let writer = writer.as_mut().ok_or(LogError::Closed)?;
        writer.append(facts.iter(), clock.wall()).map_err(wal)?;
        writer.log.sync(clock.wall()).map_err(wal)?;
        let mut state = lock(&self.state);
        for fact in facts {
            state.apply(fact);
        }
        Ok(())
    }

    /// Writes the facts again and cuts off what they replace, where it is time.
    pub(crate) fn compact_if_due(&self, clock: &dyn Clock) -> Result<bool, LogError> {
        let mut writer = lock(&self.log);
        let writer = writer.as_mut().ok_or(LogError::Closed)?;
        if writer.frames < writer.compact_at {
            return Ok(false);
        }
        // Facts change only through `write`, which needs the writer held here.
        let facts: Vec<Fact> = lock(&self.state).facts().collect();
        writer.compact(&facts, clock).map_err(|source| LogError::wal(PLACE, source))?;
        Ok(true)
    }

    /// Records everything as durable and lets the wal go.
    pub(crate) fn close(&self, now: WallMs) -> Result<(), LogError> {
        let Some(writer) = lock(&self.log).take() else { return Ok(()) };
        writer.log.close(now).map(|_| ()).map_err(|source| LogError::wal(PLACE, source))
    }

    pub(crate) fn floor(&self, partition: &TopicPartition) -> Offset {
        lock(&self.state).floors.get(partition).copied().unwrap_or(0)
    }

    pub(crate) fn position(&self, group: &str, partition: &TopicPartition) -> Option<Position> {
        let state = lock(&self.state);
        state.groups.get(group)?.positions.get(partition).map(|held| held.position.clone())
    }

    /// The groups that have a position in `partition`, with their watermarks.
    pub(crate) fn watermarks(&self, partition: &TopicPartition) -> Vec<(Arc<str>, Offset)> {
        let state = lock(&self.state);
        let of = |(group, facts): (&Arc<str>, &crate::group::state::GroupFacts)| {
            facts.positions.get(partition).map(|held| (Arc::clone(group), held.position.watermark))
        };
        state.groups.iter().filter_map(of).collect()
    }

    pub(crate) fn positions(&self, group: &str) -> BTreeMap<TopicPartition, Position> {
        let state = lock(&self.state);
        let positions = state.groups.get(group).map(|facts| &facts.positions);
        positions.into_iter().flatten().map(|(tp, held)| (tp.clone(), held.position.clone())).collect()
    }

    pub(crate) fn ceiling(&self, group: &str) -> u64 {
        lock(&self.state).groups.get(group).map_or(0, |facts| facts.ceiling)
    }

    pub(crate) fn groups(&self) -> Vec<Arc<str>> {
        let state = lock(&self.state);
        state
            .groups
            .iter()
            .filter(|(_, f)| !f.positions.is_empty())
            .map(|(name, _)| Arc::clone(name))
            .collect()
    }

    /// Positions that were committed when their partition went further than it does now. What `beyond` encodes
    /// may speak of other records since: such positions go back to the end, which repeats records, never skips.
    pub(crate) fn ahead_of(&self, end: impl Fn(&TopicPartition) -> Option<Offset>) -> Vec<Fact> {
        let state = lock(&self.state);
        let mut facts = Vec::new();
        for (group, group_facts) in &state.groups {
            for (partition, held) in &group_facts.positions {
                let Some(end) = end(partition).filter(|end| *end < held.end) else { continue };
                let watermark = held.position.watermark.min(end);
                let position = Position { watermark, beyond: bytes::Bytes::new() };
                let held = crate::group::state::Held { position, end };
                facts.push(Fact::Position { group: Arc::clone(group), partition: partition.clone(), held });
            }
        }
        facts
    }
}

impl<D: Disk> Writer<D> {
    fn append<'a>(&mut self, facts: impl Iterator<Item = &'a Fact>, now: WallMs) -> Result<(), WalError> {
        let appended = self.log.append(facts.map(Fact::encode), now)?;
        self.frames += appended.next - appended.first;
        Ok(())
    }

    fn compact(&mut self, facts: &[Fact], clock: &dyn Clock) -> Result<(), WalError> {
        let snapshot = self.log.next();
        for chunk in facts.chunks(SNAPSHOT_CHUNK) {
            self.append(chunk.iter(), clock.wall())?;
            self.log.sync(clock.wall())?;
        }
        self.log.truncate_front(snapshot)?;
        self.frames = facts.len() as u64;
        self.compact_at = FRAMES_BEFORE_COMPACTION_MIN.max(self.frames * FRAMES_PER_FACT);
        Ok(())
    }
}
