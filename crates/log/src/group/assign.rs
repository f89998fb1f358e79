//! Who reads what: a pure decision.
//!
//! Balanced first, sticky second: every partition a member may read is given out, for each topic the members
//! that want it differ by at most one partition overall where their topics allow it, and within that as few
//! partitions as possible move. The answer depends on nothing but the arguments, so every run of a simulation
//! and every reader of a log sees the same one.

use seawall_core::TopicPartition;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Names a member within its group, in the order of joining.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

/// Which member shall own each partition.
///
/// `members`: the topics each member reads. `partitions`: how many partitions each topic has. `owned`: who owns
/// what now; owners that are not members count as none. A partition whose topic nobody reads is left out.
pub fn assign(
    members: &BTreeMap<MemberId, BTreeSet<Arc<str>>>,
    partitions: &BTreeMap<Arc<str>, u32>,
    owned: &BTreeMap<TopicPartition, MemberId>,
) -> BTreeMap<TopicPartition, MemberId> {
    let mut load: BTreeMap<MemberId, Vec<TopicPartition>> =
        members.keys().map(|member| (*member, Vec::new())).collect();
    let mut free = Vec::new();
    for (topic, count) in partitions {
        for partition in 0..*count {
            let tp = TopicPartition { topic: Arc::clone(topic), partition };
            let owner = owned.get(&tp).copied().filter(|owner| wants(members, *owner, topic));
            match owner.and_then(|owner| load.get_mut(&owner)) {
                Some(mine) => mine.push(tp),
                None => free.push(tp),
            }
        }
    }
    for tp in free {
        let least = members
            .keys()
            .filter(|member| wants(members, **member, &tp.topic))
            .min_by_key(|member| (load[*member].len(), **member));
        if let Some(mine) = least.and_then(|member| load.get_mut(member)) {
            mine.push(tp);
        }
    }
    while let Some((from, at, to)) = next_move(members, &load) {
        let moved = load.get_mut(&from).map(|mine| mine.remove(at));
        if let (Some(tp), Some(mine)) = (moved, load.get_mut(&to)) {
            mine.push(tp);
        }
    }
    load.into_iter().flat_map(|(member, mine)| mine.into_iter().map(move |tp| (tp, member))).collect()
}

fn wants(members: &BTreeMap<MemberId, BTreeSet<Arc<str>>>, member: MemberId, topic: &Arc<str>) -> bool {
    members.get(&member).is_some_and(|topics| topics.contains(topic))
}

/// A move from a member to one that has at least two partitions fewer: each shrinks the sum of squares, so
/// there are finitely many.
fn next_move(
    members: &BTreeMap<MemberId, BTreeSet<Arc<str>>>,
    load: &BTreeMap<MemberId, Vec<TopicPartition>>,
) -> Option<(MemberId, usize, MemberId)> {
    let mut from: Vec<_> = load.iter().collect();
    from.sort_by_key(|(member, mine)| (std::cmp::Reverse(mine.len()), **member));
    let mut to = from.clone();
    to.reverse();
    for (giver, mine) in &from {
        for (taker, theirs) in &to {
            if mine.len() < theirs.len() + 2 {
                break;
            }
            // The youngest partition goes, so that the long-held ones stay warm.
            let movable = mine.iter().rposition(|tp| wants(members, **taker, &tp.topic));
            if let Some(at) = movable {
                return Some((**giver, at, **taker));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn topics(names: &[&str]) -> BTreeSet<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    #[test]
    fn a_second_member_takes_half_and_nothing_else_moves() {
        let partitions = [(Arc::from("t"), 8)].into_iter().collect();
        let one = [(MemberId(1), topics(&["t"]))].into_iter().collect();
        let before = assign(&one, &partitions, &BTreeMap::new());
        assert_eq!(before.len(), 8);
        let two = [(MemberId(1), topics(&["t"])), (MemberId(2), topics(&["t"]))].into_iter().collect();
        let after = assign(&two, &partitions, &before);
        assert_eq!(after.values().filter(|m| **m == MemberId(2)).count(), 4);
        assert_eq!(before.iter().filter(|(tp, m)| after[*tp] != **m).count(), 4);
    }

    proptest! {
        #[test]
        fn complete_balanced_and_stable(
            counts in proptest::collection::vec(1_u32..20, 1..4),
            wanted in proptest::collection::vec(proptest::collection::vec(any::<bool>(), 4), 1..6),
            leaving in any::<proptest::sample::Index>(),
        ) {
            let names: Vec<Arc<str>> = (0..counts.len()).map(|i| Arc::from(format!("t{i}"))).collect();
            let partitions: BTreeMap<_, _> = names.iter().cloned().zip(counts.iter().copied()).collect();
            let mut members: BTreeMap<MemberId, BTreeSet<Arc<str>>> = wanted.iter().enumerate().map(|(i, wants)| {
                let set = names.iter().zip(wants).filter(|(_, w)| **w).map(|(n, _)| n.clone()).collect();
                (MemberId(i as u64), set)
            }).collect();
            let first = assign(&members, &partitions, &BTreeMap::new());
            check(&members, &partitions, &first)?;
            prop_assert_eq!(&assign(&members, &partitions, &first), &first, "a settled group moves nothing");

            members.remove(&MemberId(leaving.index(wanted.len()) as u64));
            let second = assign(&members, &partitions, &first);
            check(&members, &partitions, &second)?;
        }
    }

    fn check(
        members: &BTreeMap<MemberId, BTreeSet<Arc<str>>>,
        partitions: &BTreeMap<Arc<str>, u32>,
        target: &BTreeMap<TopicPartition, MemberId>,
    ) -> Result<(), TestCaseError> {
        for (topic, count) in partitions {
            let wanted = members.values().any(|topics| topics.contains(topic));
            let given = target.keys().filter(|tp| tp.topic == *topic).count();
            prop_assert_eq!(given, if wanted { *count as usize } else { 0 });
        }
        for (tp, member) in target {
            prop_assert!(members[member].contains(&tp.topic));
        }
        let every: BTreeSet<_> = partitions.keys().cloned().collect();
        if members.values().all(|topics| *topics == every) {
            let loads: Vec<_> = members.keys().map(|m| target.values().filter(|o| *o == m).count()).collect();
            let (low, high) = (loads.iter().min().copied(), loads.iter().max().copied());
            prop_assert!(high.unwrap_or(0) - low.unwrap_or(0) <= 1);
        }
        Ok(())
    }
}
