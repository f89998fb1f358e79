//! The coordinator: who is in the group, who owns what under which generation. Pure, but for the time given.

use seawall_core::{Generation, Nanos, PartitionId};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u32);

/// What a member is told at its next poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    Assigned(PartitionId, Generation),
    Revoked(PartitionId, Generation),
    Lost(PartitionId, Generation),
}

#[derive(Clone, Copy, Debug)]
struct Owner {
    member: MemberId,
    generation: Generation,
    revoked_at: Option<Nanos>,
}

#[derive(Debug, Default)]
struct Seat {
    last_poll: Nanos,
    stalled: bool,
    /// Thrown out; it does not know yet.
    expelled: bool,
    notices: VecDeque<Notice>,
}

#[derive(Debug)]
pub(super) struct Group {
    session: Duration,
    release: Duration,
    seats: BTreeMap<MemberId, Seat>,
    owners: Vec<Option<Owner>>,
    generation: u64,
    joined: u32,
}

impl Group {
    pub(super) fn new(partitions: u32, session: Duration, release: Duration) -> Self {
        Self {
            session,
            release,
            seats: BTreeMap::new(),
            owners: vec![None; partitions as usize],
            generation: 0,
            joined: 0,
        }
    }

    pub(super) fn join(&mut self, now: Nanos) -> MemberId {
        self.joined += 1;
        let member = MemberId(self.joined);
        self.seats.insert(member, Seat { last_poll: now, ..Seat::default() });
        self.rebalance(now);
        member
    }

    pub(super) fn leave(&mut self, member: MemberId, now: Nanos) {
        self.seats.remove(&member);
        self.free(member);
        self.rebalance(now);
    }

    pub(super) fn stall(&mut self, member: MemberId, stalled: bool) {
        if let Some(seat) = self.seats.get_mut(&member) {
            seat.stalled = stalled;
        }
    }

    pub(super) fn in_force(&self, member: MemberId, partition: PartitionId, generation: Generation) -> bool {
        self.owners[partition as usize]
            .is_some_and(|owner| owner.member == member && owner.generation == generation)
    }

    pub(super) fn release(
        &mut self,
        member: MemberId,
        partition: PartitionId,
        generation: Generation,
        now: Nanos,
    ) {
        if self.in_force(member, partition, generation) {
            self.owners[partition as usize] = None;
            self.rebalance(now);
        }
    }

    /// The member polls. `None` while it is stalled; a member that was thrown out comes back in.
    pub(super) fn poll(&mut self, member: MemberId, now: Nanos) -> Option<Vec<Notice>> {
        self.tick(now);
        let seat = self.seats.get_mut(&member).filter(|seat| !seat.stalled)?;
        seat.last_poll = now;
        let back = std::mem::take(&mut seat.expelled);
        if back {
            self.rebalance(now);
        }
        self.seats.get_mut(&member).map(|seat| seat.notices.drain(..).collect())
    }

    /// Throws out who has not polled, and takes what was not released in time.
    pub(super) fn tick(&mut self, now: Nanos) {
        let late: Vec<MemberId> = self
            .seats
            .iter()
            .filter(|(_, seat)| !seat.expelled && now.since(seat.last_poll) > self.session)
            .map(|(member, _)| *member)
            .collect();
        for member in &late {
            for partition in self.free(*member) {
                self.tell(*member, Notice::Lost(partition.0, partition.1));
            }
            if let Some(seat) = self.seats.get_mut(member) {
                seat.expelled = true;
            }
        }
        let mut taken = false;
        for partition in 0..self.owners.len() {
            let Some(owner) = self.owners[partition] else { continue };
            if owner.revoked_at.is_some_and(|at| now.since(at) > self.release) {
                self.owners[partition] = None;
                self.tell(owner.member, Notice::Lost(partition as u32, owner.generation));
                taken = true;
            }
        }
        if taken || !late.is_empty() {
            self.rebalance(now);
        }
    }

    fn tell(&mut self, member: MemberId, notice: Notice) {
        if let Some(seat) = self.seats.get_mut(&member) {
            seat.notices.push_back(notice);
        }
    }

    fn free(&mut self, member: MemberId) -> Vec<(PartitionId, Generation)> {
        let mut freed = Vec::new();
        for (partition, owner) in self.owners.iter_mut().enumerate() {
            if let Some(held) = owner.filter(|owner| owner.member == member) {
                freed.push((partition as u32, held.generation));
                *owner = None;
            }
        }
        freed
    }

    /// Partition by turns over the members that are in. Who has too many is asked for them; what is free is given.
    fn rebalance(&mut self, now: Nanos) {
        let members: Vec<MemberId> =
            self.seats.iter().filter(|(_, seat)| !seat.expelled).map(|(member, _)| *member).collect();
        if members.is_empty() {
            return;
        }
        self.generation += 1;
        let generation = Generation(self.generation);
        for partition in 0..self.owners.len() {
            let wanted = members[partition % members.len()];
            match &mut self.owners[partition] {
                Some(owner) if owner.member != wanted && owner.revoked_at.is_none() => {
                    owner.revoked_at = Some(now);
                    let (member, of) = (owner.member, owner.generation);
                    self.tell(member, Notice::Revoked(partition as u32, of));
                }
                Some(_) => {}
                None => {
                    self.owners[partition] = Some(Owner { member: wanted, generation, revoked_at: None });
                    self.tell(wanted, Notice::Assigned(partition as u32, generation));
                }
            }
        }
    }
}
