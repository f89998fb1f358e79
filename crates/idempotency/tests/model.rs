//! The protocol, every interleaving of it: two owners, crashes, expiries, a message that must not be lost.
//!
//! The rules are not modelled: they are the shipped [`Slot`], driven through every order of steps of two owners
//! that fetch one record, claim, have the effect, complete, acknowledge, may crash anywhere (up to three
//! times) and may outlive their lease (up to three times). A broker delivers the record to either of them until
//! it is acknowledged. What must hold in every state that can be reached:
//!
//! - the record is never acknowledged without its effect (that would be a lost message);
//! - the effect happens at most once, plus once for each lease that ran out, whether its owner had died or was
//!   only too slow;
//! - fences only grow, and a completion is accepted only from the owner whose fence is in force;
//! - from every state some way leads to "effect had and acknowledged" once nothing fails any more.
//!
//! A checker that cannot fail proves nothing, so the same search runs over broken protocols, and must find them.

use bytes::Bytes;
use seawall_core::{Fence, Nanos};
use seawall_idempotency::claim::Slot;
use seawall_idempotency::{Claim, OwnerId};
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

const CRASHES_MAX: u8 = 3;
const EXPIRIES_MAX: u8 = 3;
const LEASE: Duration = Duration::from_nanos(1);
const KEEP: Duration = Duration::MAX;

/// What is being checked: the shipped order of steps, or one that is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Protocol {
    /// Claim, effect, complete, acknowledge.
    Shipped,
    /// The classic SETNX: done first, effect after.
    DoneBeforeEffect,
    /// Acknowledge what somebody else holds.
    AcknowledgeHeld,
    /// A store that does not look at fences.
    IgnoresFences,
    /// A lease that never ends.
    NoExpiry,
}

/// Where an owner stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Step {
    Idle,
    Fetched,
    Claimed(Fence),
    Affected(Fence),
    MayAcknowledge,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct World {
    slot: Slot,
    owners: [Step; 2],
    /// Grows with each restart: a restarted process is another owner.
    lives: [u8; 2],
    now: u64,
    crashes: u8,
    /// Leases that ran out under a living owner.
    expiries: u8,
    /// Leases that ran out after their owner had died.
    left_behind: u8,
    effects: u8,
    acknowledged: bool,
    /// Completions accepted from an owner whose claim had been taken over.
    zombies: u8,
}

impl World {
    fn start() -> Self {
        Self {
            slot: Slot::default(),
            owners: [Step::Idle; 2],
            lives: [0; 2],
            now: 0,
            crashes: 0,
            expiries: 0,
            left_behind: 0,
            effects: 0,
            acknowledged: false,
            zombies: 0,
        }
    }

    fn owner(&self, who: usize) -> OwnerId {
        OwnerId(who as u128 | u128::from(self.lives[who]) << 8)
    }

    fn time(&self) -> Nanos {
        Nanos(self.now)
    }

    /// Every state one step further. `faults`: whether crashes and expiries are among the steps.
    fn next(&self, protocol: Protocol, faults: bool) -> Vec<Self> {
        let mut all = Vec::new();
        for who in 0..2 {
            all.extend(self.act(who, protocol));
            if faults && self.crashes < CRASHES_MAX && self.owners[who] != Step::Idle {
                let mut crashed = self.clone();
                crashed.owners[who] = Step::Idle;
                crashed.lives[who] += 1;
                crashed.crashes += 1;
                all.push(crashed);
            }
        }
        let runs = matches!(self.slot, Slot::Claimed { expires, .. } if self.time() < expires);
        let dead = runs && !self.holder_lives();
        // The lease of a dead owner ends for certain; that of a living one, when it was too slow.
        if runs && protocol != Protocol::NoExpiry && (dead || faults && self.expiries < EXPIRIES_MAX) {
            let mut expired = self.clone();
            expired.now += 1;
            expired.expiries += u8::from(!dead);
            expired.left_behind += u8::from(dead);
            all.push(expired);
        }
        all
    }

    fn holder_lives(&self) -> bool {
        let Slot::Claimed { owner, fence, .. } = self.slot else { return false };
        (0..2).any(|who| {
            let working = matches!(self.owners[who], Step::Claimed(f) | Step::Affected(f) if f == fence);
            working && self.owner(who) == owner
        })
    }

    fn act(&self, who: usize, protocol: Protocol) -> Vec<Self> {
        let mut world = self.clone();
        let me = self.owner(who);
        match self.owners[who] {
            Step::Idle if self.acknowledged => return vec![],
            Step::Idle => world.owners[who] = Step::Fetched,
            Step::Fetched => {
                let (slot, answer) = self.slot.clone().claim(me, LEASE, Fence(0), self.time());
                if let Claim::Granted { fence, .. } = answer {
                    assert!(fence > self.slot.fence(), "a fence that does not grow: {self:?}");
                }
                world.slot = slot;
                world.owners[who] = match answer {
                    Claim::Granted { fence, .. } => Step::Claimed(fence),
                    Claim::Done { .. } => Step::MayAcknowledge,
                    Claim::Held { .. } if protocol == Protocol::AcknowledgeHeld => Step::MayAcknowledge,
                    Claim::Held { .. } => Step::Idle,
                };
                if protocol == Protocol::DoneBeforeEffect
                    && let Claim::Granted { fence, .. } = answer
                {
                    world.slot = world.slot.complete(me, fence, Bytes::new(), self.time(), KEEP).0;
                }
            }
            Step::Claimed(fence) => {
                let mut failed = self.clone();
                failed.owners[who] = Step::Idle;
                failed.slot = failed.slot.release(me, fence).0;
                world.owners[who] = Step::Affected(fence);
                world.effects += 1;
                // A handler may also fail, once in a life, lest the search never end.
                return if self.crashes < CRASHES_MAX {
                    failed.crashes += 1;
                    vec![world, failed]
                } else {
                    vec![world]
                };
            }
            Step::Affected(fence) => {
                let in_force = self.slot.fence();
                let (owner, asked) = match (protocol, &self.slot) {
                    (Protocol::IgnoresFences, Slot::Claimed { owner, .. }) => (*owner, in_force),
                    _ => (me, fence),
                };
                let (slot, answer) =
                    self.slot.clone().complete(owner, asked, Bytes::new(), self.time(), KEEP);
                world.slot = slot;
                world.zombies += u8::from(answer.is_ok() && fence != in_force);
                world.owners[who] = if answer.is_ok() { Step::MayAcknowledge } else { Step::Idle };
            }
            Step::MayAcknowledge => {
                world.acknowledged = true;
                world.owners[who] = Step::Idle;
            }
        }
        vec![world]
    }

    fn broken(&self) -> Option<&'static str> {
        if self.acknowledged && self.effects == 0 {
            return Some("acknowledged without an effect: lost");
        }
        if self.effects > 1 + self.expiries + self.left_behind {
            return Some("more effects than leases that ran out");
        }
        if self.zombies > 0 {
            return Some("a completion under an old fence was accepted");
        }
        None
    }

    fn settled(&self) -> bool {
        self.acknowledged && self.effects > 0
    }
}

/// Searches every state; tells how many there are, or what is broken and how it came to that.
fn check(protocol: Protocol) -> Result<usize, (&'static str, Vec<World>)> {
    let mut from: HashMap<World, Option<World>> = HashMap::from([(World::start(), None)]);
    let mut queue = VecDeque::from([World::start()]);
    while let Some(world) = queue.pop_front() {
        if let Some(what) = world.broken() {
            return Err((what, story(&from, world)));
        }
        for next in world.next(protocol, true) {
            if !from.contains_key(&next) {
                from.insert(next.clone(), Some(world.clone()));
                queue.push_back(next);
            }
        }
    }
    let mut ends: HashMap<World, bool> = HashMap::new();
    for world in from.keys() {
        if !can_settle(world, protocol, &mut ends) {
            return Err((
                "stuck: no way leads to an effect and its acknowledgement",
                story(&from, world.clone()),
            ));
        }
    }
    Ok(from.len())
}

/// Whether `world` reaches its end when nothing fails any more.
fn can_settle(world: &World, protocol: Protocol, known: &mut HashMap<World, bool>) -> bool {
    if let Some(known) = known.get(world) {
        return *known;
    }
    let mut seen = HashSet::from([world.clone()]);
    let mut queue = VecDeque::from([world.clone()]);
    let mut found = false;
    while let Some(at) = queue.pop_front() {
        if at.settled() || known.get(&at) == Some(&true) {
            found = true;
            break;
        }
        queue.extend(at.next(protocol, false).into_iter().filter(|next| seen.insert(next.clone())));
    }
    known.insert(world.clone(), found);
    found
}

fn story(from: &HashMap<World, Option<World>>, end: World) -> Vec<World> {
    let mut story = vec![end];
    while let Some(Some(before)) = story.last().and_then(|world| from.get(world)) {
        story.push(before.clone());
    }
    story.reverse();
    story
}

#[test]
fn the_shipped_protocol_never_loses_and_repeats_only_by_failures() {
    match check(Protocol::Shipped) {
        Ok(states) => assert!(states > 10_000, "{states} states are too few to mean anything"),
        Err((what, story)) => panic!("{what}:\n{story:#?}"),
    }
}

#[test]
fn marking_done_before_the_effect_loses() {
    let found = check(Protocol::DoneBeforeEffect).map_err(|(what, _)| what);
    assert_eq!(found, Err("acknowledged without an effect: lost"));
}

#[test]
fn acknowledging_what_is_held_loses() {
    let found = check(Protocol::AcknowledgeHeld).map_err(|(what, _)| what);
    assert_eq!(found, Err("acknowledged without an effect: lost"));
}

#[test]
fn a_store_that_ignores_fences_is_found() {
    let found = check(Protocol::IgnoresFences).map_err(|(what, _)| what);
    assert_eq!(found, Err("a completion under an old fence was accepted"));
}

#[test]
fn leases_that_never_end_get_stuck() {
    let found = check(Protocol::NoExpiry).map_err(|(what, _)| what);
    assert_eq!(found, Err("stuck: no way leads to an effect and its acknowledgement"));
}
