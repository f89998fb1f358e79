//! Peers in other languages: started once, kept running, asked for a round by a line on their standard input.

use crate::compare::BenchError;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running peer. Ends when dropped.
pub(crate) struct Asked {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Asked {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(command: &mut Command) -> Result<Self, BenchError> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(BenchError::io(command.get_program().to_string_lossy()))?;
        let missing = || std::io::Error::other("no pipe to the child");
        let input = child.stdin.take().ok_or_else(missing).map_err(BenchError::io("peer"))?;
        let output = child.stdout.take().ok_or_else(missing).map_err(BenchError::io("peer"))?;
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    /// Sends a line, reads a line.
    ///
    /// # Errors
    /// When the program has ended.
    pub(crate) fn ask(&mut self, line: &str) -> Result<String, BenchError> {
        writeln!(self.input, "{line}").and_then(|()| self.input.flush()).map_err(BenchError::io("peer"))?;
        self.hear()
    }

    /// Reads a line.
    ///
    /// # Errors
    /// When the program has ended.
    pub(crate) fn hear(&mut self) -> Result<String, BenchError> {
        let mut answer = String::new();
        let read = self.output.read_line(&mut answer).map_err(BenchError::io("peer"))?;
        if read == 0 {
            return Err(BenchError::of("peer")("ended without an answer"));
        }
        Ok(answer.trim().to_owned())
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // It is a measuring aid: there is nothing to lose in it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
