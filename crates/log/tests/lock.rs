//! Two processes, one data directory. The second process is this test binary again, asked by a variable.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use seawall_core::SystemClock;
use seawall_log::{Broker, BrokerOptions, Driver, LogError};
use seawall_wal::RealDisk;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

const DIR: &str = "SEAWALL_TEST_HOLD_DIRECTORY";

/// What the second process does: holds the directory until its standard input ends. Without the variable there
/// is nothing to do.
#[test]
fn second_process() {
    let Ok(dir) = std::env::var(DIR) else { return };
    match open(Path::new(&dir)) {
        Ok(_broker) => {
            println!("held");
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
        }
        Err(error) => println!("refused: {error}"),
    }
}

fn second(dir: &Path) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "second_process", "--nocapture"])
        .env(DIR, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    let said = lines.map(Result::unwrap).find(|line| line.contains("held") || line.contains("refused"));
    (child, said.unwrap())
}

fn open(dir: &Path) -> Result<Broker, LogError> {
    let clock = Arc::new(SystemClock::new());
    Broker::open(RealDisk, BrokerOptions::new(dir), clock, Driver::Thread).map(|(broker, _)| broker)
}

#[test]
fn a_second_process_is_told_which_one_has_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, said) = second(dir.path());
    assert!(said.ends_with("held"), "{said}");
    let error = open(dir.path()).unwrap_err();
    assert!(
        matches!(&error, LogError::Locked { dir: named, pid: Some(pid) } if named == dir.path() && *pid == child.id()),
        "{error}"
    );
    assert!(error.to_string().contains(&format!("locked by process {}", child.id())), "{error}");

    child.kill().unwrap();
    child.wait().unwrap();
    let broker = open(dir.path()).unwrap();
    let (mut child, said) = second(dir.path());
    assert!(said.contains(&format!("locked by process {}", std::process::id())), "{said}");
    assert!(child.wait().unwrap().success());
    drop(broker);
}
