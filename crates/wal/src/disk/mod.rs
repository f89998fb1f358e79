//! The disk as a parameter: the few calls a log needs of a file system, so that a simulated one can crash,
//! tear, lie and fill up by a seed.
//!
//! The contract is what POSIX promises and no more: bytes written are safe only after [`DiskFile::sync_data`]
//! returned `Ok`, a name (created, renamed, removed) only after [`Disk::sync_dir`] of its directory did, and
//! a file whose sync failed once is never to be trusted again.

mod real;
#[cfg(feature = "sim")]
mod sim;

pub use real::{RealDisk, RealLock};
#[cfg(feature = "sim")]
pub use sim::{Fault, FaultCounts, Faults, SimDisk, SimFile, SimLock};

use std::io;
use std::path::Path;

/// A file system. Cloning shares it.
pub trait Disk: Clone + Send + Sync + 'static {
    /// An open file. Closed when dropped.
    type File: DiskFile;
    /// A held lock. Released when dropped.
    type Lock: Send + Sync + 'static;

    /// Makes `dir` and its missing parents, durably, readable by the owner only.
    ///
    /// # Errors
    /// What the file system answers.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// The names of the entries of `dir`, sorted. Names that are not UTF-8 are left out: none is ours.
    ///
    /// # Errors
    /// What the file system answers.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Creates a file that must not exist, for reading and writing, readable by the owner only.
    ///
    /// # Errors
    /// `AlreadyExists`, or what the file system answers.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// Opens an existing file for reading and writing; a symbolic link is refused.
    ///
    /// # Errors
    /// `NotFound`, or what the file system answers.
    fn open(&self, path: &Path) -> io::Result<Self::File>;

    /// Opens an existing file for reading; a symbolic link is refused.
    ///
    /// # Errors
    /// `NotFound`, or what the file system answers.
    fn open_read_only(&self, path: &Path) -> io::Result<Self::File>;

    /// Gives `from` the name `to`, replacing what had it. Safe only after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// What the file system answers.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name.
    ///
    /// # Errors
    /// What the file system answers.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes creations, renames and removals in `dir` durable.
    ///
    /// # Errors
    /// What the file system answers.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the lock file `path`, creating it where it is missing. Never waits.
    ///
    /// # Errors
    /// `WouldBlock` when another holds it.
    fn lock(&self, path: &Path) -> io::Result<Self::Lock>;

    /// 64 bits that nobody who writes frames can guess; a simulated disk takes them from its seed.
    fn entropy(&self) -> u64;
}

/// An open file, usable from several threads at once.
pub trait DiskFile: Send + Sync + 'static {
    /// Reads at `offset` into `buf`; less than `buf.len()` only at the end of the file.
    ///
    /// # Errors
    /// What the file system answers.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `buf` at `offset`, growing the file where needed. After an error any part of it may have
    /// been written.
    ///
    /// # Errors
    /// What the file system answers.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;

    /// Makes everything written, and the file's length, durable.
    ///
    /// # Errors
    /// What the file system answers. After an error nothing is known of any byte not synced before, and a
    /// second call would lie.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts or grows (with zeros) the file.
    ///
    /// # Errors
    /// What the file system answers.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// What the file system answers.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file holds nothing.
    ///
    /// # Errors
    /// What the file system answers.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}
