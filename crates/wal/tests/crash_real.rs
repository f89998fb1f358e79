//! Real kills and real power cuts: a child process writes and acknowledges, and is cut down.
//!
//! A kill cannot show a missing sync (the page cache survives it), so the power cut is emulated by ext4's own
//! shutdown without a flush; a build whose syncs do nothing must fail there, and that is asserted too.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod harness;
#[path = "harness/hooked.rs"]
mod hooked;
#[path = "harness/mount.rs"]
mod mount;

use harness::{NOW, assert_prefix, frames, options, read_all};
use hooked::Hooked;
use mount::Mount;
use seawall_wal::{Disk, Log, Options, RealDisk};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const CHILD_DIR: &str = "SEAWALL_WAL_CHILD_DIR";
const CHILD_GROUPS: &str = "SEAWALL_WAL_CHILD_GROUPS";
const CHILD_SYNCS: &str = "SEAWALL_WAL_CHILD_SYNCS";

fn soak() -> bool {
    std::env::var_os("SEAWALL_SOAK").is_some()
}

fn child_options(dir: &Path) -> Options {
    Options { segment_bytes: 12 << 10, spares_max: 1, ..options(dir) }
}

/// Writes groups of frames; after each sync, says on stdout how many are durable.
fn write_and_say<D: Disk>(disk: D, dir: &Path, groups: u64) {
    let (mut log, _) = Log::open(disk, child_options(dir), NOW).unwrap();
    let out = std::io::stdout();
    for group in 0..groups {
        let next = log.next();
        log.append(frames(next..next + 1 + group % 17), NOW).unwrap();
        let durable = log.sync(NOW).unwrap().next;
        let mut out = out.lock();
        writeln!(out, "ack {durable}").unwrap();
        out.flush().unwrap();
        if group % 40 == 39 {
            log.truncate_front(durable.saturating_sub(300)).unwrap();
        }
    }
    log.close(NOW).unwrap();
}

/// Whether this process is the child of a test: then it has done its writing, and nothing else is asked of it.
fn was_child() -> bool {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return false };
    let groups = std::env::var(CHILD_GROUPS).unwrap().parse().unwrap();
    if std::env::var_os(CHILD_SYNCS).is_some() {
        write_and_say(RealDisk, Path::new(&dir), groups);
    } else {
        write_and_say(Hooked::new(RealDisk, || false), Path::new(&dir), groups);
    }
    true
}

fn child_command(before: &[&str], dir: &Path, groups: u64, syncs: bool) -> Command {
    let myself = std::env::current_exe().unwrap();
    let args = ["--exact", "a_kill_at_every_write_rename_and_sync_loses_nothing", "--nocapture"];
    let mut command = match before.split_first() {
        Some((program, rest)) => {
            let mut command = Command::new(program);
            command.args(rest).arg(&myself);
            command
        }
        None => Command::new(&myself),
    };
    command.args(args).env(CHILD_DIR, dir).env(CHILD_GROUPS, groups.to_string());
    if syncs {
        command.env(CHILD_SYNCS, "1");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn acknowledged(output: &[u8]) -> u64 {
    let lines = output.lines().map_while(Result::ok);
    lines.filter_map(|line| line.split("ack ").nth(1)?.trim().parse().ok()).max().unwrap_or(0)
}

/// What is recovered: `Err` says what is wrong.
fn recover(dir: &Path, acked: u64) -> Result<u64, String> {
    let opened = Log::open(RealDisk, child_options(dir), NOW);
    let (log, recovery) = opened.map_err(|error| error.to_string())?;
    let found = read_all(&log.reader(), recovery.first).map_err(|error| error.to_string())?;
    assert_prefix(&found, recovery.first);
    if recovery.next < acked {
        return Err(format!("acknowledged {acked}, recovered {}", recovery.next));
    }
    Ok(recovery.next)
}

#[test]
fn a_kill_at_every_write_rename_and_sync_loses_nothing() {
    if was_child() {
        return;
    }
    let name = "a_kill_at_every_write_rename_and_sync_loses_nothing";
    if let Err(reason) = mount::run("strace", &["-o", "/dev/null", "true"]) {
        println!("SKIP {name}: {reason}");
        return;
    }
    // Long enough to roll, recycle and delete; the soak visits every single call of it.
    let (groups, step) = if soak() { (90, 1) } else { (90, 7) };
    let mut kills = 0;
    for call in ["pwrite64", "rename", "fdatasync", "fsync", "unlink"] {
        let mut at = 1;
        loop {
            let dir = tempfile::tempdir().unwrap();
            let log = dir.path().join("log");
            let inject = format!("inject={call}:signal=KILL:when={at}");
            let trace = format!("trace={call}");
            let strace = ["strace", "-f", "-o", "/dev/null", "-e", &trace, "-e", &inject];
            let output = child_command(&strace, &log, groups, true).output().unwrap();
            let acked = acknowledged(&output.stdout);
            if let Err(reason) = recover(&log, acked) {
                panic!("killed at {call} number {at}: {reason}");
            }
            if output.status.success() {
                break;
            }
            kills += 1;
            // The first calls set the log up: each of them counts.
            at += if at < 6 { 1 } else { step };
        }
    }
    println!("{kills} kills");
    assert!(kills > 40, "{kills} kills only");
}

/// Writes until the power goes; what was acknowledged before, and what was recovered after.
fn power_cut(mount: &mut Mount, syncs: bool, after: Duration) -> Result<u64, String> {
    let dir = mount.at.join("log");
    let _ = std::fs::remove_dir_all(&dir);
    mount::run("sync", &["-f", mount.at.to_str().unwrap()])?;
    let mut child: Child = child_command(&[], &dir, u64::MAX, syncs).spawn().unwrap();
    let acked = Arc::new(AtomicU64::new(0));
    let said = BufReader::new(child.stdout.take().unwrap());
    let counter = Arc::clone(&acked);
    let listener = thread::spawn(move || {
        for line in said.lines().map_while(Result::ok) {
            if let Some(next) = line.split("ack ").nth(1).and_then(|next| next.trim().parse().ok()) {
                counter.store(next, Ordering::Release);
            }
        }
    });
    while acked.load(Ordering::Acquire) < 200 && !listener.is_finished() {
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(after);
    let before = acked.load(Ordering::Acquire);
    let cut = mount.cut_power();
    let _ = child.kill();
    let _ = child.wait();
    cut?;
    listener.join().unwrap();
    mount.unmount()?;
    mount.mount()?;
    assert!(before > 0, "the child wrote nothing");
    recover(&dir, before)
}

#[test]
fn power_cuts_lose_nothing_that_was_synced_and_a_build_without_sync_is_caught() {
    let name = "power_cuts_lose_nothing_that_was_synced_and_a_build_without_sync_is_caught";
    let mut mount = match Mount::ext4(64) {
        Ok(mount) => mount,
        Err(reason) => {
            println!("SKIP {name}: {reason}");
            return;
        }
    };
    for cycle in 0..if soak() { 40 } else { 6 } {
        let after = Duration::from_millis(cycle * 37 % 150);
        if let Err(reason) = power_cut(&mut mount, true, after) {
            panic!("cycle {cycle}: {reason}");
        }
    }
    let caught = (0..3).filter(|_| power_cut(&mut mount, false, Duration::from_millis(30)).is_err()).count();
    assert!(caught > 0, "a build without sync passes: this test proves nothing here");
}
