//! Which offsets of a partition are settled, and what may be committed of it.
//!
//! # The idea
//!
//! Records finish out of order, a commit is one number. Committing the highest finished offset loses what is
//! unfinished below it; committing the lowest unfinished one alone repeats everything finished above it. So a
//! commit is both: the **watermark**, the lowest unsettled offset, and **beyond**, the exact set of settled
//! offsets above it ([`codec`]). The watermark is derived from completions only; the highest fetched offset
//! never enters it.
//!
//! # What counts as settled
//!
//! Offsets have gaps (compaction, transaction markers, retention): an offset that the source passed over
//! without a record will never be completed by anyone, so it is settled the moment it is passed. A record that
//! an earlier run had settled beyond its watermark is skipped when it is fetched again.
//!
//! # Memory
//!
//! Nothing is stored for a contiguous stretch, settled or not; a mixed stretch costs a bit for each offset
//! ([`OffsetSet`]): 10,000,000 outstanding offsets settled at random cost about 1.3 MiB.

pub mod codec;
mod set;

pub use set::OffsetSet;

use seawall_core::{Fetched, Offset};

/// The progress of one partition under one assignment.
#[derive(Clone, Debug)]
pub struct Tracker {
    /// The lowest unsettled offset.
    watermark: Offset,
    /// One past the highest offset admitted.
    next: Offset,
    /// Settled offsets; those below the watermark may linger and mean nothing.
    done: OffsetSet,
    /// How many of `done` lie at or above the watermark.
    beyond: u64,
}

/// What became of a batch when it was admitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// Records that are new and now outstanding.
    pub fresh: u64,
    /// Records that an earlier run had settled, or that had been admitted before.
    pub skipped: u64,
}

impl Tracker {
    /// Starts at a committed position: everything below `watermark` is settled, and so is `beyond`.
    pub fn new(watermark: Offset, beyond: OffsetSet) -> Self {
        let mut tracker =
            Self { watermark, next: watermark, beyond: beyond.count_from(watermark), done: beyond };
        tracker.advance();
        tracker
    }

    /// Takes a fetched batch in: `records` keeps those that are to be handled, in order. `batch_next` is where
    /// the source goes on; offsets passed over are settled.
    pub fn admit(&mut self, records: &mut Vec<Fetched>, batch_next: Offset) -> Admitted {
        let before = records.len() as u64;
        let known_from = self.next;
        let mut expected = self.next;
        let (done, beyond) = (&mut self.done, &mut self.beyond);
        records.retain(|record| {
            if record.offset < expected {
                return false;
            }
            if record.offset > expected {
                *beyond += done.insert_range(expected, record.offset);
            }
            expected = record.offset.saturating_add(1);
            *beyond == 0 || !done.contains(record.offset)
        });
        if batch_next > expected {
            *beyond += done.insert_range(expected, batch_next);
            expected = batch_next;
        }
        self.next = expected.max(known_from);
        self.advance();
        let fresh = records.len() as u64;
        Admitted { fresh, skipped: before - fresh }
    }

    /// Settles `offset`. False when it was settled already or never admitted: nothing changes.
    pub fn complete(&mut self, offset: Offset) -> bool {
        if offset < self.watermark || offset >= self.next {
            return false;
        }
        if offset == self.watermark {
            self.watermark += 1;
            self.advance();
            return true;
        }
        let fresh = self.done.insert(offset);
        self.beyond += u64::from(fresh);
        fresh
    }

    /// Moves the watermark over what is settled, never past what was admitted.
    fn advance(&mut self) {
        if self.beyond == 0 {
            return;
        }
        let free = self.done.first_absent(self.watermark).min(self.next.max(self.watermark));
        if free > self.watermark {
            self.beyond -= free - self.watermark;
            self.watermark = free;
            self.done.forget_below(free);
        }
    }

    /// The lowest unsettled offset.
    pub fn watermark(&self) -> Offset {
        self.watermark
    }

    /// One past the highest offset admitted.
    pub fn next(&self) -> Offset {
        self.next
    }

    /// How many offsets at or above the watermark are settled.
    pub fn settled_beyond(&self) -> u64 {
        self.beyond
    }

    /// Whether `offset` is settled.
    pub fn is_settled(&self, offset: Offset) -> bool {
        offset < self.watermark || self.done.contains(offset)
    }

    /// Adds what is settled at or above `from` to `into`. How many offsets were new there.
    pub fn settled_into(&self, from: Offset, into: &mut OffsetSet) -> u64 {
        let below = into.insert_range(from, self.watermark);
        let runs = self.done.runs(from.max(self.watermark));
        below + runs.map(|(start, end)| into.insert_range(start, end)).sum::<u64>()
    }

    /// What may be committed now, with the set beyond the watermark in at most `bytes_max` bytes.
    pub fn position(&self, bytes_max: usize) -> codec::Encoded {
        codec::encode(self.watermark, &self.done, self.beyond, bytes_max)
    }

    /// Bytes the set takes, without the allocator's overhead.
    pub fn heap_bytes(&self) -> usize {
        self.done.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_core::Record;

    fn records(offsets: impl IntoIterator<Item = Offset>) -> Vec<Fetched> {
        offsets.into_iter().map(|offset| Fetched { offset, record: Record::default() }).collect()
    }

    /// Test 17 of the fault list, on the tracker alone.
    #[test]
    fn one_stuck_offset_holds_the_watermark_and_a_restart_reruns_only_it() {
        let mut tracker = Tracker::new(5, OffsetSet::default());
        tracker.admit(&mut records(5..=50_000), 50_001);
        for offset in 6..=50_000 {
            assert!(tracker.complete(offset));
        }
        assert_eq!(tracker.watermark(), 5);
        let encoded = tracker.position(4_096);
        assert!(!encoded.truncated && encoded.position.beyond.len() < 32);

        let beyond = codec::decode(&encoded.position).expect("own encoding");
        let mut again = Tracker::new(encoded.position.watermark, beyond);
        let mut batch = records(5..=50_010);
        assert_eq!(again.admit(&mut batch, 50_011), Admitted { fresh: 11, skipped: 49_995 });
        assert_eq!(batch.iter().map(|r| r.offset).collect::<Vec<_>>(), {
            let mut rerun = vec![5];
            rerun.extend(50_001..=50_010);
            rerun
        });
        assert!(again.complete(5));
        assert_eq!(again.watermark(), 50_001);
    }

    #[test]
    fn gaps_are_settled_when_they_are_passed() {
        let mut tracker = Tracker::new(0, OffsetSet::default());
        tracker.admit(&mut records([3, 7]), 1_000_000_000_000);
        assert_eq!((tracker.watermark(), tracker.next()), (3, 1_000_000_000_000));
        assert!(tracker.complete(3));
        assert_eq!(tracker.watermark(), 7);
        assert!(tracker.complete(7));
        assert_eq!(tracker.watermark(), 1_000_000_000_000);
        assert!(tracker.heap_bytes() < 4_096, "{}", tracker.heap_bytes());
    }

    #[test]
    fn the_watermark_never_passes_what_was_admitted() {
        let mut beyond = OffsetSet::default();
        beyond.insert_range(10, 20);
        let mut tracker = Tracker::new(10, beyond);
        assert_eq!(tracker.watermark(), 10, "nothing is admitted yet");
        tracker.admit(&mut records(10..15), 15);
        assert_eq!(tracker.watermark(), 15);
        tracker.admit(&mut records(15..25), 25);
        assert_eq!(tracker.watermark(), 20);
    }

    #[test]
    fn nothing_is_settled_twice_or_unseen() {
        let mut tracker = Tracker::new(0, OffsetSet::default());
        tracker.admit(&mut records(0..4), 4);
        assert!(tracker.complete(2) && !tracker.complete(2));
        assert!(tracker.complete(0) && !tracker.complete(0));
        assert!(!tracker.complete(4), "never admitted");
        assert_eq!(tracker.admit(&mut records(0..6), 6), Admitted { fresh: 2, skipped: 4 }, "fetched again");
    }

    #[test]
    fn ten_million_outstanding_offsets_fit_in_a_few_mebibytes() {
        let mut tracker = Tracker::new(0, OffsetSet::default());
        tracker.admit(&mut Vec::new(), 0);
        let mut rng = fastrand::Rng::with_seed(7);
        for chunk in 0..100_u64 {
            tracker.admit(&mut records(chunk * 100_000..(chunk + 1) * 100_000), (chunk + 1) * 100_000);
        }
        for offset in 1..10_000_000 {
            if rng.bool() {
                tracker.complete(offset);
            }
        }
        assert_eq!(tracker.watermark(), 0);
        assert!(tracker.heap_bytes() < 2 << 20, "{}", tracker.heap_bytes());
    }
}
