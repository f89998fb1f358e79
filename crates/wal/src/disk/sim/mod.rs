//! A disk in memory that crashes, tears, lies and fills up by a seed.
//!
//! Each file has two contents: what reads see (the page cache) and what would survive a power cut. A sync
//! copies the dirty sectors from one to the other; a failed sync copies some of them and forgets the rest, so that
//! the next sync has nothing to do and answers `Ok`, as Linux does. Names have two states in the same way. A
//! [`SimDisk::crash`] decides the fate of each dirty sector and of each unsynced name by itself.
//!
//! It is harsher than most file systems: unsynced names may be lost in any order, and a sector may be torn within.

mod inode;

use super::{Disk, DiskFile};
use inode::Inode;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The chances of each fault, per call, in parts of 10,000; and the space there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// A write fails (EIO) after a random part of it was taken.
    pub write_eio: u32,
    /// A sync fails (EIO): some of its bytes are lost, and the next sync of the file answers `Ok`.
    pub sync_eio: u32,
    /// A sync of a directory fails (EIO); its names stay unsynced.
    pub dir_sync_eio: u32,
    /// Bytes that files may hold in total; 0: unlimited. Beyond, writes fail (ENOSPC).
    pub space_bytes: u64,
}

/// A fault to be met by the next call it fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "named after the fields of Faults")]
pub enum Fault {
    WriteEio,
    SyncEio,
    DirSyncEio,
}

/// How often each fault was hit, so that a run that met none is seen to prove nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Power cuts.
    pub crashes: u64,
    /// Writes failed.
    pub write_eio: u64,
    /// Syncs failed.
    pub sync_eio: u64,
    /// Syncs of directories failed.
    pub dir_sync_eio: u64,
    /// Writes refused for want of space.
    pub no_space: u64,
    /// Dirty sectors that a crash or a failed sync kept.
    pub sectors_kept: u64,
    /// Dirty sectors that a crash or a failed sync lost.
    pub sectors_lost: u64,
    /// Dirty sectors of which a part survived a crash.
    pub sectors_torn: u64,
    /// Creations, renames and removals undone by a crash.
    pub names_lost: u64,
    /// Writes and syncs through a handle whose write or sync had failed before: what a log must never do.
    pub touched_after_failure: u64,
}

#[derive(Debug)]
struct State {
    rng: fastrand::Rng,
    /// Grows with each crash or kill: handles of an older one are void.
    life: u64,
    faults: Faults,
    armed: BTreeSet<Fault>,
    counts: FaultCounts,
    dirs: BTreeSet<PathBuf>,
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    names_safe: BTreeMap<PathBuf, usize>,
    /// Changes of names since the last sync of their directory, in order.
    unsynced: Vec<Change>,
    locks: BTreeSet<PathBuf>,
}

/// A change of names: `gone` loses its file, `made` gets one.
#[derive(Clone, Debug)]
struct Change {
    gone: Option<PathBuf>,
    made: Option<(PathBuf, usize)>,
}

/// The simulated disk. A clone is the same disk, and survives its crashes: files and locks opened before a
/// crash fail from then on.
#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<State>>);

/// An open file of a [`SimDisk`].
#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    inode: usize,
    life: u64,
    writable: bool,
    failed: AtomicBool,
}

/// A held lock of a [`SimDisk`].
#[derive(Debug)]
pub struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    life: u64,
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        if let Some(gone) = &self.gone {
            names.remove(gone);
        }
        if let Some((made, inode)) = &self.made {
            names.insert(made.clone(), *inode);
        }
    }
}

impl State {
    fn hit(&mut self, fault: Fault, chance: u32) -> bool {
        self.armed.remove(&fault) || (chance > 0 && self.rng.u32(0..10_000) < chance)
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.unsynced.push(change);
    }

    fn void_handles(&mut self) {
        self.life += 1;
        self.locks.clear();
    }

    /// Room for `bytes` more?
    fn has_room(&self, bytes: u64) -> bool {
        let held: u64 = self.names.values().filter_map(|i| self.inodes.get(*i)).map(Inode::len).sum();
        self.faults.space_bytes == 0 || held + bytes <= self.faults.space_bytes
    }

    fn crash(&mut self) {
        self.counts.crashes += 1;
        self.void_handles();
        // Some file systems keep changes of names in order, others promise nothing.
        let ordered = self.rng.bool();
        let kept = if ordered { self.rng.usize(0..=self.unsynced.len()) } else { 0 };
        let unsynced = std::mem::take(&mut self.unsynced);
        for (at, change) in unsynced.iter().enumerate() {
            if if ordered { at < kept } else { self.rng.bool() } {
                change.apply(&mut self.names_safe);
            } else {
                self.counts.names_lost += 1;
            }
        }
        self.names.clone_from(&self.names_safe);
        for inode in &mut self.inodes {
            inode.crash(&mut self.rng, &mut self.counts);
        }
    }
}

impl SimDisk {
    /// An empty disk without faults, whose every choice follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            rng: fastrand::Rng::with_seed(seed),
            life: 0,
            faults: Faults::default(),
            armed: BTreeSet::new(),
            counts: FaultCounts::default(),
            dirs: BTreeSet::new(),
            inodes: Vec::new(),
            names: BTreeMap::new(),
            names_safe: BTreeMap::new(),
            unsynced: Vec::new(),
            locks: BTreeSet::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the faults from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// The next call that `fault` fits meets it.
    pub fn arm(&self, fault: Fault) {
        self.state().armed.insert(fault);
    }

    /// The power goes: bytes and names not synced are kept, lost or torn by chance, per sector of 512 bytes;
    /// every open file and lock is void.
    pub fn crash(&self) {
        self.state().crash();
    }

    /// The process dies, the machine stays up: every open file and lock is void, nothing is lost.
    pub fn kill(&self) {
        self.state().void_handles();
    }

    /// How often each fault was hit.
    pub fn counts(&self) -> FaultCounts {
        self.state().counts
    }

    fn handle(&self, path: &Path, writable: bool) -> io::Result<SimFile> {
        let state = self.state();
        let inode = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(SimFile { disk: self.clone(), inode, life: state.life, writable, failed: AtomicBool::new(false) })
    }
}

impl Disk for SimDisk {
    type File = SimFile;
    type Lock = SimLock;

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.dirs.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        if !state.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let here = state.names.keys().chain(&state.dirs).filter(|path| path.parent() == Some(dir));
        let mut names: Vec<_> =
            here.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<SimFile> {
        let mut state = self.state();
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|dir| state.dirs.contains(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.change(Change { gone: None, made: Some((path.to_owned(), inode)) });
        drop(state);
        self.handle(path, true)
    }

    fn open(&self, path: &Path) -> io::Result<SimFile> {
        self.handle(path, true)
    }

    fn open_read_only(&self, path: &Path) -> io::Result<SimFile> {
        self.handle(path, false)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let inode = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.change(Change { gone: Some(from.to_owned()), made: Some((to.to_owned(), inode)) });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change(Change { gone: Some(path.to_owned()), made: None });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        let chance = state.faults.dir_sync_eio;
        if state.hit(Fault::DirSyncEio, chance) {
            state.counts.dir_sync_eio += 1;
            return Err(eio());
        }
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.unsynced).into_iter().partition(|change| {
                let path = change.made.as_ref().map(|(path, _)| path).or(change.gone.as_ref());
                path.and_then(|path| path.parent()) == Some(dir)
            });
        state.unsynced = elsewhere;
        for change in here {
            change.apply(&mut state.names_safe);
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<SimLock> {
        let mut state = self.state();
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(SimLock { disk: self.clone(), path: path.to_owned(), life: state.life })
    }

    fn entropy(&self) -> u64 {
        self.state().rng.u64(..)
    }
}

impl SimFile {
    /// Runs `call` on the file, unless a crash voided this handle.
    fn with<T>(&self, call: impl FnOnce(&mut State, usize) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state();
        if state.life != self.life {
            return Err(io::Error::other("this file was opened before a crash"));
        }
        call(&mut state, self.inode)
    }

    fn change<T>(&self, call: impl FnOnce(&mut State, usize) -> io::Result<T>) -> io::Result<T> {
        self.with(|state, inode| {
            if !self.writable {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            state.counts.touched_after_failure += u64::from(self.failed.load(Ordering::Relaxed));
            call(state, inode)
        })
    }

    fn fail<T>(&self) -> io::Result<T> {
        self.failed.store(true, Ordering::Relaxed);
        Err(eio())
    }
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())
}

fn gone() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl DiskFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|state, inode| Ok(state.inodes.get(inode).ok_or_else(gone)?.read(buf, offset)))
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.change(|state, at| {
            let grows =
                (offset + buf.len() as u64).saturating_sub(state.inodes.get(at).ok_or_else(gone)?.len());
            if grows > 0 && !state.has_room(grows) {
                state.counts.no_space += 1;
                return Err(io::ErrorKind::StorageFull.into());
            }
            let chance = state.faults.write_eio;
            let taken =
                if state.hit(Fault::WriteEio, chance) { state.rng.usize(0..=buf.len()) } else { usize::MAX };
            let inode = state.inodes.get_mut(at).ok_or_else(gone)?;
            match buf.get(..taken) {
                None => {
                    inode.write(buf, offset);
                    Ok(())
                }
                Some(part) => {
                    inode.write(part, offset);
                    state.counts.write_eio += 1;
                    self.fail()
                }
            }
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(|state, at| {
            let chance = state.faults.sync_eio;
            let hit = state.hit(Fault::SyncEio, chance);
            let State { inodes, rng, counts, .. } = state;
            let inode = inodes.get_mut(at).ok_or_else(gone)?;
            if hit {
                counts.sync_eio += 1;
                inode.sync_badly(rng, counts);
                return self.fail();
            }
            inode.sync();
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(|state, at| {
            state.inodes.get_mut(at).ok_or_else(gone)?.set_len(len);
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.with(|state, inode| Ok(state.inodes.get(inode).ok_or_else(gone)?.len()))
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.life == self.life {
            state.locks.remove(&self.path);
        }
    }
}
