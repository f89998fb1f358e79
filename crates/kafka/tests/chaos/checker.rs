//! Whether what was delivered is what was promised.

use super::faults::Events;
use super::load::Written;
use super::service::Delivery;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// A disturbance before a second delivery explains it for so long: a session, a rebalance, a restarted broker.
const EXPLAINS: Duration = Duration::from_secs(45);

pub(crate) struct Checker<'a> {
    written: &'a Written,
    deliveries: &'a [Delivery],
    events: &'a Events,
}

/// What was found; all but the last three must be empty.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Acknowledged writes that were never delivered.
    lost: Vec<String>,
    /// Deliveries that nobody wrote.
    unwritten: Vec<String>,
    /// One token at two places: another record under its name.
    misnamed: Vec<String>,
    /// First deliveries of a key's records out of their order.
    disorder: Vec<String>,
    /// Within one assignment a key went back, or a record came twice.
    backwards: Vec<String>,
    /// A second delivery without a change of owner, or without a fault that explains it.
    unexplained: Vec<String>,
    deliveries: usize,
    assignments: usize,
    /// Second and further deliveries.
    again: usize,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(written: &'a Written, deliveries: &'a [Delivery], events: &'a Events) -> Self {
        Self { written, deliveries, events }
    }

    pub(crate) fn check(&self) -> Verdict {
        let mut verdict = Verdict { deliveries: self.deliveries.len(), ..Verdict::default() };
        self.tokens(&mut verdict);
        self.order(&mut verdict);
        self.polls(&mut verdict);
        verdict
    }

    /// Lost, unwritten, and what came again.
    fn tokens(&self, verdict: &mut Verdict) {
        let mut first: BTreeMap<&str, &Delivery> = BTreeMap::new();
        let mut owners: BTreeSet<(&str, (u64, u64))> = BTreeSet::new();
        for delivery in self.deliveries {
            let token = &*delivery.token;
            if !self.written.acked.contains(token) && !self.written.unknown.contains(token) {
                verdict.unwritten.push(token.to_owned());
            }
            let fresh_owner = owners.insert((token, delivery.owner));
            let Some(before) = first.get(token) else {
                first.insert(token, delivery);
                continue;
            };
            verdict.again += 1;
            if (before.partition, before.offset) != (delivery.partition, delivery.offset) {
                verdict.misnamed.push(format!("{before:?} and {delivery:?}"));
            }
            let disturbed = |(at, _): &&(std::time::Instant, &str)| {
                *at <= delivery.at && delivery.at.duration_since(*at) <= EXPLAINS
            };
            if !fresh_owner || self.events.at.iter().find(disturbed).is_none() {
                verdict.unexplained.push(format!("{before:?} and {delivery:?}"));
            }
        }
        let lost = self.written.acked.iter().filter(|token| !first.contains_key(&***token));
        verdict.lost = lost.cloned().collect();
    }

    /// A key's records, by their first deliveries. A new partition may take a key over, so by partition.
    fn order(&self, verdict: &mut Verdict) {
        let mut seen = BTreeSet::new();
        let mut last: BTreeMap<(u32, &str), u64> = BTreeMap::new();
        for delivery in self.deliveries {
            if !seen.insert((delivery.partition, delivery.offset)) {
                continue;
            }
            let last = last.entry((delivery.partition, &delivery.key)).or_insert(delivery.offset);
            if delivery.offset < *last {
                verdict.disorder.push(format!("{delivery:?} after offset {last}"));
            }
            *last = delivery.offset;
        }
    }

    /// Under one assignment a key only goes forward.
    fn polls(&self, verdict: &mut Verdict) {
        let mut last: BTreeMap<((u64, u64), u32, &str), u64> = BTreeMap::new();
        let mut assignments = BTreeSet::new();
        for delivery in self.deliveries {
            assignments.insert((delivery.owner, delivery.partition));
            let before = last.insert((delivery.owner, delivery.partition, &delivery.key), delivery.offset);
            if before.is_some_and(|before| before >= delivery.offset) {
                verdict.backwards.push(format!("{delivery:?} after {before:?}"));
            }
        }
        verdict.assignments = assignments.len();
    }
}

impl Verdict {
    pub(crate) fn assert_good(&self, seed: u64) {
        for (what, found) in [
            ("acknowledged and never delivered", &self.lost),
            ("delivered and never written", &self.unwritten),
            ("one token for two records", &self.misnamed),
            ("a key out of order", &self.disorder),
            ("an assignment that went back", &self.backwards),
            ("delivered again without a reason", &self.unexplained),
        ] {
            let some = &found[..found.len().min(5)];
            assert!(found.is_empty(), "SEAWALL_SEED={seed}: {what}: {}: {some:#?}", found.len());
        }
        assert!(self.assignments > super::PARTITIONS as usize, "the group never moved");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, deliveries, assignments, again, disorder, .. } = self;
        write!(
            f,
            "{} lost, {} out of order, {deliveries} deliveries under {assignments} assignments, {again} again",
            lost.len(),
            disorder.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn delivery(owner: (u64, u64), offset: u64, token: &str) -> Delivery {
        let (key, token) = ("k".to_owned(), token.to_owned());
        Delivery { owner, partition: 0, offset, key, token, at: Instant::now() }
    }

    fn verdict(tokens: &[&str], deliveries: &[Delivery], disturbed: bool) -> Verdict {
        let acked = tokens.iter().map(ToString::to_string).collect();
        let written = Written { acked, unknown: BTreeSet::new() };
        let mut events = Events::default();
        if disturbed {
            events.at.push((deliveries[0].at, "a fault"));
        }
        Checker::new(&written, deliveries, &events).check()
    }

    #[test]
    fn a_replay_under_a_new_owner_after_a_fault_is_fine_and_nothing_else_is() {
        let (old, new) = ((1, 1), (2, 1));
        let replay =
            [delivery(old, 0, "a"), delivery(old, 1, "b"), delivery(new, 0, "a"), delivery(new, 1, "b")];
        let good = verdict(&["a", "b"], &replay, true);
        good.assert_good_but_moves();
        assert_eq!((good.again, good.assignments), (2, 2));
        assert_eq!(verdict(&["a", "b"], &replay, false).unexplained.len(), 2);
        assert_eq!(verdict(&["a", "b", "c"], &replay, true).lost, ["c"]);
        assert_eq!(verdict(&["a"], &replay, true).unwritten.len(), 2);
        let twice = [delivery(old, 0, "a"), delivery(old, 0, "a")];
        let bad = verdict(&["a"], &twice, true);
        assert_eq!((bad.unexplained.len(), bad.backwards.len()), (1, 1));
        let renamed = [delivery(old, 0, "a"), delivery(new, 1, "a")];
        assert_eq!(verdict(&["a"], &renamed, true).misnamed.len(), 1);
        let disorder = [delivery(old, 1, "b"), delivery(new, 0, "a")];
        assert_eq!(verdict(&["a", "b"], &disorder, true).disorder.len(), 1);
    }

    impl Verdict {
        fn assert_good_but_moves(&self) {
            let all = [&self.lost, &self.unwritten, &self.misnamed, &self.disorder, &self.backwards];
            assert!(all.into_iter().chain([&self.unexplained]).all(Vec::is_empty), "{self:#?}");
        }
    }
}
