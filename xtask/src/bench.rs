//! `cargo xtask bench`: builds the bench in release, with its peers, and runs it.

use crate::error::ChoreError;
use crate::process;
use crate::workspace;

pub(crate) const HELP: &str = "cargo xtask bench [PART…] [--quick] [--json FILE]\n\
    measures ours against peers, interleaved in one run; FILE gets one JSON object a line";

pub(crate) fn run(args: &[String]) -> Result<bool, ChoreError> {
    let mut command = workspace::cargo();
    command.args(["run", "--quiet", "--release", "--package", "seawall-bench", "--features", "peers"]);
    command.arg("--manifest-path").arg(workspace::root().join("Cargo.toml")).arg("--").args(args);
    // A path that the user gave is relative to where the user stands.
    if let Ok(here) = std::env::current_dir() {
        command.current_dir(here);
    }
    process::passed(command)
}
