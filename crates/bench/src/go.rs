//! Peers written in Go: built once, kept running, asked for a round by a line on their standard input.

use crate::compare::BenchError;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running Go peer. Ends when dropped.
pub(crate) struct GoPeer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// Builds the Go program next to the bench's data.
///
/// # Errors
/// When there is no Go toolchain or the program does not build.
pub(crate) fn build(dir: &Path) -> Result<PathBuf, BenchError> {
    std::fs::create_dir_all(dir).map_err(BenchError::io(dir.display()))?;
    let target = dir.canonicalize().map_err(BenchError::io(dir.display()))?.join("go-peers");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("go");
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

impl GoPeer {
    /// Starts the built program with `args`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(program: &Path, args: &[&str]) -> Result<Self, BenchError> {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(BenchError::io(program.display()))?;
        let missing = || std::io::Error::other("no pipe to the child");
        let input = child.stdin.take().ok_or_else(missing).map_err(BenchError::io("go peer"))?;
        let output = child.stdout.take().ok_or_else(missing).map_err(BenchError::io("go peer"))?;
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    /// Sends a line, reads a line.
    ///
    /// # Errors
    /// When the program has ended.
    pub(crate) fn ask(&mut self, line: &str) -> Result<String, BenchError> {
        writeln!(self.input, "{line}")
            .and_then(|()| self.input.flush())
            .map_err(BenchError::io("go peer"))?;
        self.hear()
    }

    /// Reads a line.
    ///
    /// # Errors
    /// When the program has ended.
    pub(crate) fn hear(&mut self) -> Result<String, BenchError> {
        let mut answer = String::new();
        let read = self.output.read_line(&mut answer).map_err(BenchError::io("go peer"))?;
        if read == 0 {
            return Err(BenchError::of("go peer")("ended without an answer"));
        }
        Ok(answer.trim().to_owned())
    }
}

impl Drop for GoPeer {
    fn drop(&mut self) {
        // It is a measuring aid: there is nothing to lose in it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
