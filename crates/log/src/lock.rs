//! One process owns a data directory.
//!
//! The lock is the kernel's, on the file `lock`, so it is gone with its process however that ends; the process
//! id inside is for the message alone. The file is never removed: removing it would let two processes lock two
//! files of the same name.

use crate::error::LogError;
use seawall_wal::{Disk, DiskFile};
use std::io::ErrorKind;
use std::path::Path;

/// The lock file's name within the data directory.
pub const LOCK_FILE: &str = "lock";
/// A process id, padded, so that a shorter one overwrites a longer one.
const PID_BYTES: usize = 10;

/// Takes `dir`, which must exist, or says at once who has it. Dropping the answer lets go.
pub(crate) fn take<D: Disk>(disk: &D, dir: &Path) -> Result<D::Lock, LogError> {
    let path = dir.join(LOCK_FILE);
    let lock = disk.lock(&path).map_err(|source| match source.kind() {
        ErrorKind::WouldBlock => LogError::Locked { dir: dir.to_owned(), pid: owner(disk, &path) },
        _ => LogError::io("lock", &path, source),
    })?;
    let pid = format!("{:<PID_BYTES$}", std::process::id());
    // Best effort: the lock holds without it, and a full disk must not keep anybody from reading.
    if let Err(error) = disk.open(&path).and_then(|file| file.write_all_at(pid.as_bytes(), 0)) {
        tracing::debug!(path = %path.display(), %error, "the process id was not written");
    }
    Ok(lock)
}

/// The process id in the file; none where the owner has not written it yet.
fn owner<D: Disk>(disk: &D, path: &Path) -> Option<u32> {
    let mut text = [0; PID_BYTES];
    let read = disk.open_read_only(path).ok()?.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(text.get(..read)?).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_wal::RealDisk;

    #[test]
    fn a_second_owner_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let first = take(&RealDisk, dir.path()).unwrap();
        let second = take(&RealDisk, dir.path()).unwrap_err();
        assert!(matches!(second, LogError::Locked { pid: Some(pid), .. } if pid == std::process::id()));
        drop(first);
        take(&RealDisk, dir.path()).unwrap();
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join(LOCK_FILE)).unwrap();
        assert!(matches!(take(&RealDisk, dir.path()), Err(LogError::Io { .. })));
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    }
}
