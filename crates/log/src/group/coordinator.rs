//! The state of a group's membership, without I/O and without a clock of its own.
//!
//! Rebalancing is cooperative. When the wanted assignment changes, a partition that shall move is first
//! *revoked* from its owner, who finishes, commits and releases it; only then does the new owner get it. What
//! stays with its owner goes on undisturbed and keeps its generation. An owner that does not release within the
//! bound *loses* the partition: it goes to the next one under a higher generation, and the late owner's commits
//! are refused from then on.

use crate::group::assign::{MemberId, assign};
use seawall_core::{Generation, Nanos, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What a member is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    Assigned { partition: TopicPartition, generation: Generation },
    Revoked { partition: TopicPartition, generation: Generation },
    Lost { partition: TopicPartition, generation: Generation },
}

/// To whom which notice goes, in order.
pub(crate) type Notices = Vec<(MemberId, Notice)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    member: MemberId,
    generation: Generation,
    revoked_at: Option<Nanos>,
}

/// Who is in the group and who owns what.
#[derive(Debug, Default)]
pub(crate) struct Coordinator {
    members: BTreeMap<MemberId, BTreeSet<Arc<str>>>,
    /// How many partitions each topic of any member has.
    partitions: BTreeMap<Arc<str>, u32>,
    owners: BTreeMap<TopicPartition, Owner>,
    members_ever: u64,
    generation: u64,
}

impl Coordinator {
    /// No generation at or below `generation` is given out from now on.
    pub(crate) fn start_above(&mut self, generation: u64) {
        self.generation = self.generation.max(generation);
    }

    /// The last generation given out.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Takes in a member that reads `topics` (name and number of partitions).
    pub(crate) fn join(&mut self, topics: &[(Arc<str>, u32)], now: Nanos) -> (MemberId, Notices) {
        self.members_ever += 1;
        let id = MemberId(self.members_ever);
        self.partitions.extend(topics.iter().cloned());
        self.members.insert(id, topics.iter().map(|(name, _)| Arc::clone(name)).collect());
        (id, self.rebalance(now))
    }

    /// A member is gone; what it held is free at once.
    pub(crate) fn leave(&mut self, member: MemberId, now: Nanos) -> Notices {
        self.members.remove(&member);
        self.owners.retain(|_, owner| owner.member != member);
        self.rebalance(now)
    }

    /// A member gives a partition back. Void where it does not own it under that generation.
    pub(crate) fn release(
        &mut self,
        member: MemberId,
        partition: &TopicPartition,
        generation: Generation,
        now: Nanos,
    ) -> Notices {
        if !self.in_force(member, partition, generation) {
            return Vec::new();
        }
        self.owners.remove(partition);
        self.rebalance(now)
    }

    /// Takes from their owners what was revoked longer than `within` ago.
    pub(crate) fn expire(&mut self, now: Nanos, within: Duration) -> Notices {
        let late = |owner: &Owner| owner.revoked_at.is_some_and(|at| now.since(at) >= within);
        let mut notices = Vec::new();
        self.owners.retain(|partition, owner| {
            if late(owner) {
                let (partition, generation) = (partition.clone(), owner.generation);
                notices.push((owner.member, Notice::Lost { partition, generation }));
            }
            !late(owner)
        });
        if !notices.is_empty() {
            notices.append(&mut self.rebalance(now));
        }
        notices
    }

    /// Whether `member` may commit for `partition` under `generation`.
    pub(crate) fn in_force(
        &self,
        member: MemberId,
        partition: &TopicPartition,
        generation: Generation,
    ) -> bool {
        self.owners
            .get(partition)
            .is_some_and(|owner| owner.member == member && owner.generation == generation)
    }

    /// Whether any partition waits to be released.
    pub(crate) fn is_moving(&self) -> bool {
        self.owners.values().any(|owner| owner.revoked_at.is_some())
    }

    /// How many members there are.
    pub(crate) fn members(&self) -> usize {
        self.members.len()
    }

    fn rebalance(&mut self, now: Nanos) -> Notices {
        let held = self
            .owners
            .iter()
            .filter(|(_, owner)| owner.revoked_at.is_none())
            .map(|(tp, owner)| (tp.clone(), owner.member))
            .collect();
        let target = assign(&self.members, &self.partitions, &held);
        let mut notices = Vec::new();
        for (partition, owner) in &mut self.owners {
            if owner.revoked_at.is_none() && target.get(partition) != Some(&owner.member) {
                owner.revoked_at = Some(now);
                let (partition, generation) = (partition.clone(), owner.generation);
                notices.push((owner.member, Notice::Revoked { partition, generation }));
            }
        }
        let free: Vec<_> = target.into_iter().filter(|(tp, _)| !self.owners.contains_key(tp)).collect();
        if !free.is_empty() {
            self.generation += 1;
        }
        let generation = Generation(self.generation);
        for (partition, member) in free {
            self.owners.insert(partition.clone(), Owner { member, generation, revoked_at: None });
            notices.push((member, Notice::Assigned { partition, generation }));
        }
        notices
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn topic(partitions: u32) -> Vec<(Arc<str>, u32)> {
        vec![(Arc::from("t"), partitions)]
    }

    fn tp(partition: u32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    #[test]
    fn a_partition_moves_only_after_its_release_and_under_a_higher_generation() {
        let mut group = Coordinator::default();
        let (a, first) = group.join(&topic(2), Nanos(0));
        assert_eq!(first.len(), 2);
        let (b, second) = group.join(&topic(2), Nanos(1));
        let one = Generation(1);
        assert_eq!(second, vec![(a, Notice::Revoked { partition: tp(1), generation: one })]);
        assert!(group.in_force(a, &tp(1), one), "the owner may commit until it releases");
        let third = group.release(a, &tp(1), one, Nanos(2));
        assert_eq!(third, vec![(b, Notice::Assigned { partition: tp(1), generation: Generation(2) })]);
        assert!(!group.in_force(a, &tp(1), one));
        assert!(group.in_force(a, &tp(0), one), "what stays keeps its generation");
    }

    #[test]
    fn an_owner_that_never_releases_loses_the_partition() {
        let mut group = Coordinator::default();
        let (a, _) = group.join(&topic(2), Nanos(0));
        let (b, _) = group.join(&topic(2), Nanos(10));
        let within = Duration::from_nanos(100);
        assert!(group.expire(Nanos(109), within).is_empty());
        let notices = group.expire(Nanos(110), within);
        assert_eq!(
            notices,
            vec![
                (a, Notice::Lost { partition: tp(1), generation: Generation(1) }),
                (b, Notice::Assigned { partition: tp(1), generation: Generation(2) }),
            ]
        );
    }

    proptest! {
        /// Whatever joins, leaves, releases and expires: what members were told adds up to one owner at most
        /// for each partition, and generations of a partition only grow.
        #[test]
        fn never_two_owners(steps in proptest::collection::vec((0_u8..4, any::<u8>()), 1..60)) {
            let mut group = Coordinator::default();
            let mut told: BTreeMap<TopicPartition, (MemberId, Generation)> = BTreeMap::new();
            let mut highest: BTreeMap<TopicPartition, Generation> = BTreeMap::new();
            let mut revoked: Vec<(MemberId, TopicPartition, Generation)> = Vec::new();
            let mut members = Vec::new();
            for (now, (step, pick)) in steps.into_iter().enumerate() {
                let now = Nanos(now as u64);
                let notices = match step {
                    0 => {
                        let (member, notices) = group.join(&topic(5), now);
                        members.push(member);
                        notices
                    }
                    1 if !members.is_empty() => {
                        let gone = members.remove(usize::from(pick) % members.len());
                        told.retain(|_, (owner, _)| *owner != gone);
                        group.leave(gone, now)
                    }
                    2 if !revoked.is_empty() => {
                        let (member, partition, generation) = revoked.remove(usize::from(pick) % revoked.len());
                        if told.get(&partition) == Some(&(member, generation)) {
                            told.remove(&partition);
                        }
                        group.release(member, &partition, generation, now)
                    }
                    _ => group.expire(now, Duration::from_nanos(10)),
                };
                for (member, notice) in notices {
                    match notice {
                        Notice::Assigned { partition, generation } => {
                            prop_assert!(!told.contains_key(&partition), "two owners of {partition}");
                            prop_assert!(highest.get(&partition).is_none_or(|seen| *seen < generation));
                            highest.insert(partition.clone(), generation);
                            told.insert(partition, (member, generation));
                        }
                        Notice::Revoked { partition, generation } => revoked.push((member, partition, generation)),
                        Notice::Lost { partition, .. } => {
                            told.remove(&partition);
                        }
                    }
                }
                for (partition, (member, generation)) in &told {
                    prop_assert!(group.in_force(*member, partition, *generation));
                }
            }
        }
    }
}
