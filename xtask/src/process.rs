//! Runs programs: captured with a time limit (tests), or passed through (builds).

use crate::error::ChoreError;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What a program said and how it ended.
pub(crate) struct Captured {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) timed_out: bool,
    pub(crate) elapsed: Duration,
}

impl Captured {
    pub(crate) fn ok(&self) -> bool {
        self.code == Some(0) && !self.timed_out
    }

    pub(crate) fn how_it_ended(&self) -> String {
        match self.code {
            _ if self.timed_out => format!("killed after {:.0} s without an end", self.elapsed.as_secs_f64()),
            Some(code) => format!("exit code {code}"),
            None => "killed by a signal".to_owned(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a chore reports the time it took; nothing simulates it")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Runs `command` with its streams captured, for at most `limit`; then it and its children are killed.
pub(crate) fn capture(mut command: Command, limit: Duration) -> Result<Captured, ChoreError> {
    let started = now();
    let what = describe(&command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(ChoreError::io(what.clone()))?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let mut timed_out = false;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(ChoreError::io(what.clone()))? {
            break status;
        }
        if !timed_out && started.elapsed() > limit {
            timed_out = true;
            kill_group(&mut child);
        }
        thread::sleep(Duration::from_millis(10));
    };
    // Whatever the program left running would hold the pipes open for ever.
    kill_group(&mut child);
    Ok(Captured {
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
        code: status.code(),
        timed_out,
        elapsed: started.elapsed(),
    })
}

/// Runs `command` on this terminal; says whether it ended well.
pub(crate) fn passed(mut command: Command) -> Result<bool, ChoreError> {
    let what = describe(&command);
    command.stdin(Stdio::null()).status().map(|status| status.success()).map_err(ChoreError::io(what))
}

/// The standard output of `command`, which must succeed.
pub(crate) fn output(mut command: Command) -> Result<String, ChoreError> {
    let what = describe(&command);
    let out = command.stdin(Stdio::null()).output().map_err(ChoreError::io(what.clone()))?;
    if !out.status.success() {
        let how = String::from_utf8_lossy(&out.stderr).trim().to_owned();
        return Err(ChoreError::Program { what, how });
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// The program and its first arguments, for messages.
pub(crate) fn describe(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args().take(6) {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
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

fn kill_group(child: &mut Child) {
    let group = format!("-{}", child.id());
    let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
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
    fn a_hanging_program_is_killed_with_its_children() {
        let captured = capture(shell("echo started; sleep 600 & wait"), Duration::from_millis(200)).unwrap();
        assert!(captured.timed_out && !captured.ok());
        assert_eq!(captured.stdout, "started\n");
    }

    #[test]
    fn a_child_left_behind_does_not_hold_the_pipes() {
        let captured = capture(shell("sleep 600 & echo done"), Duration::from_mins(1)).unwrap();
        assert!(captured.ok());
        assert_eq!(captured.stdout, "done\n");
    }

    #[test]
    fn the_exit_code_is_told() {
        let captured = capture(shell("echo no >&2; exit 3"), Duration::from_mins(1)).unwrap();
        assert_eq!((captured.code, captured.stderr.as_str()), (Some(3), "no\n"));
        assert!(!captured.ok());
    }
}
