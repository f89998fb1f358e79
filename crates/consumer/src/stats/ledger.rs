//! Conservation: what was fetched is acknowledged, dead-lettered, deferred, parked or in flight, and nothing else.

/// The balance of one partition under one assignment.
///
/// Each entry is counted where it happens, by different hands: `fetched`, `acked` and `dead_lettered` by the
/// tracker as it takes offsets in and lets them go, `parked` and `in_flight` by the lanes as records move
/// between them. A record lost between the two shows as an imbalance, and so does one settled twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Records taken from the source under this assignment; what an earlier one had settled is not counted.
    pub fetched: u64,
    /// Acknowledged, repeats that the claim store recognised included.
    pub acked: u64,
    /// Confirmed by the dead letters' sink.
    pub dead_lettered: u64,
    /// Confirmed by a retry topic, from where it is fetched again as a record of that topic.
    pub deferred: u64,
    /// Waiting behind a failure: in memory, or unread in the source.
    pub parked: u64,
    /// Waiting for a turn, being handled, or handled and being settled.
    pub in_flight: u64,
    /// Gone from the source while they were waiting there, by its retention; reported at error level.
    pub vanished: u64,
}

impl Ledger {
    /// Zero, or a bug: records unaccounted for (positive) or accounted for twice (negative).
    pub fn imbalance(&self) -> i64 {
        // A record settled twice takes `in_flight` below zero, which wraps: that must show, not panic.
        let out = [self.acked, self.dead_lettered, self.deferred, self.parked, self.in_flight, self.vanished];
        let out = out.into_iter().fold(0, u64::wrapping_add);
        (self.fetched as i64).wrapping_sub(out as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_settled_twice_shows_as_an_imbalance() {
        // The second time nothing more is counted as acknowledged.
        let twice = Ledger { fetched: 1, acked: 1, in_flight: 0_u64.wrapping_sub(1), ..Ledger::default() };
        assert_eq!(twice.imbalance(), 1);
        let lost = Ledger { fetched: 3, acked: 1, in_flight: 1, ..Ledger::default() };
        assert_eq!(lost.imbalance(), 1);
        assert_eq!(Ledger { fetched: 2, acked: 1, in_flight: 1, ..Ledger::default() }.imbalance(), 0);
    }
}
