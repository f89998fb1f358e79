//! A first look at the log's speed beside two bare loops: appending with fdatasync, and the same over bytes that
//! exist already, which is the limit. `cargo run --release -p seawall-wal --example throughput [DIR]`.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for the terminal")]

use seawall_core::{Clock, SystemClock};
use seawall_wal::{GroupCommit, GroupOptions, Limit, Log, Options, RealDisk};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FRAME: usize = 1024;
const FRAMES: usize = 40_960;
const ROUNDS: usize = 7;

/// Frames a second.
fn timed(frames: usize, work: impl FnOnce()) -> f64 {
    let clock = SystemClock::new();
    let start = clock.now();
    work();
    frames as f64 / clock.now().since(start).as_secs_f64()
}

/// Into a file of its own, or over one that was zeroed before. Nothing is deleted between the rounds: a file
/// system that discards would do so during the next one.
fn bare(path: &Path, per_sync: usize) -> f64 {
    let file = File::options().create(true).truncate(false).write(true).open(path).unwrap();
    file.sync_all().unwrap();
    let group = vec![7; FRAME * per_sync];
    timed(FRAMES, || {
        for at in 0..FRAMES / per_sync {
            file.write_all_at(&group, (at * group.len()) as u64).unwrap();
            file.sync_data().unwrap();
        }
    })
}

/// A log whose segments have been round once, so that it recycles.
fn steady(dir: PathBuf) -> Log<RealDisk> {
    let now = SystemClock::new().wall();
    let (mut log, _) = Log::open(RealDisk, Options::new(dir), now).unwrap();
    while log.counters().recycled < 2 {
        log.append(vec![[7; FRAME]; 8192], now).unwrap();
        log.sync(now).unwrap();
        log.truncate_front(log.next()).unwrap();
    }
    log
}

fn direct(log: &mut Log<RealDisk>, per_sync: usize) -> f64 {
    let clock = SystemClock::new();
    let group = vec![[7; FRAME]; per_sync];
    timed(FRAMES, || {
        for _ in 0..FRAMES / per_sync {
            log.append(&group, clock.wall()).unwrap();
            log.sync(clock.wall()).unwrap();
        }
        log.truncate_front(log.next()).unwrap();
    })
}

fn grouped(group: &GroupCommit<RealDisk>, per_sync: usize) -> f64 {
    let frame = bytes::Bytes::from(vec![7; FRAME]);
    timed(FRAMES, || {
        for _ in 0..FRAMES / per_sync {
            group.append(vec![frame.clone(); per_sync]).unwrap().wait().unwrap();
        }
        group.truncate_front(group.reader().next()).unwrap();
    })
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn main() {
    let base = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let base = base.join(format!("seawall-wal-throughput-{}", std::process::id()));
    std::fs::create_dir_all(&base).unwrap();
    let mut log = steady(base.join("direct"));
    let group = GroupCommit::start(
        steady(base.join("grouped")),
        GroupOptions::default(),
        Arc::new(SystemClock::new()),
    )
    .unwrap();
    std::fs::write(base.join("existing"), vec![0; FRAME * FRAMES]).unwrap();
    for per_sync in [64, 256] {
        let (mut append, mut existing, mut ours, mut groups) = (vec![], vec![], vec![], vec![]);
        for round in 0..ROUNDS {
            append.push(bare(&base.join(format!("append-{per_sync}-{round}")), per_sync));
            existing.push(bare(&base.join("existing"), per_sync));
            ours.push(direct(&mut log, per_sync));
            groups.push(grouped(&group, per_sync));
        }
        let [append, existing, ours, groups] = [append, existing, ours, groups].map(median);
        println!(
            "{per_sync} to a sync: bare append {append:.0}/s, over existing {existing:.0}/s, log {ours:.0}/s \
             ({:.2}, {:.2}), group commit one batch at a time {groups:.0}/s ({:.2}, {:.2})",
            ours / append,
            ours / existing,
            groups / append,
            groups / existing,
        );
    }
    let now = SystemClock::new().wall();
    let first = log.next();
    for _ in 0..100 {
        log.append(vec![[1; 100]; 20_000], now).unwrap();
        log.sync(now).unwrap();
    }
    let reader = log.reader();
    let rate = timed(2_000_000, || {
        let mut at = first;
        while at < log.next() {
            at = reader.read(at, Limit { frames: 4096, bytes: 1 << 20 }).unwrap().next;
        }
    });
    println!("reading frames of 100 bytes: {rate:.0}/s");
    group.close().unwrap();
    drop(log);
    std::fs::remove_dir_all(&base).unwrap();
}
