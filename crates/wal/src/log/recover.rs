//! Opening: what a crash left is read, judged, and made durable before anyone sees it.

use super::begin::{id_of, segment_name};
use super::table::{End, Place, Segment, Table, note, walk_sealed};
use super::{Active, Counters, Log, Lost, Options, Recovery, Scan, Spares};
use crate::disk::{Disk, DiskFile};
use crate::error::{Damage, WalError};
use crate::format::{Found, HEADER_BYTES, Header, MARK_BYTES, Mark, Scanner, encode_mark};
use seawall_core::WallMs;
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The lock's file name.
pub(crate) const LOCK_NAME: &str = "lock";

/// A segment's file with its header.
pub(crate) struct Headed {
    pub(crate) path: PathBuf,
    pub(crate) header: Header,
}

/// What a walk through the last segment tells.
pub(crate) struct Tail {
    /// Where the valid frames end.
    pub(crate) end: Place,
    /// The highest watermark that any mark claims.
    pub(crate) watermark: u64,
    /// From where on frames may not be on disk, though they were read.
    rewrite_from: u64,
    /// The file's length.
    len: u64,
    pub(crate) index: Vec<Place>,
    pub(crate) lost: Option<Lost>,
}

impl Options {
    fn check(&self) -> Result<(), WalError> {
        let refuse = |option, value, want| Err(WalError::Options { option, value, want });
        if self.segment_bytes < 2 * HEADER_BYTES {
            return refuse("segment_bytes", self.segment_bytes, "at least 8192");
        }
        if self.frame_bytes_max == 0 || self.frame_bytes_max > crate::format::FRAME_BYTES_LIMIT {
            return refuse("frame_bytes_max", self.frame_bytes_max.into(), "from 1 to 1073741823");
        }
        if self.unsynced_bytes_max < u64::from(self.frame_bytes_max) + 1024 {
            return refuse("unsynced_bytes_max", self.unsynced_bytes_max, "at least frame_bytes_max + 1024");
        }
        Ok(())
    }
}

pub(super) fn open<D: Disk>(disk: D, options: Options, now: WallMs) -> Result<(Log<D>, Recovery), WalError> {
    options.check()?;
    let dir = options.dir.clone();
    let on_dir = |op| {
        let dir = dir.clone();
        move |source| WalError::io(op, &dir, source)
    };
    disk.create_dir_all(&dir).map_err(on_dir("create"))?;
    let lock = disk.lock(&dir.join(LOCK_NAME)).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => WalError::Locked { dir: dir.clone() },
        _ => WalError::io("lock", &dir, source),
    })?;
    // Renames that a dead process made may not be durable yet; what follows builds on them.
    disk.sync_dir(&dir).map_err(on_dir("sync"))?;
    let names = disk.list(&dir).map_err(on_dir("list"))?;
    let spares: Vec<_> = names.iter().filter_map(|name| id_of(name, ".spare").map(|id| (id, name))).collect();
    let headed = headers(&disk, &dir, &names)?;
    let newest = headed.last().map(|h| h.header.id).into_iter().chain(spares.iter().map(|s| s.0)).max();

    let table = Arc::new(Table::new(disk.clone()));
    let mut log = Log {
        disk,
        table,
        active: None,
        unsynced: Vec::new(),
        places: Vec::new(),
        next: options.start_at,
        durable: options.start_at,
        next_id: newest.map_or(0, |id| id + 1),
        spares: Spares::default(),
        poisoned: Vec::new(),
        front_stuck: None,
        strays: Vec::new(),
        counters: Counters::default(),
        options,
        _lock: lock,
    };
    for (_, name) in spares {
        let path = dir.join(name);
        if log.spares.len() < log.options.spares_max {
            log.spares.put(path);
        } else {
            log.disk.remove(&path).map_err(|source| WalError::io("remove", &path, source))?;
        }
    }
    let segments = headed.len();
    let lost = match headed.split_last() {
        None => {
            log.begin(&[], now)?;
            None
        }
        Some((last, sealed)) => {
            for (at, segment) in sealed.iter().enumerate() {
                let next = headed.get(at + 1).map_or(0, |follower| follower.header.first);
                log.adopt_sealed(segment, next)?;
            }
            log.adopt_last(last, now)?
        }
    };
    let recovery = Recovery { first: log.first(), next: log.next, segments, lost };
    Ok((log, recovery))
}

/// The segments in `names`, oldest first, their headers checked.
pub(crate) fn headers<D: Disk>(disk: &D, dir: &Path, names: &[String]) -> Result<Vec<Headed>, WalError> {
    let mut headed: Vec<Headed> = Vec::new();
    for id in names.iter().filter_map(|name| id_of(name, ".wal")) {
        let path = dir.join(segment_name(id));
        let first = headed.last().map_or(0, |before| before.header.first);
        let header = header(disk, &path)?;
        let damage = match header {
            Ok(header) if header.id != id => Damage::WrongSegment,
            Ok(header) if header.first < first => Damage::Header,
            Ok(header) => {
                headed.push(Headed { path, header });
                continue;
            }
            Err(damage) => damage,
        };
        return Err(WalError::Damaged { segment: path, offset: 0, seq: first, damage });
    }
    Ok(headed)
}

/// The header of the segment at `path`.
pub(crate) fn header<D: Disk>(disk: &D, path: &Path) -> Result<Result<Header, Damage>, WalError> {
    let file = disk.open_read_only(path).map_err(|source| WalError::io("open", path, source))?;
    let mut page = vec![0; HEADER_BYTES as usize];
    let read = file.read_at(&mut page, 0).map_err(|source| WalError::io("read", path, source))?;
    // A segment is never shorter than its header's page.
    Ok(if read < page.len() { Err(Damage::Header) } else { Header::decode(&page) })
}

/// Walks through the last segment to where its frames end, and looks for claims beyond.
pub(crate) fn walk_last<F: DiskFile>(file: &F, header: &Header, path: &Path) -> Result<Tail, WalError> {
    let io = |source| WalError::io("read", path, source);
    let mut scanner = Scanner::new(file, header).map_err(io)?;
    let mut index = Vec::new();
    let mut watermark = header.first;
    // The marks from which on frames are above the watermark: only the first of them counts.
    let mut marks = VecDeque::from([(header.first, HEADER_BYTES)]);
    let end = loop {
        let place = Place { seq: scanner.seq, offset: scanner.offset, epoch: scanner.seeds.epoch };
        note(&mut index, place);
        match scanner.step().map_err(io)? {
            Found::Frame => {}
            Found::Mark(mark) => {
                watermark = watermark.max(mark.durable);
                marks.push_back((mark.seq, place.offset));
                while marks.get(1).is_some_and(|(seq, _)| *seq <= watermark) {
                    marks.pop_front();
                }
            }
            Found::End => break place,
        }
    };
    let rewrite_from = marks.front().map_or(HEADER_BYTES, |(_, offset)| *offset);
    let mut traces = end.offset;
    let epoch = end.epoch;
    scanner
        .marks_beyond(|offset, mark| {
            watermark = watermark.max(mark.durable);
            if mark.epoch == epoch {
                traces = traces.max(offset + MARK_BYTES as u64);
            }
        })
        .map_err(io)?;
    let (mut looks, mut frames) = scanner.looks_beyond().map_err(io)?;
    if frames == 0 {
        // A torn mark hides the frames behind it.
        scanner.offset += MARK_BYTES as u64;
        (looks, frames) = scanner.looks_beyond().map_err(io)?;
        looks = if frames == 0 { end.offset } else { looks };
    }
    let traces = traces.max(looks);
    let lost = (traces > end.offset).then(|| Lost {
        segment: path.to_owned(),
        offset: end.offset,
        end: traces,
        seq: end.seq,
        frames,
    });
    Ok(Tail { end, watermark, rewrite_from, len: scanner.len(), index, lost })
}

impl<D: Disk> Log<D> {
    fn adopt_sealed(&mut self, headed: &Headed, next: u64) -> Result<(), WalError> {
        let path = &headed.path;
        let segment = Segment::new(headed.header, path.clone(), None);
        let mut end = None;
        if self.options.scan == Scan::All {
            let file = self.disk.open_read_only(path).map_err(|source| WalError::io("open", path, source))?;
            let (found, index) = walk_sealed(&file, &headed.header, path, next)?;
            segment.set_index(index);
            end = Some(found);
        }
        self.table.write().segments.push_back((Arc::new(segment), end));
        Ok(())
    }

    /// Takes the last segment over: refuses damage, cuts a torn tail, makes what is left durable, and begins a new
    /// epoch behind it.
    fn adopt_last(&mut self, headed: &Headed, now: WallMs) -> Result<Option<Lost>, WalError> {
        let Headed { path, header } = headed;
        let file = self.disk.open(path).map_err(|source| WalError::io("open", path, source))?;
        let tail = walk_last(&file, header, path)?;
        let Tail { end, watermark, .. } = tail;
        if watermark > end.seq {
            let (segment, offset, seq) = (path.clone(), end.offset, end.seq);
            return Err(WalError::Damaged { segment, offset, seq, damage: Damage::Frame });
        }
        let mut bytes = vec![0; (end.offset - tail.rewrite_from) as usize];
        file.read_at(&mut bytes, tail.rewrite_from).map_err(|source| WalError::io("read", path, source))?;
        let seeds = crate::format::Seeds::new(header.salt, end.epoch);
        let epoch = self.disk.entropy();
        let mark = Mark { seq: end.seq, durable: watermark, epoch, previous: end.epoch, wall: now };
        encode_mark(&mut bytes, end.offset, &mark, &seeds);
        file.write_all_at(&bytes, tail.rewrite_from).map_err(|source| WalError::io("write", path, source))?;
        file.sync_data().map_err(|source| WalError::io("sync", path, source))?;

        let offset = end.offset + MARK_BYTES as u64;
        let file = Arc::new(file);
        let segment = Arc::new(Segment::new(*header, path.clone(), Some(Arc::clone(&file))));
        segment.set_index(tail.index);
        let mut shared = self.table.write();
        shared.segments.push_back((Arc::clone(&segment), None));
        shared.durable = End { seq: end.seq, offset };
        drop(shared);
        (self.next, self.durable) = (end.seq, end.seq);
        let exists = tail.len.max(offset);
        self.active = Some(Active { segment, file, seeds: seeds.with_epoch(epoch), offset, exists });
        Ok(tail.lost)
    }
}
