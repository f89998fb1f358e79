//! The fulfilment service, built from Go and run in a process of its own.

use super::http;
use serde::Deserialize;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// The service's own record of what happened (see `fulfilment/main.go`).
#[derive(Debug, Clone, Deserialize)]
pub struct Summary {
    pub requests: u64,
    pub effects: u64,
    pub repeats: u64,
    pub repeats_after_answer: u64,
    pub order_violations: u64,
    pub overlaps: u64,
    pub stale_fences: u64,
    pub token_changes: u64,
    #[serde(default)]
    pub first: String,
}

impl Summary {
    /// Fails the test where the service saw an order broken, an overlap, a stale fence or a changed token.
    pub fn assert_orderly(&self) {
        let violations = self.order_violations + self.overlaps + self.stale_fences + self.token_changes;
        assert_eq!(violations, 0, "{self:?}");
    }
}

pub struct Service {
    child: Child,
    pub addr: SocketAddr,
}

impl Service {
    /// Starts the service, or `None` with a printed reason where the machine has no Go.
    pub fn start(test: &str, arguments: &[&str]) -> Option<Self> {
        let Some(binary) = built() else {
            println!("SKIP {test}: no Go toolchain to build the service with (install golang)");
            return None;
        };
        let mut child = Command::new(binary).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim().rsplit(' ').next().and_then(|a| a.parse().ok());
        Some(Self { child, addr: addr.unwrap_or_else(|| panic!("the service said {line:?}")) })
    }

    pub fn summary(&self) -> Summary {
        serde_json::from_slice(&http::get(self.addr, "/summary").body).unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn built() -> Option<&'static PathBuf> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fulfilment");
            let binary =
                PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fulfilment-{}", std::process::id()));
            let go = std::env::var_os("SEAWALL_GO").unwrap_or_else(|| "go".into());
            let built =
                Command::new(go).arg("build").arg("-o").arg(&binary).arg(".").current_dir(source).status();
            match built {
                Ok(status) => {
                    assert!(status.success(), "go build failed");
                    Some(binary)
                }
                Err(_) => None,
            }
        })
        .as_ref()
}
