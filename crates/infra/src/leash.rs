//! A child process that dies with its parent, however the parent ends.
//!
//! A destructor doesn't run under SIGKILL, and the kernel's parent-death signal is bound to the thread that
//! started the child, which for a test is gone long before the cluster it shares. So the child's shell leaves a
//! watcher behind that holds the reading end of a pipe: at its end (the parent is gone) the watcher kills.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

/// `$$` is the process that becomes the program by the last line, so there is no moment without a watcher.
const WATCH: &str = r#"
exec 3<&0 </dev/null
(read -r _ <&3 || kill -KILL $$) >/dev/null 2>&1 &
input=$1; shift
exec 3<&- <"$input"
exec "$@"
"#;

/// The program and the pipe that holds it.
#[derive(Debug)]
pub(crate) struct Leashed {
    child: Child,
    held: Option<ChildStdin>,
}

impl Leashed {
    /// Starts `program`, reading `input`, in a process group of its own: a Ctrl-C for us is not one for it.
    pub(crate) fn start(program: &Command, input: &Path, out: Output) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", WATCH, "sh"]).arg(input).arg(program.get_program()).args(program.get_args());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let (stdout, stderr) = match out {
            Output::Piped => (Stdio::piped(), Stdio::piped()),
            Output::To(file) => (Stdio::from(file.try_clone()?), Stdio::from(file)),
        };
        command.stdin(Stdio::piped()).stdout(stdout).stderr(stderr).process_group(0);
        let mut child = command.spawn()?;
        let held = child.stdin.take();
        Ok(Self { child, held })
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) -> io::Result<()> {
        // Unreaped, so the id is still this child's.
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal)?;
        Ok(())
    }

    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let ended = self.child.try_wait()?;
        if ended.is_some() {
            self.release();
        }
        Ok(ended)
    }

    /// Kills it and waits for its end.
    pub(crate) fn kill(&mut self) -> io::Result<ExitStatus> {
        if self.held.is_some() {
            self.child.kill()?;
        }
        let ended = self.child.wait()?;
        self.release();
        Ok(ended)
    }

    /// A reaped id may be given to another process: the watcher must not kill that one.
    fn release(&mut self) {
        if let Some(mut held) = self.held.take() {
            // Fails only where the watcher is gone already.
            let _ = held.write_all(b"\n");
        }
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Where a program's two streams go.
pub(crate) enum Output {
    Piped,
    To(File),
}
