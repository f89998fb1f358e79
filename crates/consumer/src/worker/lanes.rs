//! All lanes of one worker, and every move of a record between them. Pure: no time passes here and nothing is
//! called, so the moves can be tested against a model, record by record.
//!
//! # Overflow
//!
//! A parked lane keeps its successors in memory as far as the bound allows ([`Share`]). Beyond it the lane
//! **overflows**: successors are let go, from the end, and only their offsets are remembered ([`Unread`]).
//! From then on newer records of that lane are not kept either, for they stand behind the ones let go.
//!
//! When the lane can go on, it asks for its first unread offset to be read again, and from what is read it
//! takes exactly the records it let go, in order. The handover back to freshly fetched records needs no
//! protocol: this worker sees fetched and reread records in one order through one channel, every fetched
//! record of an overflowed lane enters the list of unread ones, and the list being empty means that there is
//! nothing between what the lane has taken and what will be fetched next.
//!
//! A reread is read for the whole partition at once, so one pass serves every lane that is hungry.

use super::lane::{Item, Lane, LaneKey, Stage};
use super::ready::{Lone, Next, Ready};
use super::unread::Unread;
use crate::partition::{Delta, Load, Partition, Settled};
use foldhash::fast::FixedState;
use hashbrown::hash_map::{Entry, HashMap};
use seawall_core::{Nanos, Offset, TopicPartition};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Records that a lane takes from a reread ahead of need.
const REFILL: usize = 32;

/// This worker's share of a partition's memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) parked: Load,
    pub(crate) queue: Load,
    /// Whether lanes may overflow. Where a partition is one lane it is paused instead: all that would be
    /// skipped is behind the failed record anyway.
    pub(crate) overflow: bool,
    /// Which records stand alone.
    pub(crate) lone: Lone,
}

/// One assignment as this worker sees it.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) partition: Arc<Partition>,
    /// The worker's own copy of the topic's name: its reference count is touched for every record, and
    /// must not be shared between processors.
    pub(crate) origin: TopicPartition,
    /// What an attempt has given back of it, for the next one.
    pub(crate) spare_origin: Option<TopicPartition>,
    pub(crate) delta: Delta,
    /// In this worker's lanes, parked ones and those being handled included.
    held: Load,
    parked: Load,
    /// Lanes with unread records.
    overflowed: BTreeSet<u64>,
    /// What the lanes want may have changed since it was last said.
    want_stale: bool,
    /// Nothing is started any more.
    pub(crate) closed: bool,
    /// Handlers and operations that will still report.
    pub(crate) out: i64,
}

impl Part {
    fn new(partition: Arc<Partition>) -> Self {
        let origin = TopicPartition::new(&*partition.id.topic, partition.id.partition);
        Self {
            partition,
            origin,
            spare_origin: None,
            delta: Delta::default(),
            held: Load::default(),
            parked: Load::default(),
            overflowed: BTreeSet::new(),
            want_stale: false,
            closed: false,
            out: 0,
        }
    }

    /// A record has left memory for good.
    pub(crate) fn leave(&mut self, load: Load) {
        self.held.sub(load);
        self.delta.queue.sub(load);
    }

    fn park(&mut self, load: Load) {
        self.parked.add(load);
        self.delta.parked.add(load);
        self.delta.queue.sub(load);
        self.delta.to_parked += load.records;
    }

    fn unpark(&mut self, load: Load) {
        self.parked.sub(load);
        self.delta.parked.sub(load);
        self.delta.queue.add(load);
        self.delta.to_parked -= load.records;
    }

    fn has_parked_room(&self, share: &Share, more: Load) -> bool {
        self.parked.records + more.records <= share.parked.records
            && self.parked.bytes + more.bytes <= share.parked.bytes
    }

    fn has_room(&self, share: &Share) -> bool {
        self.held.records < share.queue.records && self.held.bytes < share.queue.bytes
    }
}

/// What a reread brought.
#[derive(Debug)]
pub(crate) struct Reread {
    pub(crate) from: Offset,
    /// Everything the source still has of `from..to` is in `items`.
    pub(crate) to: Offset,
    pub(crate) items: Vec<(u64, Item)>,
}

/// All lanes of one worker.
#[derive(Debug, Default)]
#[expect(clippy::struct_field_names, reason = "counts of lanes are called so")]
pub(crate) struct Lanes {
    lanes: HashMap<LaneKey, Lane, FixedState>,
    parts: HashMap<u32, Part, FixedState>,
    ready: Ready,
    parked_lanes: u64,
    busy_lanes: u64,
}

impl Lanes {
    pub(crate) fn part(&mut self, slot: u32) -> Option<&mut Part> {
        self.parts.get_mut(&slot)
    }

    /// Where the records of an assignment come from.
    pub(crate) fn origin(&self, slot: u32) -> Option<&TopicPartition> {
        self.parts.get(&slot).map(|part| &part.origin)
    }

    pub(crate) fn open(&mut self, partition: &Arc<Partition>) -> &mut Part {
        self.parts.entry(partition.slot).or_insert_with(|| Part::new(Arc::clone(partition)))
    }

    /// Lanes with a record that could start.
    pub(crate) fn ready_len(&self) -> usize {
        self.ready.len()
    }

    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        let overflowed = self.parts.values().map(|part| part.overflowed.len() as u64).sum();
        (self.parked_lanes, self.busy_lanes, overflowed)
    }

    /// Takes a freshly fetched record, which the book already counts as in flight.
    pub(crate) fn accept(&mut self, slot: u32, hash: u64, mut item: Item, share: &Share) {
        let Some(part) = self.parts.get_mut(&slot).filter(|part| !part.closed) else { return };
        part.held.add(item.load());
        if share.lone.includes(&item) {
            return self.ready.push_lone(LaneKey { slot, hash, lone: true }, item);
        }
        let key = LaneKey::keyed(slot, hash);
        match self.lanes.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(Lane::new(Stage::Ready, Some(item)));
                self.ready.push_lane(key);
            }
            Entry::Occupied(mut lane) => {
                let lane = lane.get_mut();
                if let Some(unread) = &mut lane.unread {
                    unread.push_back(item.offset);
                    part.leave(item.load());
                    part.delta.unread += 1;
                    part.delta.to_parked += 1;
                } else if !lane.is_parked() {
                    lane.rest.push_back(item);
                } else {
                    part.park(item.load());
                    item.record.detach();
                    lane.rest.push_back(item);
                    shrink(lane, part, hash, share);
                }
            }
        }
    }

    /// Takes a freshly fetched record that no other waits for, and that waits itself until `until`.
    pub(crate) fn accept_parked(
        &mut self,
        slot: u32,
        hash: u64,
        item: Item,
        until: Nanos,
        share: &Share,
    ) -> Option<LaneKey> {
        let part = self.parts.get_mut(&slot).filter(|part| !part.closed)?;
        part.held.add(item.load());
        let key = LaneKey { slot, hash, lone: true };
        self.park(key, item, until, share);
        Some(key)
    }

    /// Takes the head of the next lane that is ready, or a lone record. The lane is busy until
    /// [`Lanes::advance`] or [`Lanes::park`].
    pub(crate) fn next_ready(&mut self) -> Option<(LaneKey, Item)> {
        while let Some(next) = self.ready.pop() {
            let key = match next {
                Next::Lane(key) => key,
                Next::Lone(key, item) => return Some((key, item)),
            };
            let Some(lane) = self.lanes.get_mut(&key).filter(|lane| lane.stage == Stage::Ready) else {
                continue;
            };
            if let Some(item) = lane.head.take() {
                lane.stage = Stage::Busy;
                self.busy_lanes += 1;
                if lane.unread.is_some()
                    && let Some(part) = self.parts.get_mut(&key.slot)
                {
                    part.want_stale = true;
                }
                return Some((key, item));
            }
        }
        None
    }

    /// What was taken stays out for longer than the turn that took it: a lone record gets its lane.
    pub(crate) fn occupy(&mut self, key: LaneKey) {
        if key.lone
            && self.parts.get(&key.slot).is_some_and(|part| !part.closed)
            && let Entry::Vacant(vacant) = self.lanes.entry(key)
        {
            vacant.insert(Lane::new(Stage::Busy, None));
            self.busy_lanes += 1;
        }
    }

    /// The lane's head is done with: its next record may start. A lone record that never got a lane has none.
    pub(crate) fn advance(&mut self, key: LaneKey) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        debug_assert_eq!(lane.stage, Stage::Busy);
        self.busy_lanes -= 1;
        lane.head = lane.rest.pop_front();
        if lane.head.is_some() {
            lane.stage = Stage::Ready;
            self.ready.push_lane(key);
        } else if lane.unread.is_some() {
            lane.stage = Stage::Hungry;
        } else {
            self.lanes.remove(&key);
            return;
        }
        if lane.unread.is_some()
            && let Some(part) = self.parts.get_mut(&key.slot)
        {
            part.want_stale = true;
        }
    }

    /// The lane's head failed: it waits until `until`, its successors behind it.
    pub(crate) fn park(&mut self, key: LaneKey, mut item: Item, until: Nanos, share: &Share) {
        let Some(part) = self.parts.get_mut(&key.slot).filter(|part| !part.closed) else { return };
        let lane = match self.lanes.entry(key) {
            Entry::Occupied(lane) => lane.into_mut(),
            Entry::Vacant(vacant) => {
                self.busy_lanes += 1;
                vacant.insert(Lane::new(Stage::Busy, None))
            }
        };
        debug_assert_eq!(lane.stage, Stage::Busy);
        self.busy_lanes -= 1;
        self.parked_lanes += 1;
        part.delta.parked_keys += i64::from(!lane.counts_as_parked());
        // It waits for long, and what it was read with does not.
        item.record.detach();
        lane.head = Some(item);
        lane.stage = Stage::Parked(until);
        part.park(lane.load());
        part.want_stale |= lane.unread.is_some();
        shrink(lane, part, key.hash, share);
    }

    /// Parks a record outside of its lane, which has gone on: its effect has happened, and only its
    /// acknowledgement is open.
    pub(crate) fn park_alone(
        &mut self,
        slot: u32,
        item: Item,
        until: Nanos,
        share: &Share,
    ) -> Option<LaneKey> {
        let mut key = LaneKey::keyed(slot, scatter(item.offset));
        while self.lanes.contains_key(&key) {
            key.hash = scatter(key.hash);
        }
        self.parts.get(&slot).filter(|part| !part.closed)?;
        self.park(key, item, until, share);
        Some(key)
    }

    /// The back-off of a lane may have ended: true when it was parked until `until`, and is ready now.
    pub(crate) fn unpark(&mut self, key: LaneKey, until: Nanos) -> bool {
        let Some(lane) = self.lanes.get_mut(&key).filter(|lane| lane.stage == Stage::Parked(until)) else {
            return false;
        };
        lane.stage = Stage::Ready;
        self.parked_lanes -= 1;
        self.ready.push_lane(key);
        if let Some(part) = self.parts.get_mut(&key.slot) {
            part.unpark(lane.load());
            part.delta.parked_keys -= i64::from(!lane.counts_as_parked());
            part.want_stale |= lane.unread.is_some();
        }
        true
    }

    /// Whether a lane parked until `at` waits to try its head again, rather than for a lease, or to send it away.
    pub(crate) fn is_retry(&self, key: LaneKey, at: Nanos) -> bool {
        let lane = self.lanes.get(&key).filter(|lane| lane.stage == Stage::Parked(at));
        let story = lane.and_then(|lane| lane.head.as_ref()?.story.as_ref());
        story.is_some_and(|story| story.attempts > 0 && story.dead.is_none())
    }

    /// Lets a lane that is parked until `at` wait until `later` instead.
    pub(crate) fn postpone(&mut self, key: LaneKey, at: Nanos, later: Nanos) -> bool {
        let lane = self.lanes.get_mut(&key).filter(|lane| lane.stage == Stage::Parked(at));
        lane.map(|lane| lane.stage = Stage::Parked(later)).is_some()
    }

    /// Takes from a reread what the lanes had let go and can take now.
    pub(crate) fn reread(&mut self, slot: u32, reread: Reread, share: &Share) {
        let Some(part) = self.parts.get_mut(&slot).filter(|part| !part.closed) else { return };
        part.want_stale = true;
        let mut declined = BTreeSet::new();
        for (hash, item) in reread.items {
            let key = LaneKey::keyed(slot, hash);
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            let (parked, waits) = (lane.is_parked(), lane.head.iter().len() + lane.rest.len());
            let Some(unread) = &mut lane.unread else { continue };
            if declined.contains(&hash) || unread.first().is_none_or(|first| first < reread.from) {
                continue;
            }
            vanish_below(unread, part, item.offset);
            if unread.first() != Some(item.offset) {
                if forget_if_empty(lane, part, hash) && lane.stage == Stage::Hungry {
                    self.lanes.remove(&key);
                }
                continue;
            }
            if parked || waits >= REFILL || (waits > 0 && !part.has_room(share)) {
                declined.insert(hash);
                continue;
            }
            unread.pop_front();
            part.held.add(item.load());
            part.delta.queue.add(item.load());
            part.delta.unread -= 1;
            part.delta.to_parked -= 1;
            if lane.push(item) {
                self.ready.push_lane(key);
            }
            forget_if_empty(lane, part, hash);
        }
        self.sweep(slot, reread.from, reread.to, &declined);
    }

    /// Whatever the lanes let go below `to` and a reread from `from` did not bring is gone from the source.
    fn sweep(&mut self, slot: u32, from: Offset, to: Offset, declined: &BTreeSet<u64>) {
        let Some(part) = self.parts.get_mut(&slot) else { return };
        let swept: Vec<u64> = part.overflowed.difference(declined).copied().collect();
        for hash in swept {
            let key = LaneKey::keyed(slot, hash);
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            let Some(unread) = &mut lane.unread else { continue };
            if unread.first().is_some_and(|first| first >= from) {
                vanish_below(unread, part, to);
            }
            if forget_if_empty(lane, part, hash) && lane.stage == Stage::Hungry {
                self.lanes.remove(&key);
            }
        }
    }

    /// The lowest offset that a lane of `slot` would take at once, where that may have changed.
    pub(crate) fn refresh_want(&mut self, slot: u32) {
        let Some(part) = self.parts.get_mut(&slot).filter(|part| part.want_stale) else { return };
        part.want_stale = false;
        let lanes = &self.lanes;
        let wants = |hash: &u64| lanes.get(&LaneKey::keyed(slot, *hash)).and_then(Lane::wants);
        part.delta.want = Some(part.overflowed.iter().filter_map(wants).min());
    }

    /// Drops everything of an assignment that waits; what is out may still report.
    pub(crate) fn close(&mut self, slot: u32) {
        let Some(part) = self.parts.get_mut(&slot) else { return };
        part.closed = true;
        part.overflowed.clear();
        part.want_stale = false;
        let (parked, busy) = (&mut self.parked_lanes, &mut self.busy_lanes);
        self.lanes.retain(|key, lane| {
            if key.slot == slot {
                *parked -= u64::from(lane.is_parked());
                *busy -= u64::from(lane.stage == Stage::Busy);
            }
            key.slot != slot
        });
        self.ready.forget(slot);
    }

    /// Forgets a closed assignment of which nothing is out.
    pub(crate) fn forget(&mut self, slot: u32) {
        self.parts.remove(&slot);
    }

    /// Slots known, in order.
    pub(crate) fn slots(&self) -> Vec<u32> {
        let mut slots: Vec<u32> = self.parts.keys().copied().collect();
        slots.sort_unstable();
        slots
    }
}

/// Lets successors go until the parked ones fit.
fn shrink(lane: &mut Lane, part: &mut Part, hash: u64, share: &Share) {
    while share.overflow && !part.has_parked_room(share, Load::default()) {
        let Some(item) = lane.rest.pop_back() else { return };
        lane.unread.get_or_insert_default().push_front(item.offset);
        part.overflowed.insert(hash);
        part.parked.sub(item.load());
        part.held.sub(item.load());
        part.delta.parked.sub(item.load());
        part.delta.unread += 1;
    }
}

fn vanish_below(unread: &mut Unread, part: &mut Part, offset: Offset) {
    while let Some(gone) = unread.first().filter(|first| *first < offset) {
        unread.pop_front();
        part.delta.unread -= 1;
        part.delta.settled.push((gone, Settled::Vanished));
    }
}

/// Ends the overflow of a lane that has nothing unread any more. True when it ended.
fn forget_if_empty(lane: &mut Lane, part: &mut Part, hash: u64) -> bool {
    let empty = lane.unread.as_ref().is_some_and(|unread| unread.is_empty());
    if empty {
        lane.unread = None;
        part.overflowed.remove(&hash);
        part.delta.parked_keys -= i64::from(!lane.counts_as_parked());
    }
    empty
}

/// Spreads offsets over hashes (the finaliser of SplitMix64: S. Vigna, public domain). For records that no
/// other record waits for.
pub(crate) fn scatter(offset: Offset) -> u64 {
    let mut x = offset.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
