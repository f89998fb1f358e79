//! Peers written in Go: built once.

use crate::compare::BenchError;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the Go program of the folder `module` next to the bench's data.
///
/// # Errors
/// When there is no Go toolchain or the program does not build.
pub(crate) fn build(dir: &Path, module: &str) -> Result<PathBuf, BenchError> {
    std::fs::create_dir_all(dir).map_err(BenchError::io(dir.display()))?;
    let target = dir.canonicalize().map_err(BenchError::io(dir.display()))?.join(format!("{module}-peers"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(module);
    let program = std::env::var_os("SEAWALL_GO").unwrap_or_else(|| "go".into());
    let status = Command::new(program)
        .args(["build", "-o"])
        .arg(&target)
        .arg(".")
        .current_dir(&source)
        .status()
        .map_err(BenchError::io("go build"))?;
    if status.success() {
        return Ok(target);
    }
    Err(BenchError::of::<String>("go build")(status.to_string()))
}

/// The toolchain's version, `go1.26.8`.
pub(crate) fn version() -> String {
    let program = std::env::var_os("SEAWALL_GO").unwrap_or_else(|| "go".into());
    let out = Command::new(program).args(["env", "GOVERSION"]).output();
    out.map_or_else(|_| "?".to_owned(), |out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
}
