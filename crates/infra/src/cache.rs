//! Where fetched artifacts and the running servers' data lie: under cargo's target folder.

use std::path::{Path, PathBuf};

/// `target/infra`, found from where the running program was built.
pub(crate) fn folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let target = target.map(Path::to_owned).or_else(|| workspace.map(|root| root.join("target")));
    target.unwrap_or_else(std::env::temp_dir).join("infra")
}
