//! What a sink refuses for good although its receipt was given: put aside, for a person.
//!
//! A record that is being put aside is not asked for again: its key may have gone on past it. Its lane waits for the disk, but not
//! for one that fails: then the record's key alone waits, on disk.

use super::lane::{Answers, Replayed};
use super::{Done, Pump};
use seawall_core::{Class, Fault, Nanos};
use seawall_wal::Disk;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

/// Why what a sink refused is not put aside.
#[derive(Debug, thiserror::Error)]
#[error(
    "what sinks refused for good has used up its room: `seawall wal export DIR --which refused` prints it, and once this process has \
     ended `seawall wal replay` or `seawall wal purge` makes room"
)]
pub(super) struct NoRoomAside;

/// Records that a sink refused for good, with what it said.
pub(super) type Refused = Vec<(Replayed, Fault)>;

/// Records on their way aside.
pub(super) struct Parking {
    lane: usize,
    sink: usize,
    refused: Refused,
    /// How often the disk did not take them.
    failures: u32,
    /// Their lane goes on without them.
    passed: bool,
}

impl Parking {
    /// As they are kept.
    fn kept(&self) -> Vec<(String, seawall_core::Outgoing)> {
        self.refused.iter().map(|(record, fault)| (fault.to_string(), record.outgoing.clone())).collect()
    }

    fn weight(&self) -> usize {
        self.refused.iter().map(|(record, _)| record.weight()).sum()
    }

    fn numbers(&self) -> impl Iterator<Item = u64> {
        self.refused.iter().map(|(record, _)| record.stored.seq)
    }
}

impl<D: Disk> Pump<D> {
    /// Whether there is room aside for what a sink refused for good. Where there is none, that stays like what failed, and is
    /// told.
    pub(super) fn note_refused(&mut self, load: &[Replayed], answers: &Answers) -> bool {
        let Some(backlog) = &mut self.backlog else { return true };
        let refused = load.iter().zip(answers).filter_map(|(replayed, answer)| match answer {
            Err(fault) if fault.class() == Class::Permanent => Some((replayed, fault)),
            _ => None,
        });
        let kept: Vec<_> =
            refused.clone().map(|(replayed, fault)| (fault.to_string(), replayed.outgoing.clone())).collect();
        if kept.is_empty() || backlog.can_refuse(&kept) {
            return true;
        }
        let numbers = refused.map(|(replayed, _)| replayed.stored.seq).collect();
        self.not_aside(numbers);
        false
    }

    /// These were refused for good, and there is no room for them aside.
    fn not_aside(&mut self, numbers: Vec<u64>) {
        let Some(backlog) = &mut self.backlog else { return };
        let first = backlog.not_aside.is_empty();
        backlog.not_aside.extend(numbers);
        if first {
            self.show_trouble(&NoRoomAside);
        }
    }

    /// Puts aside what a sink refused for good. Its receipt was given, so it is kept, for a person.
    /// Where there is no room for it, it stays on disk and holds up its own key.
    pub(super) fn park(&mut self, lane: usize, sink: usize, refused: Refused) {
        let parking = Parking { lane, sink, refused, failures: 0, passed: false };
        let Some(backlog) = &self.backlog else { return };
        if !backlog.can_refuse(&parking.kept()) {
            return self.not_parked(parking);
        }
        self.lanes[lane].parking.extend(parking.numbers());
        self.put_aside(parking);
    }

    fn put_aside(&mut self, parking: Parking) {
        let Some(backlog) = &mut self.backlog else { return };
        let parked = backlog.spill.refuse(&parking.kept());
        backlog.room = backlog.spill.room();
        self.work.push(Box::pin(async move { Done::Parked(parking, parked.await.map_err(Fault::from)) }));
    }

    fn not_parked(&mut self, parking: Parking) {
        let now = self.shared.clock.now();
        self.not_aside(parking.numbers().collect());
        let at = parking.lane;
        let left = self.hold(at, parking.refused.into_iter().map(|(record, _)| record).collect(), now);
        if !left.is_empty() {
            self.back_to_lane(at, left, now);
        }
    }

    /// Records of the replay that are asked for again, and their lane waits for it.
    fn back_to_lane(&mut self, at: usize, records: Vec<Replayed>, now: Nanos) {
        let lane = &mut self.lanes[at];
        lane.replay.extend(records);
        lane.replay.make_contiguous().sort_by_key(|record| record.stored.seq);
        lane.partly += 1;
        lane.retry_at = now.plus(self.shared.options.backoff.delay(lane.partly, 0));
    }

    pub(super) fn parked(&mut self, parking: Parking, done: Result<(), Fault>, now: Nanos) {
        if let Err(fault) = done {
            self.park_later(parking);
            return self.show_trouble(fault.error());
        }
        let (numbers, weight): (BTreeSet<u64>, _) = (parking.numbers().collect(), parking.weight());
        let Parking { lane, sink, refused, passed, .. } = parking;
        self.lanes[lane].parking.retain(|seq| !numbers.contains(seq));
        let Some(backlog) = &mut self.backlog else { return };
        if passed {
            backlog.passed_bytes = backlog.passed_bytes.saturating_sub(weight);
            backlog.passed.retain(|seq| !numbers.contains(seq));
        } else {
            backlog.window_bytes = backlog.window_bytes.saturating_sub(weight);
        }
        let mut answers = Vec::new();
        for (record, fault) in &refused {
            let waited = backlog.deliver(record.stored, now);
            answers.extend(waited.map(|(answer, _)| (answer, fault.clone())));
        }
        backlog.room = backlog.spill.room();
        if passed {
            self.read_behind(refused.iter().map(|(record, _)| record.stored));
        }
        self.shared.stats.refused.fetch_add(refused.len() as u64, Relaxed);
        for (mut answer, fault) in answers {
            answer.settle(Err(self.refusal(sink, fault)));
            self.free(0, 1);
        }
        if let Some((_, fault)) = refused.first() {
            self.show_refused(refused.len() as u64, fault);
        }
    }

    /// The disk did not take them, or has no room: their lane goes on, as long as memory has room for what waits so.
    fn park_later(&mut self, mut parking: Parking) {
        parking.failures += 1;
        let weight = parking.weight();
        if let Some(backlog) = self.backlog.as_mut().filter(|_| !parking.passed)
            && (backlog.passed_bytes == 0
                || backlog.passed_bytes + weight <= self.shared.options.replay.window_bytes)
        {
            parking.passed = true;
            parking.refused.iter_mut().for_each(|(record, _)| record.outgoing.record.detach());
            backlog.passed_bytes += weight;
            backlog.window_bytes = backlog.window_bytes.saturating_sub(weight);
            let numbers: BTreeSet<u64> = parking.numbers().collect();
            self.lanes[parking.lane].parking.retain(|seq| !numbers.contains(seq));
            backlog.passed.extend(numbers);
            let buckets = parking.refused.iter().map(|(record, _)| record.stored.bucket);
            self.hold_keys(parking.lane, buckets);
        }
        let wait = self.shared.options.backoff.delay(parking.failures, parking.lane as u64);
        self.work.push(Box::pin(async move {
            tokio::time::sleep(wait).await;
            Done::ParkAgain(parking)
        }));
    }

    pub(super) fn park_again(&mut self, parking: Parking) {
        let Some(backlog) = &self.backlog else { return };
        if backlog.can_refuse(&parking.kept()) {
            return self.put_aside(parking);
        }
        self.not_aside(parking.numbers().collect());
        self.park_later(parking);
    }
}
