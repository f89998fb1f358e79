//! A disk whose syncs and removals do what a test says.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test file takes what it needs")]

use seawall_wal::{Disk, DiskFile};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Called before each sync of a file or directory; `false`: do not do it, and answer what the disk says.
pub type Hook = Arc<dyn Fn() -> bool + Send + Sync>;

#[derive(Clone)]
pub struct Hooked<D> {
    pub inner: D,
    pub hook: Hook,
    /// Called before each removal; `false`: do not do it, and answer an error.
    pub removes: Hook,
    /// What a sync that is not done answers, where that is an error.
    pub fails: Option<io::ErrorKind>,
}

pub struct HookedFile<F> {
    inner: F,
    hook: Hook,
    fails: Option<io::ErrorKind>,
}

impl<D: Disk> Hooked<D> {
    pub fn new(inner: D, hook: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { inner, hook: Arc::new(hook), removes: Arc::new(|| true), fails: None }
    }

    /// What is not done is an error.
    pub fn failing(inner: D, hook: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { fails: Some(io::ErrorKind::Other), ..Self::new(inner, hook) }
    }

    fn file(&self, inner: io::Result<D::File>) -> io::Result<HookedFile<D::File>> {
        Ok(HookedFile { inner: inner?, hook: Arc::clone(&self.hook), fails: self.fails })
    }
}

impl<D: Disk> Disk for Hooked<D> {
    type File = HookedFile<D::File>;
    type Lock = D::Lock;

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir_all(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.inner.list(dir)
    }
    fn create(&self, path: &Path) -> io::Result<Self::File> {
        self.file(self.inner.create(path))
    }
    fn open(&self, path: &Path) -> io::Result<Self::File> {
        self.file(self.inner.open(path))
    }
    fn open_read_only(&self, path: &Path) -> io::Result<Self::File> {
        self.file(self.inner.open_read_only(path))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        if (self.removes)() { self.inner.remove(path) } else { undone(Some(io::ErrorKind::Other)) }
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if (self.hook)() { self.inner.sync_dir(dir) } else { undone(self.fails) }
    }
    fn lock(&self, path: &Path) -> io::Result<D::Lock> {
        self.inner.lock(path)
    }
    fn entropy(&self) -> u64 {
        self.inner.entropy()
    }
}

impl<F: DiskFile> DiskFile for HookedFile<F> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.inner.write_all_at(buf, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        if (self.hook)() { self.inner.sync_data() } else { undone(self.fails) }
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
}

fn undone(fails: Option<io::ErrorKind>) -> io::Result<()> {
    fails.map_or(Ok(()), |kind| Err(io::Error::new(kind, "told to fail")))
}
