//! Looking at a log without owning it, and cutting a damaged one where the damage begins.
//!
//! Everything here but [`repair`] with `write` only reads, so it may look at a log that is being written: what it
//! says of the last segment is then already old.

use crate::disk::{Disk, DiskFile};
use crate::error::{Damage, WalError};
use crate::format::Header;
use crate::log::begin::{id_of, segment_name};
use crate::log::recover::{LOCK_NAME, header, headers, walk_last};
use crate::log::table::{End, Segment, Table, walk_sealed};
use crate::log::{Lost, SegmentInfo};
use crate::reader::Reader;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes copied at a time when they are moved aside.
const COPY_BYTES: u64 = 1 << 20;

/// What a directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The segments, oldest first.
    pub segments: Vec<SegmentReport>,
    /// Files kept for reuse.
    pub spares: Vec<PathBuf>,
    /// What earlier repairs moved aside.
    pub cuts: Vec<PathBuf>,
    /// A torn tail that the next opening will cut.
    pub torn: Option<Lost>,
}

/// One segment's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    /// What its valid part holds. Where the header is damaged, nothing, and its first frame is only a bound:
    /// that of the segment before.
    pub info: SegmentInfo,
    /// The file's size, with what is zeroed ahead or left of an earlier life.
    pub file_bytes: u64,
    /// What is wrong, and at which byte.
    pub damage: Option<(u64, Damage)>,
    /// One past the last frame that was durable, as far as its marks say; behind a damage they may know of more frames
    /// than can be read.
    pub durable: u64,
}

impl Inspection {
    /// The first damage, as opening the log would tell it.
    pub fn damage(&self) -> Option<WalError> {
        let (report, (offset, damage)) = self.segments.iter().find_map(|s| s.damage.map(|d| (s, d)))?;
        let segment = report.info.path.clone();
        Some(WalError::Damaged { segment, offset, seq: report.info.next, damage })
    }
}

/// What a repair did, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The damage; `None`: there is nothing to repair.
    pub damage: Option<(PathBuf, u64, Damage)>,
    /// The frames that are left end here; `None` where no segment is left, so that the log would begin anew.
    pub next: Option<u64>,
    /// One past the last frame there was, as far as headers and marks tell: where the last segment is damaged there may
    /// have been more.
    pub next_before: u64,
    /// What is cut, newest first.
    pub cuts: Vec<Cut>,
    /// Whether it was done, or only planned.
    pub written: bool,
}

/// Bytes moved aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment.
    pub segment: PathBuf,
    /// From which byte on; 0: the whole file.
    pub offset: u64,
    /// How many bytes those are, with what is zeroed ahead.
    pub bytes: u64,
    /// The file they are in now.
    pub moved_to: PathBuf,
}

/// Reads every segment in `dir` and says what is in it, damaged or not.
///
/// # Errors
/// What the disk answers. Damage is a finding, not an error.
pub fn inspect<D: Disk>(disk: &D, dir: &Path) -> Result<Inspection, WalError> {
    let names = disk.list(dir).map_err(|source| WalError::io("list", dir, source))?;
    let ids: Vec<_> = names.iter().filter_map(|name| id_of(name, ".wal")).collect();
    let mut found = Vec::new();
    for id in ids {
        let path = dir.join(segment_name(id));
        let read = header(disk, &path)?;
        let read =
            read.and_then(|header| if header.id == id { Ok(header) } else { Err(Damage::WrongSegment) });
        found.push((path, read));
    }
    let (mut segments, mut torn, mut first): (Vec<SegmentReport>, _, _) = (Vec::new(), None, 0);
    for (at, (path, read)) in found.iter().enumerate() {
        let role = match found.get(at + 1) {
            None => Role::Last,
            Some((_, Ok(follower))) => Role::Before(*follower),
            Some((_, Err(_))) => Role::BeforeDamaged,
        };
        first = read.as_ref().map_or(first, |header| header.first);
        segments.push(look(disk, path, read, first, role, &mut torn)?);
    }
    let of = |ending: &str| {
        names.iter().filter(|name| name.ends_with(ending)).map(|name| dir.join(name)).collect()
    };
    Ok(Inspection { segments, spares: of(".spare"), cuts: of(".cut"), torn })
}

/// Reads every segment in `dir`; fails where opening the log would.
///
/// # Errors
/// [`WalError::Damaged`] with the first damage; what the disk answers.
pub fn verify<D: Disk>(disk: &D, dir: &Path) -> Result<Inspection, WalError> {
    let inspection = inspect(disk, dir)?;
    inspection.damage().map_or(Ok(inspection), Err)
}

/// A reader of a log that is not opened: nothing is written, not even a lock. It ends where the valid frames of
/// the last segment do. `None` where there is no segment.
///
/// # Errors
/// [`WalError::Damaged`] where a header or the last segment is (damage elsewhere is met by the reads); what the disk
/// answers.
pub fn reader<D: Disk>(disk: &D, dir: &Path) -> Result<Option<Reader<D>>, WalError> {
    let names = disk.list(dir).map_err(|source| WalError::io("list", dir, source))?;
    let headed = headers(disk, dir, &names)?;
    let Some(last) = headed.last() else { return Ok(None) };
    let file = disk.open_read_only(&last.path).map_err(|source| WalError::io("open", &last.path, source))?;
    let tail = walk_last(&file, &last.header, &last.path)?;
    if tail.watermark > tail.end.seq {
        let (segment, offset, seq) = (last.path.clone(), tail.end.offset, tail.end.seq);
        return Err(WalError::Damaged { segment, offset, seq, damage: Damage::Frame });
    }
    let table = Table::new(disk.clone());
    for segment in headed {
        let segment = Arc::new(Segment::new(segment.header, segment.path, None));
        table.push(segment, End { seq: tail.end.seq, offset: tail.end.offset });
    }
    let mut shared = table.write();
    // Where the older ones end, the walk through each will say.
    shared.segments.iter_mut().for_each(|(_, end)| *end = None);
    if let Some((last, _)) = shared.segments.back() {
        last.set_index(tail.index);
    }
    drop(shared);
    Ok(Some(Reader::new(Arc::new(table))))
}

/// What stands behind a segment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Last,
    Before(Header),
    /// Its end is not known.
    BeforeDamaged,
}

fn look<D: Disk>(
    disk: &D,
    path: &Path,
    read: &Result<Header, Damage>,
    first: u64,
    role: Role,
    torn: &mut Option<Lost>,
) -> Result<SegmentReport, WalError> {
    let file = disk.open_read_only(path).map_err(|source| WalError::io("open", path, source))?;
    let file_bytes = file.len().map_err(|source| WalError::io("measure", path, source))?;
    let mut report = SegmentReport {
        info: SegmentInfo {
            path: path.to_owned(),
            first,
            next: first,
            bytes: 0,
            capacity: file_bytes,
            created: seawall_core::WallMs(0),
            sealed: None,
        },
        file_bytes,
        damage: None,
        durable: first,
    };
    let header = match read {
        Ok(header) => header,
        Err(damage) => {
            report.damage = Some((0, *damage));
            return Ok(report);
        }
    };
    report.info.created = header.created;
    if let Role::Before(follower) = role {
        report.info.sealed = Some(follower.created);
        match walk_sealed(&file, header, path, follower.first) {
            Ok((end, _)) => (report.info.next, report.info.bytes) = (end.seq, end.offset),
            Err(WalError::Damaged { offset, seq, damage, .. }) => {
                (report.info.next, report.info.bytes) = (seq, offset);
                report.damage = Some((offset, damage));
            }
            Err(error) => return Err(error),
        }
        if follower.first < header.first {
            report.damage = Some((0, Damage::Header));
        }
        return Ok(report);
    }
    let tail = walk_last(&file, header, path)?;
    (report.info.next, report.info.bytes) = (tail.end.seq, tail.end.offset);
    report.durable = tail.watermark;
    if tail.watermark > tail.end.seq {
        report.damage = Some((tail.end.offset, Damage::Frame));
    } else if role == Role::Last {
        *torn = tail.lost;
    }
    Ok(report)
}

/// Cuts a damaged log where its first damage begins, so that it opens again with every frame before. Nothing is
/// deleted: what is cut, with all segments behind, goes to `.cut` files in the same directory, for a person
/// to look at. Without `write`, only says what it would do.
///
/// # Errors
/// [`WalError::Locked`] when the log is in use, with `write`; what the disk answers.
pub fn repair<D: Disk>(disk: &D, dir: &Path, write: bool) -> Result<Repair, WalError> {
    let _lock = if write {
        Some(disk.lock(&dir.join(LOCK_NAME)).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => WalError::Locked { dir: dir.to_owned() },
            _ => WalError::io("lock", dir, source),
        })?)
    } else {
        None
    };
    let inspection = inspect(disk, dir)?;
    let segments = &inspection.segments;
    let next_before = segments.iter().map(|s| s.info.next.max(s.durable)).max().unwrap_or(0);
    let Some(at) = segments.iter().position(|s| s.damage.is_some()) else {
        let next = segments.last().map(|s| s.info.next);
        return Ok(Repair { damage: None, next, next_before, cuts: Vec::new(), written: false });
    };
    let mut cuts = Vec::new();
    for (index, report) in segments.iter().enumerate().skip(at).rev() {
        let offset = if index == at { report.damage.map_or(0, |(offset, _)| offset) } else { 0 };
        let segment = report.info.path.clone();
        let moved_to = segment.with_extension(format!("{offset}.cut"));
        let bytes = report.file_bytes.saturating_sub(offset);
        cuts.push(Cut { segment, offset, bytes, moved_to });
    }
    if write {
        // Newest first: a crash in between leaves the damage in place, and what is left to do again.
        for cut in &cuts {
            move_aside(disk, dir, cut)?;
        }
    }
    let damaged = segments.get(at);
    let left =
        damaged.filter(|s| s.info.bytes > 0).or(at.checked_sub(1).and_then(|before| segments.get(before)));
    Ok(Repair {
        damage: damaged.and_then(|s| s.damage.map(|(offset, damage)| (s.info.path.clone(), offset, damage))),
        next: left.map(|s| s.info.next),
        next_before,
        cuts,
        written: write,
    })
}

fn move_aside<D: Disk>(disk: &D, dir: &Path, cut: &Cut) -> Result<(), WalError> {
    let io = |op, source| WalError::io(op, &cut.segment, source);
    if cut.offset == 0 {
        disk.rename(&cut.segment, &cut.moved_to).map_err(|source| io("rename", source))?;
        return disk.sync_dir(dir).map_err(|source| WalError::io("sync", dir, source));
    }
    let file = disk.open(&cut.segment).map_err(|source| io("open", source))?;
    // A copy that an interrupted repair left is begun anew.
    let copy = match disk.create(&cut.moved_to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => disk.open(&cut.moved_to),
        created => created,
    };
    let copy = copy.map_err(|source| WalError::io("create", &cut.moved_to, source))?;
    let mut done = 0;
    let mut buffer = vec![0; COPY_BYTES as usize];
    loop {
        let read = file.read_at(&mut buffer, cut.offset + done).map_err(|source| io("read", source))?;
        if read == 0 {
            break;
        }
        let bytes = buffer.get(..read).unwrap_or_default();
        copy.write_all_at(bytes, done).map_err(|source| WalError::io("write", &cut.moved_to, source))?;
        done += read as u64;
    }
    copy.sync_data().map_err(|source| WalError::io("sync", &cut.moved_to, source))?;
    disk.sync_dir(dir).map_err(|source| WalError::io("sync", dir, source))?;
    file.set_len(cut.offset).map_err(|source| io("cut", source))?;
    file.sync_data().map_err(|source| io("sync", source))
}
