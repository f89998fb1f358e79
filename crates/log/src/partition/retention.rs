//! What may go.
//!
//! Whole segments from the front, never the one being written. A segment goes when the partition would still
//! hold at least `bytes` without it, or when it was sealed longer than `age` ago (all its records are older
//! than that). Like Kafka's, retention asks no consumer group: a group that is too slow loses records. That is
//! counted and warned about, by group and partition.

use seawall_core::{Offset, WallMs};
use seawall_wal::SegmentInfo;
use std::time::Duration;

/// The bounds of one topic.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rule {
    pub(crate) bytes: Option<u64>,
    pub(crate) age: Option<Duration>,
}

impl Rule {
    /// Everything below the answer may go.
    pub(crate) fn cut(&self, segments: &[SegmentInfo], now: WallMs) -> Option<Offset> {
        let mut left: u64 = segments.iter().map(|segment| segment.bytes).sum();
        let mut cut = None;
        for segment in segments {
            let Some(sealed) = segment.sealed else { break };
            let age = u64::try_from(now.0.saturating_sub(sealed.0)).unwrap_or(0);
            let too_old = self.age.is_some_and(|bound| u128::from(age) >= bound.as_millis());
            let too_much = self.bytes.is_some_and(|bound| left - segment.bytes >= bound);
            if !too_old && !too_much {
                break;
            }
            left -= segment.bytes;
            cut = Some(segment.next);
        }
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments() -> Vec<SegmentInfo> {
        (0..4_u64)
            .map(|n| SegmentInfo {
                path: format!("{n}").into(),
                first: n * 10,
                next: n * 10 + 10,
                bytes: 100,
                capacity: 100,
                created: WallMs(n as i64 * 1000),
                sealed: (n < 3).then_some(WallMs(n as i64 * 1000 + 1000)),
            })
            .collect()
    }

    #[test]
    fn size_keeps_at_least_the_bound() {
        let cut = |bytes| Rule { bytes: Some(bytes), age: None }.cut(&segments(), WallMs(0));
        assert_eq!(cut(400), None);
        assert_eq!(cut(301), None);
        assert_eq!(cut(300), Some(10));
        assert_eq!(cut(150), Some(20));
        assert_eq!(cut(1), Some(30), "the segment being written stays");
    }

    #[test]
    fn age_counts_from_the_sealing() {
        let age = Some(Duration::from_secs(5));
        let cut = |now| Rule { bytes: None, age }.cut(&segments(), WallMs(now));
        assert_eq!(cut(5999), None);
        assert_eq!(cut(6000), Some(10));
        assert_eq!(cut(1_000_000), Some(30));
        assert_eq!(cut(-1_000_000), None, "a wall clock that went back deletes nothing");
    }

    #[test]
    fn without_bounds_everything_stays() {
        assert_eq!(Rule::default().cut(&segments(), WallMs(i64::MAX)), None);
    }
}
