//! A command that ends by itself, and a Seawall whose sample service behaves as told.

use crate::house::http::{self, Answer};
use crate::house::{seawall::Seawall, wait_for};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// What it printed, after success.
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// What it said, after failing with `code`.
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
        self.err
    }

    /// The objects it printed, one a line.
    pub fn json(self) -> Vec<Value> {
        self.ok().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Runs the binary on `stdin` to its end.
pub fn seawall(arguments: &[&str], stdin: &str) -> Ended {
    let mut command = Seawall::command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut input, text) = (child.stdin.take().unwrap(), stdin.to_owned());
    // A command that refuses before it reads closes its end.
    std::thread::spawn(move || drop(input.write_all(text.as_bytes())));
    let out = collect(child.stdout.take().unwrap());
    let err = collect(child.stderr.take().unwrap());
    let mut waits = 0;
    let status = wait_for(&format!("{arguments:?} ends"), Duration::from_mins(2), || {
        waits += 1;
        if waits > 2_400 {
            let _ = child.kill();
        }
        child.try_wait().unwrap()
    });
    let code = status.code().unwrap_or(-1);
    Ended { code, out: out.join().unwrap(), err: err.join().unwrap() }
}

fn collect(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        text
    })
}

/// `seawall up --no-load` on `data` with a sample service that rejects the share `reject` and is calm otherwise.
pub fn up(data: &Path, reject: &str) -> Seawall {
    let free = ["up", "--no-load", "--ingest", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", text(data)];
    let calm = ["--slow=0", "--fail=0", "--panic=0", "--overload=0", "--reject", reject];
    Seawall::start(&[&free[..], &calm].concat())
}

/// Posts one order; whatever the answer.
pub fn post(seawall: &Seawall, key: &str, body: &[u8]) -> Answer {
    let headers = [("seawall-key", key), ("content-type", "application/json")];
    http::once(seawall.ingest, "POST", "/v1/topics/orders/records", &headers, body).unwrap()
}

/// One of the totals of the only pipeline.
pub fn total(seawall: &Seawall, name: &str) -> u64 {
    seawall.overview()["pipelines"][0]["totals"][name].as_u64().unwrap()
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Every file below `dir`, with its bytes.
pub fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            all.insert(path, bytes);
        }
    }
    all
}
