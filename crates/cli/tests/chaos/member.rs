//! A member: `seawall run`, as a user starts it.

use super::{GROUP, TOPIC};
use crate::house::seawall::Seawall;
use crate::house::wait_for;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

/// A process that dies with this value.
pub(crate) struct Member {
    child: Child,
    pub(crate) incarnation: u64,
}

/// What all members have in common.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) bootstrap: String,
    pub(crate) service: SocketAddr,
}

impl Member {
    /// `incarnation` is unique among all processes of a run, `home` is kept from one process to the next.
    pub(crate) fn start(incarnation: u64, home: &Path, place: &Place) -> Self {
        std::fs::create_dir_all(home).unwrap();
        let file = home.join("seawall.toml");
        std::fs::write(&file, config(incarnation, home, place)).unwrap();
        let said = File::create(home.join(format!("said-{incarnation}"))).unwrap();
        let arguments = ["run", file.to_str().unwrap(), "--ingest", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let child = Seawall::command(&arguments).stdout(Stdio::null()).stderr(said).spawn().unwrap();
        Self { child, incarnation }
    }

    /// SIGKILL, and gone.
    pub(crate) fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Lets it drain and end.
    pub(crate) fn leave(mut self) {
        self.signal("-TERM");
        wait_for("a member drains and ends", Duration::from_mins(1), || self.child.try_wait().unwrap());
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = std::process::Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Whether it has ended by itself, which no fault may make it do.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config(incarnation: u64, home: &Path, place: &Place) -> String {
    let Place { bootstrap, service } = place;
    let (data, brokers) = (home.join("data").display().to_string(), bootstrap.split(',').collect::<Vec<_>>());
    format!(
        r#"
[data]
dir = {data:?}

[[cluster]]
name = "kafka"
bootstrap = {brokers:?}

[cluster.properties]
"heartbeat.interval.ms" = 500
"topic.metadata.refresh.interval.ms" = 2000
"socket.timeout.ms" = 3000

[[pipeline]]
name = "{GROUP}"
source = "kafka"
topics = ["{TOPIC}"]
member.session_timeout = "6s"
push = {{ url = "http://{service}/{incarnation}", timeout = "1m" }}
guard.breaker.min_calls = 1_000_000
retry = {{ attempts = 1_000_000, total = "1h", base = "5ms", max = "50ms" }}
drain.bound = "5s"
"#
    )
}
