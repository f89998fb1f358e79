//! Whether what was delivered is what was promised.

use super::commits::{Commits, Committed};
use super::faults::Events;
use super::load::Written;
use super::service::Delivery;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, SystemTime};

/// A disturbance before a second delivery explains it for so long: a session, a rebalance, a restarted broker.
const EXPLAINS: Duration = Duration::from_secs(45);
/// From an owner's reading of the group's position to its first delivery, at the most: a fetch through the faults. A
/// commit that a client could not get rid of before it lost its partitions may be taken in between.
const BEGUN_WITHIN: Duration = Duration::from_secs(15);
/// From the service's answer to the settling of a record, at the most: a claim's fsync, on a machine that is busy.
const SETTLED_WITHIN: Duration = Duration::from_secs(2);

pub(crate) struct Checker<'a> {
    written: &'a Written,
    deliveries: &'a [Delivery],
    events: &'a Events,
    commits: &'a Commits,
}

/// What was found; all but the last must be empty.
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
    /// A second delivery under an owner that began after the record was committed.
    committed: Vec<String>,
    /// A second delivery of a record that its owner's commits left out although it was finished.
    forgotten: Vec<String>,
    deliveries: usize,
    assignments: usize,
    again: Again,
}

/// Second and further deliveries.
#[derive(Debug, Default, PartialEq, Eq)]
struct Again {
    /// Of records that had no answer.
    in_flight: usize,
    /// Of records that were finished and not committed, with how long their owner went on after.
    finished: Vec<Duration>,
}

type Owner = (u64, u64);

impl<'a> Checker<'a> {
    pub(crate) fn new(
        written: &'a Written,
        deliveries: &'a [Delivery],
        events: &'a Events,
        commits: &'a Commits,
    ) -> Self {
        Self { written, deliveries, events, commits }
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
        let mut before: BTreeMap<&str, Vec<&Delivery>> = BTreeMap::new();
        let spans = self.spans();
        for delivery in self.deliveries {
            let token = &*delivery.token;
            if !self.written.acked.contains(token) && !self.written.unknown.contains(token) {
                verdict.unwritten.push(token.to_owned());
            }
            let before = before.entry(token).or_default();
            if !before.is_empty() {
                self.again(before, delivery, &spans, verdict);
            }
            before.push(delivery);
        }
        let lost = self.written.acked.iter().filter(|token| !before.contains_key(&***token));
        verdict.lost = lost.cloned().collect();
    }

    /// When each owner of a partition had its first and its last delivery.
    fn spans(&self) -> BTreeMap<(Owner, u32), (SystemTime, SystemTime)> {
        let mut spans = BTreeMap::new();
        for delivery in self.deliveries {
            let span =
                spans.entry((delivery.owner, delivery.partition)).or_insert((delivery.at, delivery.at));
            span.1 = span.1.max(delivery.at);
        }
        spans
    }

    fn again(
        &self,
        before: &[&Delivery],
        delivery: &Delivery,
        spans: &BTreeMap<(Owner, u32), (SystemTime, SystemTime)>,
        verdict: &mut Verdict,
    ) {
        let first = before[0];
        if (first.partition, first.offset) != (delivery.partition, delivery.offset) {
            verdict.misnamed.push(format!("{first:?} and {delivery:?}"));
        }
        let disturbed = |(at, _): &(SystemTime, &str)| {
            delivery.at.duration_since(*at).is_ok_and(|since| since <= EXPLAINS)
        };
        let other = before.iter().all(|before| before.owner != delivery.owner);
        if !other || !self.events.at.iter().any(disturbed) {
            verdict.unexplained.push(format!("{before:?} and {delivery:?}"));
        }
        let began = spans[&(delivery.owner, delivery.partition)].0;
        let commits = self.commits.get(&delivery.partition).map_or(&[][..], Vec::as_slice);
        if let Some(commit) =
            commits.iter().find(|commit| commit.at + BEGUN_WITHIN < began && commit.covers(delivery.offset))
        {
            verdict.committed.push(format!("{delivery:?} after {commit:?}; before: {before:?}"));
        }
        let finished = before.iter().filter_map(|before| Some((before.answered?, before.owner))).min();
        let Some((finished, owner)) = finished else {
            verdict.again.in_flight += 1;
            return;
        };
        let last = spans[&(owner, delivery.partition)].1;
        let frozen = self.events.frozen.iter().filter(|(who, at)| *who == owner.0 && *at >= finished);
        let stopped = frozen.map(|(_, at)| *at).min().map_or(last, |frozen| frozen.min(last));
        let went_on = stopped.duration_since(finished).unwrap_or_default();
        verdict.again.finished.push(went_on);
        let own = commits.iter().filter(|commit| {
            finished + SETTLED_WITHIN < commit.at && commit.at <= stopped && commit.at < began
        });
        if let Some(commit) = left_out(own, delivery.offset) {
            verdict.forgotten.push(format!("{before:?} and {delivery:?}, not in {commit:?}"));
        }
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
        let mut last: BTreeMap<(Owner, u32, &str), u64> = BTreeMap::new();
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

/// The commit that proves that `offset` was forgotten. How long no commit gets through is the faults' doing, so time
/// proves nothing; nor does one commit, which may have been under way since before.
fn left_out<'a>(mut commits: impl Iterator<Item = &'a Committed>, offset: u64) -> Option<&'a Committed> {
    let under_way = commits.find(|commit| commit.leaves_out(offset))?;
    commits.find(|commit| commit.leaves_out(offset) && !commit.says_as(under_way))
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
            ("delivered again after its commit", &self.committed),
            ("finished and left out by later commits", &self.forgotten),
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
        let mut went_on = again.finished.clone();
        went_on.sort();
        let at = |part: usize| went_on.get(went_on.len().saturating_sub(1) * part / 100).copied();
        write!(
            f,
            "{} lost, {} out of order, {deliveries} deliveries under {assignments} assignments; again: {} in flight, {} \
             finished, whose owner went on for {:.1?} (median), {:.1?} (nine of ten), {:.1?} (longest)",
            lost.len(),
            disorder.len(),
            again.in_flight,
            went_on.len(),
            at(50).unwrap_or_default(),
            at(90).unwrap_or_default(),
            at(100).unwrap_or_default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::commits::Committed;
    use super::*;

    fn ms(after: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(after)
    }

    /// Answered 5 ms later.
    fn delivery(owner: Owner, offset: u64, token: &str, at: u64) -> Delivery {
        let (key, token, answered) = ("k".to_owned(), token.to_owned(), Some(ms(at + 5)));
        Delivery { owner, partition: 0, offset, key, token, at: ms(at), answered }
    }

    fn events() -> Events {
        let mut events = Events::default();
        events.at.push((ms(0), "a fault"));
        events
    }

    fn verdict(tokens: &[&str], deliveries: &[Delivery], events: &Events, commits: &Commits) -> Verdict {
        let acked = tokens.iter().map(ToString::to_string).collect();
        let written = Written { acked, unknown: BTreeSet::new() };
        Checker::new(&written, deliveries, events, commits).check()
    }

    const OLD: Owner = (1, 1);
    const NEW: Owner = (2, 1);

    #[test]
    fn a_replay_under_a_new_owner_after_a_fault_is_fine_and_nothing_else_is() {
        let none = Commits::new();
        let mut replay = [
            delivery(OLD, 0, "a", 0),
            delivery(OLD, 1, "b", 100),
            delivery(NEW, 0, "a", 200),
            delivery(NEW, 1, "b", 300),
        ];
        let good = verdict(&["a", "b"], &replay, &events(), &none);
        good.assert_good_but_moves();
        assert_eq!(good.again, Again { in_flight: 0, finished: [95, 0].map(Duration::from_millis).into() });
        assert_eq!(good.assignments, 2);
        assert_eq!(verdict(&["a", "b"], &replay, &Events::default(), &none).unexplained.len(), 2);
        assert_eq!(verdict(&["a", "b", "c"], &replay, &events(), &none).lost, ["c"]);
        assert_eq!(verdict(&["a"], &replay, &events(), &none).unwritten.len(), 2);
        let twice = [delivery(OLD, 0, "a", 0), delivery(OLD, 0, "a", 100)];
        let bad = verdict(&["a"], &twice, &events(), &none);
        assert_eq!((bad.unexplained.len(), bad.backwards.len()), (1, 1));
        let renamed = [delivery(OLD, 0, "a", 0), delivery(NEW, 1, "a", 1)];
        assert_eq!(verdict(&["a"], &renamed, &events(), &none).misnamed.len(), 1);
        let disorder = [delivery(OLD, 1, "b", 0), delivery(NEW, 0, "a", 1)];
        assert_eq!(verdict(&["a", "b"], &disorder, &events(), &none).disorder.len(), 1);
        replay[1].answered = None;
        assert_eq!(verdict(&["a", "b"], &replay, &events(), &none).again.in_flight, 1);
    }

    #[test]
    fn what_was_committed_must_not_come_again_and_what_is_finished_is_in_the_commits_after() {
        let last = 20_000;
        let replay = [
            delivery(OLD, 10, "a", 0),
            delivery(OLD, 11, "b", last),
            delivery(NEW, 10, "a", last + 500),
            delivery(NEW, 11, "b", last + 600),
        ];
        let bad = |events: &Events, commits: &[(u64, u64)]| {
            let of = |(at, watermark): &(u64, u64)| Committed::of(ms(*at), *watermark);
            let commits = Commits::from([(0, commits.iter().map(of).collect())]);
            let verdict = verdict(&["a", "b"], &replay, events, &commits);
            (verdict.committed.len(), verdict.forgotten.len())
        };
        assert_eq!(bad(&events(), &[]), (0, 0), "nothing got through");
        assert_eq!(bad(&events(), &[(3_000, 11)]), (1, 0), "committed, and again");
        assert_eq!(bad(&events(), &[(last, 11)]), (0, 0), "its new owner had read the position before");
        assert_eq!(bad(&events(), &[(last + 550, 11)]), (0, 0), "committed by its new owner");
        assert_eq!(bad(&events(), &[(5_000, 7), (6_000, 8)]), (0, 1), "left out");
        assert_eq!(bad(&events(), &[(5_000, 7), (6_000, 7)]), (0, 0), "one commit, sent twice");
        assert_eq!(bad(&events(), &[(1_000, 7), (6_000, 8)]), (0, 0), "the first may be from before");
        assert_eq!(bad(&events(), &[(5_000, 7), (last + 100, 8)]), (0, 0), "not its owner's any more");
        let mut frozen = events();
        frozen.frozen.push((1, ms(5_500)));
        assert_eq!(bad(&frozen, &[(5_000, 7), (6_000, 8)]), (0, 0), "its owner could not");
    }

    impl Verdict {
        fn assert_good_but_moves(&self) {
            let all = [&self.lost, &self.unwritten, &self.misnamed, &self.disorder, &self.backwards];
            let more = [&self.unexplained, &self.committed, &self.forgotten];
            assert!(all.into_iter().chain(more).all(Vec::is_empty), "{self:#?}");
        }
    }
}
