//! What the writer and the readers share: the segments, and how far each may be read.

use crate::disk::Disk;
use crate::error::{Damage, WalError};
use crate::format::{Found, HEADER_BYTES, Header, Scanner};
use crate::log::{Extent, SegmentInfo};
use seawall_core::WallMs;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A place is remembered for each so many bytes of a segment.
const INDEX_STRIDE_BYTES: u64 = 64 << 10;
/// Sealed segments of one log that are kept open.
const OPEN_FILES_MAX: usize = 16;

/// A place in a segment where an item begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) seq: u64,
    pub(crate) offset: u64,
    pub(crate) epoch: u64,
}

/// A segment as its readers see it.
pub(crate) struct Segment<D: Disk> {
    pub(crate) header: Header,
    pub(crate) path: PathBuf,
    file: Mutex<Option<Arc<D::File>>>,
    /// `None` until someone has walked through it.
    index: Mutex<Option<Vec<Place>>>,
}

/// One past what may be read of the last segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) seq: u64,
    pub(crate) offset: u64,
}

pub(crate) struct Shared<D: Disk> {
    /// Oldest first, never empty once the log is open; each with its end where that is known.
    pub(crate) segments: VecDeque<(Arc<Segment<D>>, Option<End>)>,
    /// One past the newest durable frame, and where it ends in the last segment.
    pub(crate) durable: End,
    /// Segments whose files are open, but for the last one's; the longest unused first.
    open: VecDeque<u64>,
}

impl<D: Disk> Shared<D> {
    /// The file of segment `id` is open, and the longest unused one is closed for it. The last segment stays open.
    fn opened(&mut self, id: u64) {
        self.open.push_back(id);
        if self.open.len() <= OPEN_FILES_MAX {
            return;
        }
        let oldest = self.open.pop_front();
        let sealed = self.segments.iter().rev().skip(1);
        for (segment, _) in sealed.filter(|(segment, _)| Some(segment.header.id) == oldest) {
            *locked(&segment.file) = None;
        }
    }
}

/// The table of segments.
pub(crate) struct Table<D: Disk> {
    pub(crate) disk: D,
    shared: RwLock<Shared<D>>,
}

/// A segment to read from, and how far.
pub(crate) struct Slice<D: Disk> {
    pub(crate) segment: Arc<Segment<D>>,
    /// One past the last frame to read here.
    pub(crate) next: u64,
    /// One past the last byte to read here; `None` where only `next` is known.
    pub(crate) end: Option<u64>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<D: Disk> Segment<D> {
    pub(crate) fn new(header: Header, path: PathBuf, file: Option<Arc<D::File>>) -> Self {
        let index = file.is_some().then(|| vec![Self::start(&header)]);
        Self { header, path, file: Mutex::new(file), index: Mutex::new(index) }
    }

    /// Bytes of frames and header in it, and those that its file has or will have, where it ends at `end`.
    fn extent(&self, end: Option<End>) -> (u64, u64) {
        let capacity = self.header.capacity;
        let used = end.map_or(capacity, |end| end.offset);
        (used, capacity.max(used))
    }

    fn start(header: &Header) -> Place {
        Place { seq: header.first, offset: HEADER_BYTES, epoch: header.epoch }
    }

    /// Remembers a place, where the last one is far enough behind.
    pub(crate) fn remember(&self, place: Place) {
        if let Some(index) = &mut *locked(&self.index) {
            note(index, place);
        }
    }

    pub(crate) fn set_index(&self, index: Vec<Place>) {
        *locked(&self.index) = Some(index);
    }

    /// The last remembered place at or before frame `seq`; `None` where nobody has walked through yet.
    pub(crate) fn place_of(&self, seq: u64) -> Option<Place> {
        let index = locked(&self.index);
        let index = index.as_ref()?;
        let after = index.partition_point(|place| place.seq <= seq);
        Some(after.checked_sub(1).and_then(|i| index.get(i)).copied().unwrap_or(Self::start(&self.header)))
    }
}

/// Adds `place` to an index where the last one is far enough behind.
pub(crate) fn note(index: &mut Vec<Place>, place: Place) {
    if index.last().is_none_or(|last| place.offset >= last.offset + INDEX_STRIDE_BYTES) {
        index.push(place);
    }
}

/// Walks through a segment up to frame `next`, which its successor begins with.
pub(crate) fn walk_sealed<F: crate::disk::DiskFile>(
    file: &F,
    header: &Header,
    path: &Path,
    next: u64,
) -> Result<(End, Vec<Place>), WalError> {
    let io = |source| WalError::io("read", path, source);
    let mut scanner = Scanner::new(file, header).map_err(io)?;
    let mut index = Vec::new();
    while scanner.seq < next {
        note(&mut index, Place { seq: scanner.seq, offset: scanner.offset, epoch: scanner.seeds.epoch });
        if let Found::End = scanner.step().map_err(io)? {
            let (offset, seq) = (scanner.offset, scanner.seq);
            let (_, looks) = scanner.looks_beyond().map_err(io)?;
            let damage = if looks == 0 && offset >= scanner.len() { Damage::Missing } else { Damage::Frame };
            return Err(WalError::Damaged { segment: path.to_owned(), offset, seq, damage });
        }
    }
    Ok((End { seq: next, offset: scanner.offset }, index))
}

impl<D: Disk> Table<D> {
    pub(crate) fn new(disk: D) -> Self {
        let durable = End { seq: 0, offset: HEADER_BYTES };
        let shared = Shared { segments: VecDeque::new(), durable, open: VecDeque::new() };
        Self { disk, shared: RwLock::new(shared) }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Shared<D>> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Shared<D>> {
        self.shared.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything in the last segment up to `end` is durable.
    pub(crate) fn publish(&self, end: End) {
        self.write().durable = end;
    }

    /// `segment` follows the last one, which ends where it is durable; it is itself durable up to `end`.
    pub(crate) fn push(&self, segment: Arc<Segment<D>>, end: End) {
        let mut shared = self.write();
        let (durable, mut sealed) = (shared.durable, None);
        if let Some((segment, last)) = shared.segments.back_mut() {
            *last = Some(durable);
            sealed = locked(&segment.file).is_some().then_some(segment.header.id);
        }
        shared.segments.push_back((segment, None));
        shared.durable = end;
        if let Some(id) = sealed.filter(|id| !shared.open.contains(id)) {
            shared.opened(id);
        }
    }

    /// Whether `segment` is still part of the log.
    pub(crate) fn holds(&self, id: u64) -> bool {
        self.read().segments.iter().any(|(segment, _)| segment.header.id == id)
    }

    pub(crate) fn first(&self) -> u64 {
        let shared = self.read();
        shared.segments.front().map_or(shared.durable.seq, |(segment, _)| segment.header.first)
    }

    pub(crate) fn durable(&self) -> u64 {
        self.read().durable.seq
    }

    /// The segment that holds frame `from`.
    pub(crate) fn slice(&self, from: u64) -> Result<Slice<D>, WalError> {
        let shared = self.read();
        let next = shared.durable.seq;
        // An empty segment shares its first frame with its successor: the last of them holds it.
        let after = shared.segments.partition_point(|(segment, _)| segment.header.first <= from);
        let found = after.checked_sub(1).and_then(|i| shared.segments.get(i)).filter(|_| from <= next);
        let Some((segment, end)) = found else {
            let first = shared.segments.front().map_or(next, |(segment, _)| segment.header.first);
            return Err(WalError::OutOfRange { from, first, next });
        };
        let segment = Arc::clone(segment);
        Ok(match shared.segments.get(after) {
            None => Slice { segment, next, end: Some(shared.durable.offset) },
            Some((follower, _)) => {
                Slice { segment, next: follower.header.first, end: end.map(|end| end.offset) }
            }
        })
    }

    /// The file of a segment, opened where it is not, and the longest unused one closed for it.
    pub(crate) fn file(&self, segment: &Segment<D>) -> Result<Arc<D::File>, WalError> {
        if let Some(file) = &*locked(&segment.file) {
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open_read_only(&segment.path);
        let file = Arc::new(file.map_err(|source| WalError::io("open", &segment.path, source))?);
        *locked(&segment.file) = Some(Arc::clone(&file));
        self.write().opened(segment.header.id);
        Ok(file)
    }

    /// Where to begin for frame `from` in `slice`; walks through a segment nobody has walked through.
    pub(crate) fn place(&self, slice: &Slice<D>, from: u64) -> Result<Place, WalError> {
        let segment = &slice.segment;
        if let Some(place) = segment.place_of(from) {
            return Ok(place);
        }
        let file = self.file(segment)?;
        let (_, index) = walk_sealed(&*file, &segment.header, &segment.path, slice.next)?;
        segment.set_index(index);
        Ok(segment.place_of(from).unwrap_or(Segment::<D>::start(&segment.header)))
    }

    pub(crate) fn infos(&self) -> Vec<SegmentInfo> {
        let shared = self.read();
        let followers = shared.segments.iter().skip(1).map(|(segment, _)| Some(segment.header));
        shared
            .segments
            .iter()
            .zip(followers.chain([None]))
            .map(|((segment, end), follower)| {
                let end = if follower.is_none() { Some(shared.durable) } else { *end };
                let (bytes, capacity) = segment.extent(end);
                SegmentInfo {
                    path: segment.path.clone(),
                    first: segment.header.first,
                    next: follower.map_or(shared.durable.seq, |f| f.first),
                    bytes,
                    capacity,
                    created: segment.header.created,
                    sealed: follower.map(|f: Header| -> WallMs { f.created }),
                }
            })
            .collect()
    }

    /// What [`Self::infos`] add up to, without a copy of each: asked for with every batch.
    pub(crate) fn extent(&self) -> Extent {
        let shared = self.read();
        let last = shared.segments.len().saturating_sub(1);
        let segments = shared.segments.iter().enumerate();
        segments.fold(Extent::default(), |Extent { bytes, left }, (at, (segment, end))| {
            let end = if at == last { Some(shared.durable) } else { *end };
            let (used, capacity) = segment.extent(end);
            Extent { bytes: bytes + capacity, left: if at == last { capacity - used } else { left } }
        })
    }
}
