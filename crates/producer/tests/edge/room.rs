//! What a directory takes on a simulated disk.

use seawall_wal::disk::SimDisk;
use seawall_wal::{Disk, DiskFile};
use std::path::Path;

/// Bytes of all files in a spill.
pub(crate) fn used(disk: &SimDisk, dir: &Path) -> u64 {
    let logs = ["log", "refused"].map(|name| dir.join(name));
    let names = logs.iter().flat_map(|log| {
        let names = disk.list(log).unwrap_or_default();
        names.into_iter().map(|name| log.join(name))
    });
    names.map(|path| disk.open_read_only(&path).and_then(|file| file.len()).unwrap_or(0)).sum()
}
