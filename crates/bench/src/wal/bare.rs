//! What a person would write by hand: one `write`, one `fdatasync`, no checksum, no recovery.

use super::{Durably, FRAME_BYTES, Load, SEGMENT_BYTES, contender};
use crate::compare::{BenchError, Contender};
use crate::versions;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Appends to a file that grows.
pub(super) fn append(load: Load, dir: &Path) -> Result<Contender, BenchError> {
    let bare = opened(dir)?;
    Ok(contender("bare write + fdatasync, appending", versions::of_kernel(), load, vec![bare]).goal(1.0))
}

/// A file that grows.
pub(crate) fn opened(dir: &Path) -> Result<impl Durably + use<>, BenchError> {
    let path = dir.join("bare");
    Ok(Bare { file: create(&path)?, path, wrap: None, at: 0, buffer: Vec::new() })
}

/// Overwrites bytes that exist, which spares the file system its own journal: the limit of what can be had.
pub(super) fn existing(load: Load, dir: &Path) -> Result<Contender, BenchError> {
    let path = dir.join("bare");
    let mut file = create(&path)?;
    // Zeros would stay a hole or an unwritten extent on some file systems.
    file.write_all(&vec![0xa5; SEGMENT_BYTES as usize])
        .and_then(|()| file.sync_all())
        .and_then(|()| file.rewind())
        .map_err(BenchError::io(path.display()))?;
    let bare = Bare { file, path, wrap: Some(SEGMENT_BYTES), at: 0, buffer: Vec::new() };
    Ok(contender("bare write + fdatasync, over existing bytes", versions::of_kernel(), load, vec![bare])
        .goal(0.75))
}

struct Bare {
    file: File,
    path: PathBuf,
    /// Where to begin again.
    wrap: Option<u64>,
    at: u64,
    buffer: Vec<u8>,
}

impl Durably for Bare {
    fn write(&mut self, frames: &[Vec<u8>]) -> Result<(), BenchError> {
        self.buffer.clear();
        for frame in frames {
            self.buffer.extend_from_slice(frame);
        }
        let bytes = (frames.len() * FRAME_BYTES) as u64;
        if self.wrap.is_some_and(|wrap| self.at + bytes > wrap) {
            self.file.seek(SeekFrom::Start(0)).map_err(BenchError::io(self.path.display()))?;
            self.at = 0;
        }
        self.at += bytes;
        self.file
            .write_all(&self.buffer)
            .and_then(|()| self.file.sync_data())
            .map_err(BenchError::io(self.path.display()))
    }
}

fn create(path: &Path) -> Result<File, BenchError> {
    File::create(path).map_err(BenchError::io(path.display()))
}
