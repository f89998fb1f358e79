//! How much may still be written: by what the files take on disk, not by what they hold.

use seawall_wal::SegmentInfo;

/// What the log adds to a batch: a mark, the header of a new segment, and the end of one.
const AROUND: u64 = 4096 + 256;
/// Segments that take room without being counted here: two for reuse, and one begun for a progress alone.
const UNCOUNTED: u64 = 3;

/// What a spill takes, and what it may still take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Bytes of segments that are full, and of frames in the last.
    pub(crate) used: u64,
    /// The most of it that frames may use.
    pub(crate) max: u64,
    /// What the last segment has room for.
    last: u64,
    /// What further segments may take.
    further: u64,
    segment: u64,
    rest: u64,
}

impl Room {
    /// The room of a spill with a log of these segments, which with `refused` bytes set aside may take `disk` bytes, by
    /// segments of `segment` bytes. Room for one segment more of those is never given to the log.
    pub(super) fn of(log: &[SegmentInfo], refused: u64, disk: u64, segment: u64) -> Self {
        let all = disk.saturating_sub(UNCOUNTED * segment);
        let max = all.saturating_sub(segment);
        let taken: u64 = log.iter().map(|info| info.capacity).sum::<u64>() + refused;
        let last = log.last().map_or(0, |info| info.capacity - info.bytes);
        Self {
            used: taken - last,
            max,
            last: last.saturating_sub(AROUND),
            further: max.saturating_sub(taken + AROUND),
            segment: segment.saturating_sub(AROUND),
            rest: all.saturating_sub(taken),
        }
    }

    /// What all logs together may still take once the `in_flight` bytes of a batch are written.
    pub(super) fn rest(&self, in_flight: u64) -> u64 {
        if in_flight <= self.last {
            return self.rest;
        }
        self.rest.saturating_sub((in_flight + AROUND).max(self.segment + AROUND))
    }

    /// The most bytes of a batch whose first record has `first`; `None`: there is no room even for that.
    ///
    /// A batch fills the last segment up, then begins another: only a record that is larger has one of more than
    /// the usual size for itself.
    pub(crate) fn batch(&self, first: u64) -> Option<u64> {
        if first <= self.last {
            Some(self.last)
        } else {
            (first.max(self.segment) <= self.further).then(|| first.max(self.segment))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use seawall_core::WallMs;

    const SEGMENT: u64 = 64 << 10;

    fn info(bytes: u64, capacity: u64) -> SegmentInfo {
        let (path, created) = (std::path::PathBuf::new(), WallMs(0));
        SegmentInfo { path, first: 0, next: 0, bytes, capacity, created, sealed: None }
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// A record of so many bytes.
        Write(u64),
        /// One that fills the last segment, or what further ones may take, as far as it is said to go.
        FillLast,
        FillFurther,
        /// A segment of records set aside.
        Aside,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (1_u64..130_000).prop_map(Step::Write),
            2 => Just(Step::FillLast),
            1 => Just(Step::FillFurther),
            1 => Just(Step::Aside),
        ]
    }

    proptest! {
        #[test]
        fn the_files_stay_within_the_budget(
            disk in (1_u64 << 20)..(4 << 20), steps in proptest::collection::vec(step(), 1..300),
        ) {
            let (mut log, mut refused) = (vec![info(4096, SEGMENT)], 0);
            for step in steps {
                let room = Room::of(&log, refused, disk, SEGMENT);
                prop_assert!(room.used <= disk);
                let bytes = match step {
                    Step::Write(bytes) => bytes,
                    Step::FillLast => room.last,
                    Step::FillFurther => room.further,
                    Step::Aside => {
                        refused += if room.rest(0) >= SEGMENT { SEGMENT } else { 0 };
                        continue;
                    }
                };
                let Some(most) = room.batch(bytes).filter(|_| bytes > 0) else { continue };
                prop_assert!(bytes <= most);
                // As the log does it.
                let last = log.last_mut().unwrap();
                if last.bytes + bytes + 48 <= last.capacity {
                    last.bytes += bytes + 48;
                } else {
                    log.push(info(4096 + bytes + 48, SEGMENT.max(4096 + bytes + 96)));
                    let left = Room::of(&log, refused, disk, SEGMENT).rest(0);
                    prop_assert!(left >= SEGMENT, "{} left for one that is set aside", left);
                }
                let files = log.iter().map(|info| info.capacity).sum::<u64>() + refused;
                prop_assert!(files + UNCOUNTED * SEGMENT <= disk, "{} of {}", files, disk);
            }
        }
    }

    #[test]
    fn what_is_on_its_way_is_not_given_away() {
        let log = [info(SEGMENT - 10_000, SEGMENT)];
        let room = Room::of(&log, 0, 1 << 20, SEGMENT);
        let rest = (1 << 20) - (UNCOUNTED + 1) * SEGMENT;
        assert_eq!((room.rest(0), room.rest(5_000)), (rest, rest), "the last segment has room for it");
        assert_eq!(room.rest(20_000), rest - SEGMENT);
        assert_eq!(room.rest(100_000), rest - 100_000 - AROUND);
    }
}
