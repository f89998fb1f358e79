//! One simulated file: what reads see, and what would survive.

use super::FaultCounts;
use std::collections::BTreeSet;

const SECTOR: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Inode {
    seen: Vec<u8>,
    safe: Vec<u8>,
    /// Sectors written since the last sync.
    dirty: BTreeSet<usize>,
}

/// What becomes of a dirty sector.
#[derive(Clone, Copy)]
enum Fate {
    Kept,
    Lost,
    Torn,
}

impl Inode {
    pub(super) fn len(&self) -> u64 {
        self.seen.len() as u64
    }

    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let rest = self.seen.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        len
    }

    pub(super) fn write(&mut self, buf: &[u8], offset: u64) {
        if buf.is_empty() {
            return;
        }
        let (start, end) = (offset as usize, offset as usize + buf.len());
        if self.seen.len() < end {
            self.seen.resize(end, 0);
        }
        self.seen[start..end].copy_from_slice(buf);
        self.dirty.extend(start / SECTOR..=(end - 1) / SECTOR);
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.seen.resize(len as usize, 0);
        self.safe.truncate(len as usize);
        self.dirty.retain(|sector| sector * SECTOR < len as usize);
    }

    pub(super) fn sync(&mut self) {
        self.safe.resize(self.seen.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            self.settle(sector, SECTOR);
        }
    }

    /// A sync that fails: some sectors reach the disk, and all pages are clean from now on.
    pub(super) fn sync_badly(&mut self, rng: &mut fastrand::Rng, counts: &mut FaultCounts) {
        self.decide(rng, counts);
    }

    pub(super) fn crash(&mut self, rng: &mut fastrand::Rng, counts: &mut FaultCounts) {
        self.decide(rng, counts);
        self.seen.clone_from(&self.safe);
    }

    /// Decides the fate of each dirty sector. One time in three they all share it.
    fn decide(&mut self, rng: &mut fastrand::Rng, counts: &mut FaultCounts) {
        let shared = match rng.u32(0..6) {
            0 => Some(Fate::Kept),
            1 => Some(Fate::Lost),
            _ => None,
        };
        for sector in std::mem::take(&mut self.dirty) {
            let fate = shared.unwrap_or_else(|| match rng.u32(0..8) {
                0..4 => Fate::Kept,
                4..7 => Fate::Lost,
                _ => Fate::Torn,
            });
            match fate {
                Fate::Kept => {
                    counts.sectors_kept += 1;
                    self.settle(sector, SECTOR);
                }
                Fate::Lost => counts.sectors_lost += 1,
                Fate::Torn => {
                    counts.sectors_torn += 1;
                    self.settle(sector, rng.usize(1..SECTOR));
                }
            }
        }
    }

    /// The first `bytes` of a sector reach the disk; what lies between it and the old end reads as zeros.
    fn settle(&mut self, sector: usize, bytes: usize) {
        let start = sector * SECTOR;
        let end = (start + bytes).min(self.seen.len());
        if self.safe.len() < end {
            self.safe.resize(end, 0);
        }
        if start < end {
            self.safe[start..end].copy_from_slice(&self.seen[start..end]);
        }
    }
}
