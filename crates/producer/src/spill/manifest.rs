//! Whose spill it is, and of which format. Judged by reading alone, before anything is locked or written.

use crate::error::OpenError;
use seawall_wal::{Disk, DiskFile};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::Path;

/// The newest format: this build reads it and those before.
pub const VERSION: u32 = 2;
/// The first format, without compressed records.
pub(crate) const PLAIN: u32 = 1;
/// The manifest's file name.
pub const FILE: &str = "manifest.json";
const DRAFT: &str = "manifest.draft";
const FORMAT: &str = "seawall-spill";
/// A manifest is a few lines: more than this is something else.
const BYTES_MAX: u64 = 64 << 10;
/// What may lie in the directory of a spill that was never begun.
const BEFORE: [&str; 2] = [DRAFT, super::store::LOCK];

/// A spill's manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: String,
    /// Its format.
    pub version: u32,
    /// Who made the spill.
    pub owner: String,
}

/// Only what every version has.
#[derive(Deserialize)]
struct Headline {
    format: String,
    version: u32,
}

/// The manifest in `dir`; `None` where nothing was begun there.
///
/// # Errors
/// [`OpenError::Manifest`], [`OpenError::Version`], or what the disk answers.
pub fn read<D: Disk>(disk: &D, dir: &Path) -> Result<Option<Manifest>, OpenError> {
    let names = match disk.list(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        listed => listed.map_err(|source| OpenError::io("list", dir, source))?,
    };
    let path = dir.join(FILE);
    let damaged = |why: String| OpenError::Manifest { path: path.clone(), why };
    if !names.iter().any(|name| name == FILE) {
        return match names.iter().find(|name| !BEFORE.contains(&name.as_str())) {
            None => Ok(None),
            Some(other) => Err(damaged(format!(
                "missing, though {other:?} lies beside it: not a spill, or a damaged one"
            ))),
        };
    }
    let io = |source| OpenError::io("read", &path, source);
    let file = disk.open_read_only(&path).map_err(io)?;
    let len = file.len().map_err(io)?;
    if len > BYTES_MAX {
        return Err(damaged(format!("{len} bytes; a manifest has at most {BYTES_MAX}")));
    }
    let mut bytes = vec![0; len as usize];
    let read = file.read_at(&mut bytes, 0).map_err(io)?;
    bytes.truncate(read);
    let headline: Headline = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if headline.format != FORMAT {
        return Err(damaged(format!("format is {:?}, not {FORMAT:?}", headline.format)));
    }
    if !(PLAIN..=VERSION).contains(&headline.version) {
        return Err(OpenError::Version { dir: dir.to_owned(), found: headline.version, reads: VERSION });
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| damaged(error.to_string()))
}

/// As [`read`], and it must be `owner`'s.
pub(super) fn read_own<D: Disk>(disk: &D, dir: &Path, owner: &str) -> Result<Option<Manifest>, OpenError> {
    let manifest = read(disk, dir)?;
    match manifest {
        Some(Manifest { owner: found, .. }) if found != owner => {
            Err(OpenError::Owner { dir: dir.to_owned(), found, want: owner.to_owned() })
        }
        manifest => Ok(manifest),
    }
}

/// Begins a spill, or raises its version: on return the manifest is durable.
pub(super) fn write<D: Disk>(disk: &D, dir: &Path, owner: &str, version: u32) -> Result<(), OpenError> {
    let manifest = Manifest { format: FORMAT.to_owned(), version, owner: owner.to_owned() };
    let (draft, path) = (dir.join(DRAFT), dir.join(FILE));
    let bytes = serde_json::to_vec_pretty(&manifest)
        .map_err(|error| OpenError::Manifest { path: path.clone(), why: error.to_string() })?;
    // One that a crash left: it was never a manifest.
    match disk.remove(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(OpenError::io("remove", &draft, error));
        }
        _ => {}
    }
    let written = disk.create(&draft).and_then(|file| {
        file.write_all_at(&bytes, 0)?;
        file.sync_data()
    });
    written.map_err(|source| OpenError::io("write", &draft, source))?;
    disk.rename(&draft, &path).map_err(|source| OpenError::io("rename", &draft, source))?;
    disk.sync_dir(dir).map_err(|source| OpenError::io("sync", dir, source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_wal::RealDisk;

    #[test]
    fn what_is_not_ours_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        assert_eq!(read(&RealDisk, at).unwrap(), None);
        write(&RealDisk, at, "orders", PLAIN).unwrap();
        assert_eq!(read(&RealDisk, at).unwrap().unwrap().owner, "orders");
        let other = read_own(&RealDisk, at, "payments").unwrap_err();
        assert!(matches!(other, OpenError::Owner { .. }), "{other}");
        let put = |text: &str| std::fs::write(at.join(FILE), text).unwrap();
        put(r#"{"format":"seawall-spill","version":3,"owner":"orders","more":1}"#);
        assert!(matches!(read(&RealDisk, at), Err(OpenError::Version { found: 3, reads: 2, .. })));
        put(r#"{"format":"seawall-spill","version":1,"owner":"ord"#);
        assert!(matches!(read(&RealDisk, at), Err(OpenError::Manifest { .. })));
        std::fs::remove_file(at.join(FILE)).unwrap();
        std::fs::create_dir(at.join("log")).unwrap();
        assert!(read(&RealDisk, at).unwrap_err().to_string().contains("missing, though \"log\""));
    }
}
