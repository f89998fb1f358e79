//! What a running consumer says of itself, against the truth.

use super::{Facts, Process};
use seawall_consumer::{Running, Snapshot};
use seawall_guard::Guard;

impl Facts {
    /// Compares a snapshot with what is known. To be called between polls, where both are whole.
    pub fn sample(&mut self, process: Process, running: &Running, guard: &Guard) {
        let snapshot = running.snapshot();
        for partition in &snapshot.partitions {
            let imbalance = partition.ledger.imbalance();
            if imbalance != 0 {
                let ledger = partition.ledger;
                self.violate(format!("{}: imbalance {imbalance} in {ledger:?}", partition.partition));
            }
            if !(partition.committed <= partition.watermark && partition.watermark <= partition.next) {
                self.violate(format!("positions out of order: {partition:?}"));
            }
        }
        // What was parked comes back into a queue that was filled up meanwhile; heads of lanes are never let go.
        let (queue, parked) = (&snapshot.queue, &snapshot.parked);
        let keys = running.limits().retry.parked_keys as u64 * snapshot.partitions.len() as u64;
        if queue.records + parked.records > 2 * queue.records_max + parked.records_max + keys {
            self.violate(format!("more is in memory than the bounds allow: {queue:?} {parked:?}"));
        }
        let life = self.lives.entry(process).or_default();
        let (panics, dropped) = (life.panics, life.dropped);
        if snapshot.totals.panics != panics {
            self.violate(format!("{} panics are counted, {panics} were thrown", snapshot.totals.panics));
        }
        if snapshot.totals.timeouts > dropped {
            self.violate(format!(
                "{} deadlines passed, {dropped} calls were dropped",
                snapshot.totals.timeouts
            ));
        }
        self.cover(&snapshot, guard);
    }

    fn cover(&mut self, snapshot: &Snapshot, guard: &Guard) {
        self.coverage.add("sample", 1);
        self.coverage.add("lane overflowed", snapshot.lanes.overflowed);
        self.coverage.add("lane parked", snapshot.lanes.parked);
        let full = snapshot.partitions.iter().filter(|p| p.paused && !p.paused_by_request && !p.revoking);
        self.coverage.add("partition paused", full.count() as u64);
        let refusals = guard.snapshot().refusals;
        self.coverage.add("refused by the concurrency limit", refusals.concurrency);
        self.coverage.add("refused by the rate", refusals.rate);
        self.coverage.add("refused by the breaker", refusals.breaker);
    }

    /// After a process is gone: every permit has come back, whatever its holders were doing.
    pub fn check_permits(&mut self, guard: &Guard) {
        let used = guard.snapshot().concurrency.used;
        if used != 0 {
            self.violate(format!("{used} permits never came back"));
        }
    }

    /// After a drain within its bound: what the consumer counted last.
    pub fn check_drained(&mut self, running: &Running) {
        let totals = running.snapshot().totals;
        self.coverage.add("timed out", totals.timeouts);
        self.coverage.add("late completion", totals.late);
        self.coverage.add("fenced completion", totals.fenced);
        self.coverage.add("duplicate recognised", totals.duplicates);
        self.coverage.add("skipped after a restart", totals.skipped);
        self.coverage.add("commit truncated", totals.commits_truncated);
    }
}
