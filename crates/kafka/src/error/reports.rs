//! How often it is said that brokers cannot be reached: a client says so several times a second, for as long as they are away.

use rdkafka::types::RDKafkaErrorCode as Code;
use seawall_core::Nanos;
use std::collections::BTreeMap;
use std::time::Duration;

/// As often is each kind of trouble told at most.
const TOLD_EVERY: Duration = Duration::from_mins(1);

/// What was told of each kind.
#[derive(Debug, Default)]
pub(super) struct Reports(BTreeMap<i32, Told>);

#[derive(Debug)]
struct Told {
    at: Nanos,
    /// How often it came since, and was not told.
    left_out: u64,
}

impl Reports {
    /// Whether a report that comes at `now` is to be told; if so, how many like it were left out before.
    pub(super) fn hear(&mut self, code: Option<Code>, now: Nanos) -> Option<u64> {
        let code = code.map_or(i32::MIN, |code| code as i32);
        match self.0.get_mut(&code) {
            Some(told) if now < told.at.plus(TOLD_EVERY) => {
                told.left_out += 1;
                None
            }
            before => {
                let left_out = before.map_or(0, |told| told.left_out);
                let _ = self.0.insert(code, Told { at: now, left_out: 0 });
                Some(left_out)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_at_once_and_then_seldom_with_how_many_were_left_out() {
        let (mut reports, begun) = (Reports::default(), Nanos(0));
        let (down, refused) = (Some(Code::AllBrokersDown), Some(Code::Authentication));
        assert_eq!(reports.hear(down, begun), Some(0));
        for tenth in 1..600 {
            assert_eq!(reports.hear(down, begun.plus(Duration::from_millis(100 * tenth))), None);
        }
        assert_eq!(reports.hear(refused, begun), Some(0), "another kind is told at once");
        assert_eq!(reports.hear(down, begun.plus(TOLD_EVERY)), Some(599));
        assert_eq!(reports.hear(down, begun.plus(TOLD_EVERY + Duration::from_secs(1))), None);
        assert_eq!(reports.hear(None, begun), Some(0));
    }
}
