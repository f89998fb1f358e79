//! What sinks refused for good, kept for a person: a log of its own, within the spill's budget.
//!
//! Room for one segment more of it is always left by the records, so that one that nobody takes leaves the front of a full
//! spill. At its end nothing is put aside any more, and nothing is dropped: a refused record stays where it is and holds up its
//! own key.

use super::batch::Batch;
use super::store::{REFUSED, log_options};
use super::write::Writer;
use super::{frame, scan, store};
use crate::error::OpenError;
use crate::options::{Driver, SpillOptions};
use crate::sink::BoxFuture;
use bytes::Bytes;
use seawall_core::{Clock, Outgoing};
use seawall_wal::{Disk, DiskFile, Extent, Options, WalError};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::{OnceCell, oneshot};

/// What the log adds to a batch, and to each frame of it, at most.
const AROUND: u64 = 4096 + 256;

pub(super) struct Aside<D: Disk> {
    /// Opened when there is something in it, or the first record is refused.
    writer: Arc<OnceCell<Writer<D>>>,
    /// What an earlier life left, while it is not opened.
    found: u64,
    /// Records of earlier lives in it.
    records: u64,
    /// Bytes on their way to the disk.
    pending: Arc<AtomicU64>,
}

impl<D: Disk> Aside<D> {
    /// Goes on with what an earlier life `left`. A failure to open it is told when something is to be written to it.
    pub(super) fn open(
        left: Left,
        disk: &D,
        options: &SpillOptions,
        clock: &Arc<dyn Clock>,
        driver: Driver,
    ) -> Self {
        let Left { found, records } = left;
        let open = || Writer::open(disk, log_options(options, REFUSED), clock, driver).ok();
        let writer = (found > 0).then(open).flatten().map(|(writer, _)| writer);
        let writer = Arc::new(OnceCell::new_with(writer));
        Self { writer, found, records, pending: Arc::default() }
    }

    /// Puts `records` aside. Whoever calls waits for nothing: the log may have to be opened, and the disk may hang.
    pub(super) fn keep(
        &self,
        records: &[(String, Outgoing)],
        disk: &D,
        options: &SpillOptions,
        clock: &Arc<dyn Clock>,
        driver: Driver,
    ) -> BoxFuture<Result<(), OpenError>> {
        let frames: Vec<Bytes> =
            records.iter().map(|(reason, record)| frame::refused(reason, record)).collect();
        let bytes = size(records);
        self.pending.fetch_add(bytes, Relaxed);
        let (writer, pending) = (Arc::clone(&self.writer), Arc::clone(&self.pending));
        let (disk, clock, options) = (disk.clone(), Arc::clone(clock), log_options(options, REFUSED));
        Box::pin(async move {
            let kept = match writer.get_or_try_init(|| begin(disk, options, clock, driver)).await {
                Ok(writer) => writer.append(Batch::Frames(frames), None).await.map_err(OpenError::from),
                Err(error) => Err(error),
            };
            pending.fetch_sub(bytes, Relaxed);
            kept.map(|_| ())
        })
    }

    /// Whether `bytes` more may be put aside, by segments of `segment` bytes, where all logs have `rest` left.
    pub(super) fn takes(&self, bytes: u64, segment: u64, rest: u64) -> bool {
        let (extent, pending) = (self.extent(), self.pending.load(Relaxed));
        let more = needs(pending + bytes, extent, segment) - needs(pending, extent, segment);
        more <= rest
    }

    /// Bytes that it takes on disk, with what is on its way.
    pub(super) fn bytes(&self, segment: u64) -> u64 {
        let extent = self.extent();
        let taken = if self.writer.initialized() { extent.bytes } else { self.found };
        taken + needs(self.pending.load(Relaxed), extent, segment)
    }

    /// Records that an earlier life left.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    pub(super) fn writer(&self) -> Option<&Writer<D>> {
        self.writer.get()
    }

    fn extent(&self) -> Extent {
        self.writer.get().map(Writer::extent).unwrap_or_default()
    }
}

/// What an earlier life left: bytes, and records.
pub(super) struct Left {
    found: u64,
    records: u64,
}

/// Looks at what the spill in `dir` has aside, and writes nothing.
pub(super) fn look<D: Disk>(disk: &D, dir: &Path) -> Result<Left, OpenError> {
    let dir = dir.join(REFUSED);
    let found = taken(disk, &dir)?;
    Ok(Left { found, records: if found > 0 { count(disk, &dir) } else { 0 } })
}

/// Records in the log in `dir`, as far as it can be read: what cannot is told when something is to be written to it.
fn count<D: Disk>(disk: &D, dir: &Path) -> u64 {
    let scanned =
        store::reader(disk, dir).and_then(|reader| reader.map(|reader| scan::scan(&reader)).transpose());
    scanned.ok().flatten().map_or(0, |found| found.refused)
}

/// Opens the log.
async fn begin<D: Disk>(
    disk: D,
    options: Options,
    clock: Arc<dyn Clock>,
    driver: Driver,
) -> Result<Writer<D>, OpenError> {
    let open = move || Writer::open(&disk, options, &clock, driver).map(|(writer, _)| writer);
    if driver == Driver::Inline {
        return open();
    }
    let (opened, told) = oneshot::channel();
    // Not one of the runtime's own, whose end would wait for a disk that hangs.
    let thread = std::thread::Builder::new().name("seawall-refused".to_owned());
    thread
        .spawn(move || {
            // Whoever does not listen any more has closed, and what was opened is closed, too.
            let _ = opened.send(open());
        })
        .map_err(|source| OpenError::io("open, for want of a thread,", Path::new(REFUSED), source))?;
    told.await.unwrap_or_else(|_| Err(WalError::Closed.into()))
}

/// Bytes of the frames of `records`, and around them.
pub(super) fn size(records: &[(String, Outgoing)]) -> u64 {
    let frame = |(reason, record): &(String, Outgoing)| frame::refused(reason, record).len() as u64 + 64;
    records.iter().map(frame).sum()
}

/// Bytes of further segments that so many more take.
fn needs(bytes: u64, extent: Extent, segment: u64) -> u64 {
    if bytes == 0 || bytes + AROUND <= extent.left {
        return 0;
    }
    if bytes + AROUND <= segment {
        return segment;
    }
    // Frames that do not fit begin another segment: of two that follow each other, more than one is full.
    (bytes + AROUND).max(segment) + bytes + segment
}

/// Bytes of the files in `dir`.
fn taken<D: Disk>(disk: &D, dir: &Path) -> Result<u64, OpenError> {
    let names = match disk.list(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        listed => listed.map_err(|source| OpenError::io("list", dir, source))?,
    };
    let length = |name: &String| {
        let path = dir.join(name);
        let file = disk.open_read_only(&path).and_then(|file| file.len());
        file.map_err(|source| OpenError::io("look at", &path, source))
    };
    names.iter().map(length).sum()
}
