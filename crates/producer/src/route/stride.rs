//! How much goes into one call: little where the way is narrow.
//!
//! **Of the backlog.** What a call carries counts as delivered only once the call has ended. Over a narrow way a large one takes longer than the
//! way is open, and every window would begin with the same records again. So each lane begins small after a start or a
//! failure, and doubles as long as calls come back soon.
//!
//! **Of live records.** A lane has one call on its way, so what a call may carry bounds what is under way, and with it
//! the throughput. Where calls come back soon they may carry more; but a call that takes longer than the patience has its
//! records written to the disk as well, so what takes half of that carries less.

use std::time::Duration;

const FIRST_BYTES: usize = 4 << 10;
/// A live call that carries no more is never made smaller: only `batch_bytes` does that.
const FIRST_LIVE_BYTES: usize = 1_000_000;
const LAST_BYTES: usize = 1 << 30;
/// A call that took less could have carried more.
const SOON: Duration = Duration::from_millis(250);
/// One that took more should have carried less.
const LATE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Stride {
    bytes: usize,
    first: usize,
    soon: Duration,
    late: Duration,
}

impl Stride {
    pub(crate) fn of_replay() -> Self {
        Self { bytes: FIRST_BYTES, first: FIRST_BYTES, soon: SOON, late: LATE }
    }

    pub(crate) fn of_live(patience: Duration) -> Self {
        let (bytes, first) = (FIRST_LIVE_BYTES, FIRST_LIVE_BYTES);
        Self { bytes, first, soon: patience / 5, late: patience / 2 }
    }

    /// The most bytes of the next call.
    pub(crate) fn bytes(self) -> usize {
        self.bytes
    }

    /// A call of `bytes` came back after `took`; `whole`: with everything it carried.
    pub(crate) fn count(&mut self, bytes: usize, took: Duration, whole: bool) {
        if !whole {
            self.bytes = self.first;
        } else if took > self.late {
            self.bytes = (self.bytes / 2).max(self.first);
        } else if took < self.soon && bytes > self.bytes / 2 {
            self.bytes = (self.bytes * 2).min(LAST_BYTES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends over a way of so many bytes a second with this round trip; the time until `total` bytes are over, and the
    /// longest call once the first ten are.
    fn send(bytes_per_second: usize, round_trip: Duration, total: usize) -> (Duration, Duration) {
        let (mut stride, mut sent, mut time, mut longest) =
            (Stride::of_replay(), 0, Duration::ZERO, Duration::ZERO);
        for nth in 0.. {
            if sent >= total {
                break;
            }
            let bytes = stride.bytes().min(1_000_000);
            let took = round_trip + Duration::from_secs_f64(bytes as f64 / bytes_per_second as f64);
            stride.count(bytes, took, true);
            (sent, time) = (sent + bytes, time + took);
            if nth >= 10 {
                longest = longest.max(took);
            }
        }
        (time, longest)
    }

    #[test]
    fn a_call_is_short_on_a_narrow_way_and_large_on_a_wide_one() {
        for bytes_per_second in [6 << 10, 64 << 10, 1 << 20] {
            let (time, longest) = send(bytes_per_second, Duration::from_millis(60), 20 * bytes_per_second);
            assert!(longest <= LATE, "{bytes_per_second}: {longest:?}");
            assert!(time < Duration::from_secs(30), "{bytes_per_second}: {time:?}");
        }
        let (time, _) = send(200 << 20, Duration::from_millis(3), 100 << 20);
        assert!(time < Duration::from_secs(1), "{time:?}");
    }

    #[test]
    fn a_way_that_becomes_narrow_gets_less_and_never_nothing() {
        let (mut stride, mut before) =
            (Stride { bytes: 32 * FIRST_BYTES, ..Stride::of_replay() }, 32 * FIRST_BYTES);
        while before > FIRST_BYTES {
            stride.count(before, LATE + SOON, true);
            assert_eq!(stride.bytes(), before / 2);
            before = stride.bytes();
        }
        stride.count(before, LATE + SOON, true);
        assert_eq!(stride.bytes(), FIRST_BYTES);
    }

    #[test]
    fn a_failure_begins_small_again() {
        let mut stride = Stride::of_replay();
        for _ in 0..8 {
            stride.count(stride.bytes(), Duration::ZERO, true);
        }
        assert_eq!(stride.bytes(), FIRST_BYTES << 8);
        stride.count(100, Duration::ZERO, true);
        assert_eq!(stride.bytes(), FIRST_BYTES << 8, "what was small says nothing");
        stride.count(100, Duration::ZERO, false);
        assert_eq!(stride.bytes(), FIRST_BYTES);
    }

    #[test]
    fn a_live_call_grows_while_the_sink_is_quick_and_never_below_where_it_began() {
        let patience = Duration::from_millis(500);
        let mut stride = Stride::of_live(patience);
        let mut after = |took: u64, whole| {
            stride.count(stride.bytes(), Duration::from_millis(took), whole);
            stride.bytes() / FIRST_LIVE_BYTES
        };
        assert_eq!([after(20, true), after(99, true), after(100, true)], [2, 4, 4]);
        assert_eq!([after(251, true), after(400, true), after(400, true)], [2, 1, 1]);
        assert_eq!([after(20, true), after(20, false)], [2, 1]);
    }
}
