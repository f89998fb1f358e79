//! How much may still be written: by what the files take on disk, not by what they hold.

use seawall_wal::Extent;

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
    /// More was begun than there is room for, because writes failed: the last segment is not for records.
    over: bool,
}

impl Room {
    /// The room of a spill with a log of this extent, which with `refused` bytes set aside may take `disk` bytes, by
    /// segments of `segment` bytes. Room for one segment more of those is never given to the log.
    pub(super) fn of(log: Extent, refused: u64, disk: u64, segment: u64) -> Self {
        let all = disk.saturating_sub(UNCOUNTED * segment);
        let max = all.saturating_sub(segment);
        let taken = log.bytes + refused;
        Self {
            used: taken - log.left,
            max,
            last: log.left.saturating_sub(AROUND),
            further: max.saturating_sub(taken + AROUND),
            segment: segment.saturating_sub(AROUND),
            rest: all.saturating_sub(taken),
            over: taken > max + segment,
        }
    }

    /// Whether `bytes` that nobody counted fit behind `in_flight` others, into the last segment or a further one.
    pub(crate) fn takes_beside(&self, bytes: u64, in_flight: u64) -> bool {
        in_flight + bytes <= self.last || in_flight + bytes.max(self.segment) <= self.further
    }

    /// What all logs together may still take once the `in_flight` bytes of a batch are written.
    pub(super) fn rest(&self, in_flight: u64) -> u64 {
        if in_flight <= self.last {
            return self.rest;
        }
        self.rest.saturating_sub((in_flight + AROUND).max(self.segment + AROUND))
    }

    /// The most bytes of a batch whose first record has `first`, behind others of `in_flight` bytes; `None`: there is no
    /// room even for that, or, behind others, none that is certain.
    ///
    /// A batch fills the last segment up, then begins another: only a record that is larger has one of more than
    /// the usual size for itself. Batches on their way together begin one more segment between them, because they have
    /// at most half of one.
    pub(crate) fn batch(&self, first: u64, in_flight: u64) -> Option<u64> {
        if self.over {
            return None;
        }
        if in_flight == 0 {
            if first <= self.last {
                return Some(self.last);
            }
            return (first.max(self.segment) <= self.further).then(|| first.max(self.segment));
        }
        let most = if in_flight + first <= self.last {
            self.last
        } else if self.segment <= self.further {
            self.segment / 2
        } else {
            0
        };
        most.checked_sub(in_flight).filter(|most| first <= *most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEGMENT: u64 = 64 << 10;

    #[derive(Clone, Debug)]
    enum Step {
        /// A record of so many bytes.
        Write(u64),
        /// One that fills the last segment, or what further ones may take, as far as it is said to go.
        FillLast,
        FillFurther,
        /// Batches of so many bytes on their way together.
        Together(Vec<u64>),
        /// A segment of records set aside.
        Aside,
    }

    /// As the log writes a batch of `bytes`; whether that begins a segment.
    fn write(log: &mut Extent, bytes: u64) -> bool {
        let fits = bytes + 48 <= log.left;
        if fits {
            log.left -= bytes + 48;
        } else {
            let capacity = SEGMENT.max(4096 + bytes + 96);
            *log = Extent { bytes: log.bytes + capacity, left: capacity - (4096 + bytes + 48) };
        }
        !fits
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (1_u64..130_000).prop_map(Step::Write),
            2 => Just(Step::FillLast),
            1 => Just(Step::FillFurther),
            4 => proptest::collection::vec(1_u64..20_000, 2..5).prop_map(Step::Together),
            1 => Just(Step::Aside),
        ]
    }

    proptest! {
        #[test]
        fn the_files_stay_within_the_budget(
            disk in (1_u64 << 20)..(4 << 20), steps in proptest::collection::vec(step(), 1..300),
        ) {
            let (mut log, mut refused) = (Extent { bytes: SEGMENT, left: SEGMENT - 4096 }, 0);
            for step in steps {
                let room = Room::of(log, refused, disk, SEGMENT);
                prop_assert!(room.used <= disk);
                let together = match step {
                    Step::Write(bytes) => vec![bytes],
                    Step::FillLast => vec![room.last],
                    Step::FillFurther => vec![room.further],
                    Step::Together(batches) => batches,
                    Step::Aside => {
                        refused += if room.rest(0) >= SEGMENT { SEGMENT } else { 0 };
                        continue;
                    }
                };
                let (mut in_flight, mut batches) = (0, Vec::new());
                for bytes in together.into_iter().filter(|bytes| *bytes > 0) {
                    let Some(most) = room.batch(bytes, in_flight) else { break };
                    prop_assert!(bytes <= most);
                    in_flight += bytes;
                    batches.push(bytes);
                }
                for bytes in batches {
                    if write(&mut log, bytes) {
                        let left = Room::of(log, refused, disk, SEGMENT).rest(0);
                        prop_assert!(left >= SEGMENT, "{} left for one that is set aside", left);
                    }
                }
                let files = log.bytes + refused;
                prop_assert!(files + UNCOUNTED * SEGMENT <= disk, "{} of {}", files, disk);
            }
        }
    }

    #[test]
    fn segments_begun_because_others_failed_hold_no_records() {
        let disk = 1 << 20;
        let room = |segments: u64| {
            let bytes = segments * SEGMENT;
            Room::of(Extent { bytes, left: SEGMENT - 4096 }, 0, disk, SEGMENT).batch(100, 0)
        };
        let most = disk / SEGMENT - UNCOUNTED - 1;
        assert!(room(most).is_some() && room(most + 1).is_some(), "one was begun for a progress");
        assert_eq!((room(most + 2), room(most + 3)), (None, None));
    }

    #[test]
    fn what_is_on_its_way_is_not_given_away() {
        let log = Extent { bytes: SEGMENT, left: 10_000 };
        let room = Room::of(log, 0, 1 << 20, SEGMENT);
        let rest = (1 << 20) - (UNCOUNTED + 1) * SEGMENT;
        assert_eq!((room.rest(0), room.rest(5_000)), (rest, rest), "the last segment has room for it");
        assert_eq!(room.rest(20_000), rest - SEGMENT);
        assert_eq!(room.rest(100_000), rest - 100_000 - AROUND);
    }
}
