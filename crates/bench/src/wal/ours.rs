//! Seawall's log: behind its commit thread, as the product uses it, and bare.

use super::{Durably, Load, SEGMENT_BYTES, contender, frames};
use crate::compare::{BenchError, Contender};
use bytes::Bytes;
use seawall_core::{SystemClock, WallMs};
use seawall_wal::{GroupCommit, GroupOptions, Log, Options, RealDisk};
use std::path::Path;
use std::sync::Arc;

/// Frames that stay when the front is truncated.
const KEPT: u64 = 4_096;

/// Behind the commit thread.
pub(crate) fn group_commit(load: Load, dir: &Path) -> Result<Contender, BenchError> {
    let log = open(dir)?;
    let group = GroupCommit::start(log, GroupOptions::default(), Arc::new(SystemClock::new()))
        .map_err(BenchError::of("wal"))?;
    let mut log = Grouped { group, next: 0, shared: shared(load.per_sync) };
    warm(&mut log, load)?;
    Ok(contender("group commit", env!("CARGO_PKG_VERSION"), load, vec![log; load.callers]))
}

/// The engine alone.
pub(super) fn log(load: Load, dir: &Path) -> Result<Contender, BenchError> {
    let mut log = Alone(open(dir)?);
    warm(&mut log, load)?;
    Ok(contender("log", env!("CARGO_PKG_VERSION"), load, vec![log]))
}

fn open(dir: &Path) -> Result<Log<RealDisk>, BenchError> {
    let options = Options { segment_bytes: SEGMENT_BYTES, ..Options::new(dir.join("log")) };
    let (log, _) = Log::open(RealDisk, options, WallMs(0)).map_err(BenchError::of("wal"))?;
    Ok(log)
}

/// Fills some segments and drops them, so that recycled ones are measured: a log spends its life there.
fn warm(log: &mut impl Durably, load: Load) -> Result<(), BenchError> {
    let frames = frames(load.per_sync);
    let bytes_each: u64 = frames.iter().map(|frame| frame.len() as u64).sum();
    for _ in 0..4 * SEGMENT_BYTES / bytes_each {
        log.write(&frames)?;
    }
    log.tidy()
}

#[derive(Clone)]
struct Grouped {
    group: GroupCommit<RealDisk>,
    next: u64,
    shared: Vec<Bytes>,
}

impl Durably for Grouped {
    fn write(&mut self, _: &[Vec<u8>]) -> Result<(), BenchError> {
        // Frames come as `Bytes` in the product: they were read from a socket once.
        let ticket = self.group.append(self.shared.clone()).map_err(BenchError::of("wal"))?;
        self.next = ticket.wait().map_err(BenchError::of("wal"))?.next;
        Ok(())
    }

    fn tidy(&mut self) -> Result<(), BenchError> {
        let before = self.next.saturating_sub(KEPT);
        self.group.truncate_front(before).map(drop).map_err(BenchError::of("wal"))
    }
}

fn shared(count: usize) -> Vec<Bytes> {
    frames(count).into_iter().map(Bytes::from).collect()
}

struct Alone(Log<RealDisk>);

impl Durably for Alone {
    fn write(&mut self, frames: &[Vec<u8>]) -> Result<(), BenchError> {
        let _ = self.0.append(frames, WallMs(0)).map_err(BenchError::of("wal"))?;
        let _ = self.0.sync(WallMs(0)).map_err(BenchError::of("wal"))?;
        Ok(())
    }

    fn tidy(&mut self) -> Result<(), BenchError> {
        let before = self.0.next().saturating_sub(KEPT);
        self.0.truncate_front(before).map(drop).map_err(BenchError::of("wal"))
    }
}
