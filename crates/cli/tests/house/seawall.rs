//! A Seawall process, as a user starts it.

use super::http;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A running Seawall and the addresses it printed.
pub struct Seawall {
    pub child: Child,
    pub ingest: SocketAddr,
    pub admin: SocketAddr,
    /// The last lines of stderr, for the message of a failing test.
    pub said: Arc<Mutex<VecDeque<String>>>,
}

impl Seawall {
    /// `seawall run CONFIG` on free ports; waits until both addresses are printed.
    pub fn run(config: &Path) -> Self {
        Self::start(&["run", config.to_str().unwrap(), "--ingest", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
    }

    pub fn start(arguments: &[&str]) -> Self {
        let mut child =
            Self::command(arguments).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let said = Arc::new(Mutex::new(VecDeque::new()));
        let lines = follow(&mut child, &said);
        let mut addrs = [None, None];
        while addrs.contains(&None) {
            let Ok(line) = lines.recv_timeout(Duration::from_mins(1)) else {
                let _ = child.kill();
                panic!("Seawall printed no addresses: {:?}, {:#?}", child.wait(), said.lock().unwrap());
            };
            for (name, addr) in ["ingest: http://", "admin: http://"].iter().zip(&mut addrs) {
                if let Some(rest) = line.strip_prefix(name) {
                    *addr = rest.split(['/', ' ']).next().and_then(|a| a.parse().ok());
                }
            }
        }
        Self { child, ingest: addrs[0].unwrap(), admin: addrs[1].unwrap(), said }
    }

    /// The binary with `arguments`, nothing inherited but the environment.
    pub fn command(arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// SIGKILL, and gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// SIGTERM; waits for the drain.
    pub fn stop(self) -> ExitStatus {
        self.signal("TERM");
        self.ended()
    }

    /// Waits for the drain that was asked for.
    pub fn ended(mut self) -> ExitStatus {
        let status = super::wait_for("Seawall drains and ends", Duration::from_mins(1), || {
            self.child.try_wait().unwrap()
        });
        assert!(status.success(), "{status}: {:#?}", self.said.lock().unwrap());
        status
    }

    pub fn overview(&self) -> serde_json::Value {
        http::get(self.admin, "/v1/overview").json()
    }

    /// The value of the first metric line that starts with `name`.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let text = http::get(self.admin, "/metrics").text();
        text.lines().find(|l| l.starts_with(name)).and_then(|l| l.rsplit(' ').next()?.parse().ok())
    }
}

impl Drop for Seawall {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(child: &mut Child, said: &Arc<Mutex<VecDeque<String>>>) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            let mut said = said.lock().unwrap();
            said.push_back(line.clone());
            if said.len() > 60 {
                said.pop_front();
            }
            let _ = sender.send(line);
        }
    });
    lines
}
