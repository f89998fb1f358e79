//! A restart with a million remembered completions stays small. Measured from outside: another process opens
//! the store and says what it took.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use seawall_core::{SystemClock, Token};
use seawall_idempotency::conformance::block_on;
use seawall_idempotency::{Claim, ClaimRequest, Completion, OwnerId, State, Store};
use seawall_stores::{EmbeddedOptions, EmbeddedStore};
use seawall_wal::RealDisk;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const COMPLETIONS: u64 = 1_000_000;
const BATCH: u64 = 2_000;
const BYTES_EACH_MAX: u64 = 100;
/// Set for the process that only opens.
const OPENER: &str = "SEAWALL_TEST_OPENS";

fn open(dir: &Path) -> EmbeddedStore {
    EmbeddedStore::open(RealDisk, EmbeddedOptions::new(dir), Arc::new(SystemClock::new())).expect("opens")
}

fn token(n: u64) -> Token {
    Token::new(format!("orders/7/{n}")).expect("a valid token")
}

fn fill(dir: &Path) {
    let store = open(dir);
    for batch in 0..COMPLETIONS / BATCH {
        let tokens = (0..BATCH).map(|n| token(batch * BATCH + n));
        let lease = Duration::from_mins(1);
        let requests: Vec<_> =
            tokens.clone().map(|token| ClaimRequest { token, owner: OwnerId(1), lease }).collect();
        let claims = block_on(store.claim(requests));
        let completions = tokens.zip(claims).map(|(token, claim)| match claim {
            Ok(Claim::Granted { fence, .. }) => {
                Completion { token, owner: OwnerId(1), fence, result: bytes::Bytes::new() }
            }
            other => panic!("{token} should be granted, not {other:?}"),
        });
        let answers = block_on(store.complete(completions.collect()));
        assert!(answers.iter().all(Result::is_ok));
    }
}

/// This process's memory by name, in bytes, as Linux tells it.
fn memory(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

#[test]
fn a_million_completions_take_at_most_100_bytes_each() {
    if let Ok(dir) = std::env::var(OPENER) {
        let before = memory("VmRSS:").unwrap_or(0);
        let store = open(Path::new(&dir));
        let (after, peak) = (memory("VmRSS:").unwrap_or(0), memory("VmHWM:").unwrap_or(0));
        assert_eq!(store.stats().done, COMPLETIONS);
        for n in (0..COMPLETIONS).step_by(997) {
            assert!(matches!(block_on(store.query(token(n))), Ok(State::Done { .. })), "{n}");
        }
        println!("MEMORY {before} {after} {peak}");
        return;
    }
    if memory("VmRSS:").is_none() {
        println!(
            "SKIP a_million_completions_take_at_most_100_bytes_each: unsupported: /proc/self/status tells no memory"
        );
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    fill(dir.path());
    let test = "a_million_completions_take_at_most_100_bytes_each";
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", test, "--nocapture"])
        .env(OPENER, dir.path())
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let at = text.find("MEMORY ").unwrap_or_else(|| panic!("no answer: {text} {output:?}"));
    let line = text[at..].lines().next().unwrap_or_default();
    let numbers: Vec<u64> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
    let [before, after, peak] = numbers[..] else { panic!("{line}") };
    let (held, peak) = ((after - before) / COMPLETIONS, (peak - before) / COMPLETIONS);
    println!("{held} bytes each once open, {peak} at the most while opening");
    assert!(held <= BYTES_EACH_MAX, "{held} bytes for each completion");
    assert!(peak <= 2 * BYTES_EACH_MAX, "{peak} bytes for each completion while opening");
}
