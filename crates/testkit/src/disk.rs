//! A disk whose process can die at any of its calls.

use crate::power::{Power, Site};
use seawall_wal::disk::{SimFile, SimLock};
use seawall_wal::{Disk, DiskFile};
use std::io;
use std::path::{Path, PathBuf};

use seawall_wal::disk::SimDisk;

/// One process's access to the [`SimDisk`], counted by its [`Power`].
#[derive(Clone, Debug)]
pub struct PoweredDisk {
    disk: SimDisk,
    power: Power,
}

/// An open file of a [`PoweredDisk`].
#[derive(Debug)]
pub struct PoweredFile {
    file: SimFile,
    path: PathBuf,
    power: Power,
}

fn dead() -> io::Error {
    io::Error::other("the process is dead")
}

impl PoweredDisk {
    /// Access to `disk` for as long as `power` is on.
    pub fn new(disk: SimDisk, power: Power) -> Self {
        Self { disk, power }
    }

    fn named<T>(&self, path: &Path, call: impl FnOnce(&SimDisk) -> io::Result<T>) -> io::Result<T> {
        if !self.power.step_on(Site::BeforeName, path) {
            return Err(dead());
        }
        let answer = call(&self.disk);
        if self.power.step_on(Site::AfterName, path) { answer } else { Err(dead()) }
    }

    fn file(
        &self,
        path: &Path,
        call: impl FnOnce(&SimDisk) -> io::Result<SimFile>,
    ) -> io::Result<PoweredFile> {
        if self.power.is_off() {
            return Err(dead());
        }
        call(&self.disk).map(|file| self.powered(path, file))
    }

    fn powered(&self, path: &Path, file: SimFile) -> PoweredFile {
        PoweredFile { file, path: path.to_owned(), power: self.power.clone() }
    }
}

impl Disk for PoweredDisk {
    type File = PoweredFile;
    type Lock = SimLock;

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.named(dir, |disk| disk.create_dir_all(dir))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        if self.power.is_off() { Err(dead()) } else { self.disk.list(dir) }
    }

    fn create(&self, path: &Path) -> io::Result<PoweredFile> {
        let file = self.named(path, |disk| disk.create(path))?;
        Ok(self.powered(path, file))
    }

    fn open(&self, path: &Path) -> io::Result<PoweredFile> {
        self.file(path, |disk| disk.open(path))
    }

    fn open_read_only(&self, path: &Path) -> io::Result<PoweredFile> {
        self.file(path, |disk| disk.open_read_only(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.named(from, |disk| disk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.named(path, |disk| disk.remove(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.named(dir, |disk| disk.sync_dir(dir))
    }

    fn lock(&self, path: &Path) -> io::Result<SimLock> {
        if self.power.is_off() { Err(dead()) } else { self.disk.lock(path) }
    }

    fn entropy(&self) -> u64 {
        self.disk.entropy()
    }
}

impl PoweredFile {
    fn powered<T>(
        &self,
        (before, after): (Site, Site),
        call: impl FnOnce(&SimFile) -> io::Result<T>,
    ) -> io::Result<T> {
        if !self.power.step_on(before, &self.path) {
            return Err(dead());
        }
        let answer = call(&self.file);
        if self.power.step_on(after, &self.path) { answer } else { Err(dead()) }
    }
}

impl DiskFile for PoweredFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.powered((Site::BeforeWrite, Site::AfterWrite), |file| file.write_all_at(buf, offset))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.powered((Site::BeforeSync, Site::AfterSync), DiskFile::sync_data)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.powered((Site::BeforeWrite, Site::AfterWrite), |file| file.set_len(len))
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
