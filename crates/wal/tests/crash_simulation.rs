//! Seeded crashes over the simulated disk, against a model: what was acknowledged is recovered, what was not is
//! recovered as a prefix of what was written or not at all, and no failed file is touched again.
//!
//! A failing seed is printed; `SEAWALL_SEED=n` replays it alone, `SEAWALL_SOAK=1` runs a hundred times as many.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod harness;

use harness::{NOW, open, options, read_all};
use seawall_wal::disk::{FaultCounts, Faults, SimDisk};
use seawall_wal::{Log, Options, Scan, WalError};
use std::sync::atomic::AtomicBool;

/// What a log may hold.
#[derive(Default)]
struct Model {
    /// Acknowledged frames, from number 0 on.
    acked: Vec<Vec<u8>>,
    /// What was written behind them: of each of these, any prefix may be found after a crash. The last is the log's
    /// own present; earlier ones were dropped with an error.
    unacked: Vec<Vec<Vec<u8>>>,
}

impl Model {
    fn present(&mut self) -> &mut Vec<Vec<u8>> {
        if self.unacked.is_empty() {
            self.unacked.push(Vec::new());
        }
        self.unacked.last_mut().unwrap()
    }

    fn ack(&mut self, next: u64) {
        let count = next as usize - self.acked.len();
        if count == 0 {
            return; // What was dropped may still come back.
        }
        let present = self.present().clone();
        assert!(count <= present.len(), "more is durable than was written");
        self.acked.extend_from_slice(&present[..count]);
        self.unacked = vec![present[count..].to_vec()];
    }

    /// After a crash: `found` from frame `first` on.
    fn check(&mut self, first: u64, found: &[Vec<u8>]) {
        let next = first as usize + found.len();
        assert!(next >= self.acked.len(), "acknowledged up to {}, recovered up to {next}", self.acked.len());
        assert!(first as usize <= self.acked.len());
        assert_eq!(found[..self.acked.len() - first as usize], self.acked[first as usize..]);
        let tail = &found[self.acked.len() - first as usize..];
        assert!(
            tail.is_empty() || self.unacked.iter().any(|written| written.starts_with(tail)),
            "the tail was never written like that"
        );
        self.acked.extend_from_slice(tail);
        self.unacked.clear();
    }
}

struct Run {
    rng: fastrand::Rng,
    disk: SimDisk,
    options: Options,
    model: Model,
    faults: Faults,
    errors: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let some = |rng: &mut fastrand::Rng, of: u32| if rng.u32(0..4) == 0 { rng.u32(0..of) } else { 0 };
        let faults = Faults {
            write_eio: some(&mut rng, 300),
            sync_eio: some(&mut rng, 1000),
            dir_sync_eio: some(&mut rng, 500),
            space_bytes: if rng.u32(0..6) == 0 { rng.u64(60_000..200_000) } else { 0 },
        };
        let options = Options {
            spares_max: rng.usize(0..3),
            zero_ahead_bytes: rng.u64(0..9000),
            scan: if rng.bool() { Scan::All } else { Scan::Tail },
            ..options("/log")
        };
        Self { disk: SimDisk::new(seed ^ 0x5eed), rng, options, model: Model::default(), faults, errors: 0 }
    }

    fn life(&mut self) {
        self.disk.set_faults(if self.rng.bool() { self.faults } else { Faults::default() });
        let mut opened = open(&self.disk, &self.options);
        if opened.is_err() {
            // Only an injected fault may have refused it: without faults it must open.
            self.errors += 1;
            if self.rng.bool() {
                self.disk.crash();
            }
            self.disk.set_faults(Faults::default());
            opened = open(&self.disk, &self.options);
            self.disk.set_faults(self.faults);
        }
        let (mut log, recovery) = opened.unwrap();
        let found = read_all(&log.reader(), recovery.first).unwrap();
        assert_eq!(recovery.next, recovery.first + found.len() as u64);
        self.model.check(recovery.first, &found);
        for _ in 0..self.rng.usize(1..40) {
            if self.rng.u32(0..40) == 0 {
                break;
            }
            self.step(&mut log);
        }
        match self.rng.u32(0..6) {
            0 => {
                if let Ok(durable) = log.close(NOW) {
                    self.model.ack(durable.next);
                }
            }
            1 => drop(log),
            2 => self.disk.kill(),
            _ => self.disk.crash(),
        }
    }

    fn step(&mut self, log: &mut Log<SimDisk>) {
        match self.rng.u32(0..20) {
            0..9 => self.append(log),
            9..17 => match log.sync(NOW) {
                Ok(durable) => self.model.ack(durable.next),
                Err(error) => self.failed(log, &error),
            },
            17 => {
                let before = self.rng.u64(0..=log.durable() + 5);
                let first = log.first();
                match log.truncate_front(before) {
                    Ok(now) => assert!(now >= first && now <= log.durable()),
                    Err(_) => self.errors += 1,
                }
            }
            18 => {
                if let Some(Ok(spare)) = log.spare_job().map(|job| job.run(&AtomicBool::new(false))) {
                    log.add_spare(spare);
                }
            }
            _ => {
                let (first, acked) = (log.first(), self.model.acked.len());
                let found = read_all(&log.reader(), first).unwrap();
                // Some of what was written may be durable already, though no sync was asked for.
                assert!(first as usize + found.len() >= acked);
                self.model.ack(first + found.len() as u64);
                assert_eq!(found, self.model.acked[first as usize..]);
            }
        }
        assert_eq!(self.disk.counts().touched_after_failure, 0, "a failed file was touched again");
    }

    fn append(&mut self, log: &mut Log<SimDisk>) {
        let most = if self.rng.u32(0..10) == 0 { 5000 } else { 400 };
        let batch: Vec<Vec<u8>> = (0..self.rng.usize(1..8))
            .map(|_| {
                let len = self.rng.usize(0..most);
                std::iter::repeat_with(|| self.rng.u8(..)).take(len).collect()
            })
            .collect();
        let next = log.next();
        self.model.present().extend_from_slice(&batch);
        match log.append(&batch, NOW) {
            Ok(appended) => {
                assert_eq!((appended.first, appended.next), (next, next + batch.len() as u64));
                // Beginning a segment makes durable what it carries.
                self.model.ack(log.durable());
            }
            Err(error) => {
                self.failed(log, &error);
                if !matches!(error, WalError::Poisoned { .. }) {
                    // Nothing of it may have reached the log's present; a crash may find it all the same.
                    let mut kept = self.model.present().clone();
                    kept.truncate(log.next() as usize - self.model.acked.len());
                    self.model.unacked.push(kept);
                }
            }
        }
        assert_eq!(log.next() as usize, self.model.acked.len() + self.model.present().len());
    }

    fn failed(&mut self, log: &Log<SimDisk>, error: &WalError) {
        self.errors += 1;
        // A sync within the call may have made earlier frames durable.
        self.model.ack(log.durable());
        if let WalError::Poisoned { durable, .. } = error {
            assert_eq!((*durable, log.next()), (log.durable(), log.durable()));
            self.model.unacked.push(Vec::new());
        }
    }
}

fn run(seed: u64) -> (FaultCounts, u64) {
    let mut run = Run::new(seed);
    for _ in 0..run.rng.usize(2..7) {
        run.life();
    }
    (run.disk.counts(), run.errors)
}

#[test]
fn every_acknowledged_frame_survives_every_seeded_crash() {
    let seeds = match std::env::var("SEAWALL_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..if std::env::var_os("SEAWALL_SOAK").is_some() { 300_000 } else { 3_000 },
    };
    let alone = seeds.end - seeds.start == 1;
    let (mut all, mut errors_all) = (FaultCounts::default(), 0);
    for seed in seeds {
        let done = std::panic::catch_unwind(|| run(seed));
        let Ok((counts, errors)) = done else {
            panic!("seed {seed} fails: replay it with SEAWALL_SEED={seed}")
        };
        errors_all += errors;
        all.crashes += counts.crashes;
        all.write_eio += counts.write_eio;
        all.sync_eio += counts.sync_eio;
        all.dir_sync_eio += counts.dir_sync_eio;
        all.no_space += counts.no_space;
        all.sectors_kept += counts.sectors_kept;
        all.sectors_lost += counts.sectors_lost;
        all.sectors_torn += counts.sectors_torn;
        all.names_lost += counts.names_lost;
    }
    println!("{all:?}, {errors_all} errors told");
    if !alone {
        let hit = [all.crashes, all.write_eio, all.sync_eio, all.dir_sync_eio, all.no_space];
        assert!(hit.iter().all(|hits| *hits > 20), "a fault was hardly met: {all:?}");
        let hit = [all.sectors_lost, all.sectors_torn, all.names_lost, errors_all];
        assert!(hit.iter().all(|hits| *hits > 100), "a fault was hardly met: {all:?}");
    }
}
