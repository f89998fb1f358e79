//! What the pump shows of itself. Nothing is decided by it.

use super::Pump;
use crate::route::{State, Switch};
use crate::stats::Happening;
use seawall_core::{Fault, Nanos};
use seawall_wal::Disk;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// The pace of the replay is measured over so long.
const PACE_OVER: Duration = Duration::from_secs(3);

/// For the pace: when it was measured last, and what was delivered then.
#[derive(Debug, Default)]
pub(super) struct Shown {
    at: Nanos,
    replayed: u64,
    per_second: f64,
}

impl<D: Disk> Pump<D> {
    pub(super) fn show(&mut self, now: Nanos) {
        let shared = Arc::clone(&self.shared);
        let mut gauges = shared.stats.gauges();
        gauges.state = self.machine.state();
        gauges.active = self.selector.active();
        for (at, breaker) in gauges.breakers.iter_mut().enumerate() {
            *breaker = self.selector.breaker(at, now);
        }
        let Some(backlog) = &self.backlog else { return };
        (gauges.spill_bytes, gauges.spill_bytes_max) = (backlog.room.used, backlog.room.max);
        gauges.backlog_records = backlog.records;
        gauges.backlog_bytes = backlog.bytes;
        gauges.held_records = backlog.held.len() as u64;
        gauges.spill_trouble = backlog.trouble_shown();
        let passed = now.since(self.shown.at);
        if passed >= PACE_OVER {
            let moved = gauges.replayed.saturating_sub(self.shown.replayed);
            self.shown =
                Shown { at: now, replayed: gauges.replayed, per_second: moved as f64 / passed.as_secs_f64() };
        }
        if backlog.records == 0 {
            (gauges.replay_left, gauges.replayed, self.shown.replayed) = (None, 0, 0);
        } else {
            let left = backlog.records as f64 / self.shown.per_second;
            gauges.replay_left = Duration::try_from_secs_f64(left).ok();
        }
    }

    pub(super) fn show_found(&self) {
        let refused = self.backlog.as_ref().map_or(0, |backlog| backlog.spill.refused_before());
        self.shared.stats.refused_before.store(refused, Relaxed);
        if refused > 0 {
            tracing::warn!(
                records = refused,
                "a sink refused these acknowledged records for good in an earlier life: `seawall wal export --which refused` \
                 prints them, `wal replay` delivers and `wal purge` deletes them"
            );
        }
        if let Some(backlog) = self.backlog.as_ref().filter(|backlog| backlog.records > 0) {
            tracing::info!(
                records = backlog.records,
                bytes = backlog.bytes,
                "an earlier life's spill is replayed"
            );
        }
    }

    pub(super) fn show_state(&self, from: State) {
        let to = self.machine.state();
        tracing::info!(from = from.as_str(), to = to.as_str(), "the producer's path changed");
        self.shared.stats.event(self.shared.clock.wall(), Happening::State { from, to });
    }

    pub(super) fn show_switch(&self, switch: Switch) {
        let name = |at: usize| Arc::clone(&self.shared.targets[at].name);
        let (from, to) = (name(switch.from), name(switch.to));
        tracing::warn!(%from, %to, "the producer's sink changed");
        self.shared.stats.switches.fetch_add(1, Relaxed);
        self.shared.stats.event(self.shared.clock.wall(), Happening::Switched { from, to });
    }

    pub(super) fn show_fault(&self, fault: &Fault) {
        self.shared.stats.gauges().last_fault = Some(fault.clone());
    }

    pub(super) fn show_trouble(&mut self, error: &(dyn std::error::Error + 'static)) {
        let mut why = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            why = format!("{why}: {error}");
            cause = error.source();
        }
        let Some(backlog) = &mut self.backlog else { return };
        if backlog.trouble.as_ref() == Some(&why) {
            return;
        }
        tracing::warn!(why, "the spill is in trouble");
        backlog.trouble = Some(why.clone());
        self.shared.stats.gauges().spill_trouble = Some(why.clone());
        self.shared.stats.event(self.shared.clock.wall(), Happening::SpillTrouble { why });
    }

    pub(super) fn show_refused(&self, records: u64, fault: &Fault) {
        let why = fault.to_string();
        tracing::error!(records, why, "refused for good after a receipt: kept in the spill's `refused` log");
        self.shared.stats.event(self.shared.clock.wall(), Happening::Refused { records, why });
    }
}
