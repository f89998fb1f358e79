//! Where the project lies, and which crates it has.

use crate::error::ChoreError;
use crate::process;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A member crate.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// The folder's name, which is also the part's: `wal`.
    pub(crate) part: String,
    /// The package's name: `seawall-wal`.
    pub(crate) package: String,
    pub(crate) folder: PathBuf,
    pub(crate) manifest: toml::Table,
}

/// The project's root, found from where xtask was compiled.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// `cargo`, the one that runs us, at the root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // Set for xtask's own build; inherited, they would make cargo think that it is xtask being built.
    for name in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME"] {
        command.env_remove(name);
    }
    command
}

/// Every member, by folder name, `xtask` included.
pub(crate) fn members() -> Result<Vec<Member>, ChoreError> {
    members_of(&root())
}

pub(crate) fn members_of(root: &Path) -> Result<Vec<Member>, ChoreError> {
    let crates = root.join("crates");
    let mut folders: Vec<PathBuf> = fs::read_dir(&crates)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .map_err(ChoreError::io(crates.display().to_string()))?
        .iter()
        .map(fs::DirEntry::path)
        .chain([root.join("xtask")])
        .filter(|folder| folder.join("Cargo.toml").is_file())
        .collect();
    folders.sort();
    folders.into_iter().map(member).collect()
}

fn member(folder: PathBuf) -> Result<Member, ChoreError> {
    let path = folder.join("Cargo.toml");
    let manifest = read_toml(&path)?;
    let package = manifest
        .get("package")
        .and_then(|package| package.get("name"))
        .and_then(toml::Value::as_str)
        .ok_or_else(|| ChoreError::malformed(&path, "no package.name"))?
        .to_owned();
    let part = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Member { part, package, folder, manifest })
}

pub(crate) fn read(path: &Path) -> Result<String, ChoreError> {
    fs::read_to_string(path).map_err(ChoreError::io(path.display().to_string()))
}

pub(crate) fn read_toml(path: &Path) -> Result<toml::Table, ChoreError> {
    read(path)?.parse().map_err(|error| ChoreError::malformed(path, error))
}

/// Files that git tracks or would track, relative to the root; deleted ones are left out.
pub(crate) fn tracked_files() -> Result<Vec<PathBuf>, ChoreError> {
    let mut git = Command::new("git");
    git.current_dir(root()).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listing = process::output(git)?;
    let mut files: Vec<PathBuf> =
        listing.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
    files.retain(|file| root().join(file).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}
