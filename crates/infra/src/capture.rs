//! Runs a program to its end, within a bound, with its streams captured.

use crate::leash::{Leashed, Output};
use crate::wait::Deadline;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::Duration;

/// What a program said and how it ended.
#[derive(Clone, Debug)]
pub struct Captured {
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// `None` where it took longer than allowed and was killed.
    pub status: Option<ExitStatus>,
}

impl Captured {
    /// Whether it ended by itself with exit code 0.
    pub fn ok(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// How it ended and both streams, for messages.
    pub fn story(&self) -> String {
        let how = self.status.map_or_else(|| "killed: it took too long".to_owned(), |s| s.to_string());
        format!("{how}\n{}\n{}", self.stdout.trim_end(), self.stderr.trim_end())
    }
}

pub(crate) fn capture(command: &Command, input: &Path, limit: Duration) -> io::Result<Captured> {
    let mut leashed = Leashed::start(command, input, Output::Piped)?;
    let stdout = drain(leashed.child().stdout.take());
    let stderr = drain(leashed.child().stderr.take());
    let deadline = Deadline::after(limit);
    let status = loop {
        if let Some(status) = leashed.try_wait()? {
            break Some(status);
        }
        if !deadline.pause() {
            leashed.kill()?;
            break None;
        }
    };
    Ok(Captured {
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
        status,
    })
}

fn drain(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // A read error ends the stream early; what was read is still worth showing.
            let _ = stream.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn streams_and_code_are_told() {
        let null = Path::new("/dev/null");
        let said = capture(&shell("echo out; echo err >&2; exit 3"), null, Duration::from_mins(1)).unwrap();
        assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("out\n", "err\n"));
        assert_eq!(said.status.and_then(|status| status.code()), Some(3));
        assert!(!said.ok());
    }

    #[test]
    fn the_input_is_read_from_a_file() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let said = capture(&shell("head -n 1"), &here, Duration::from_mins(1)).unwrap();
        assert_eq!(said.stdout, "[package]\n");
    }

    #[test]
    fn what_takes_too_long_is_killed() {
        let null = Path::new("/dev/null");
        let said = capture(&shell("exec sleep 600"), null, Duration::from_millis(100)).unwrap();
        assert_eq!(said.status, None);
    }
}
