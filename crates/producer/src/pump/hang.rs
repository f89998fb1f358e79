//! A disk that answers nothing: what a sink has dealt with does not wait for it, and nothing more is given to it.

use super::Pump;
use super::disk::Backlog;
use super::lane::{Answers, Flight, Load, Sent};
use super::settle::in_order;
use crate::answer::{Answer, Settled};
use crate::inbox::Duty;
use crate::spill::keys::Bucket;
use crate::stats::Path;
use seawall_core::{Class, Durability, Nanos};
use seawall_wal::Disk;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A disk that does not answer for so long hangs. A sync takes milliseconds; that of a worn memory card takes a second.
const HANGS_AFTER: Duration = Duration::from_secs(2);

/// What is told of a disk that hangs.
#[derive(Debug, thiserror::Error)]
#[error("the disk has not answered for {HANGS_AFTER:?}")]
struct Hangs;

/// A caller whose record a call dealt with, before the disk has said anything.
struct Dealt {
    place: usize,
    asked: Durability,
    answer: Option<Answer>,
}

impl<D: Disk> Backlog<D> {
    /// When the disk will have answered nothing for too long.
    pub(super) fn hangs_at(&self) -> Option<Nanos> {
        self.appends.waits_since().map(|since| since.plus(HANGS_AFTER))
    }

    pub(super) fn is_hanging(&self, now: Nanos) -> bool {
        self.hangs_at().is_some_and(|at| now >= at)
    }

    /// Which keys the records of lane `at` have that are on their way to the disk, by their place in its call.
    fn buckets_on_their_way(&self, at: usize) -> BTreeMap<usize, Bucket> {
        let duties = self.appends.duties().chain(self.queue.iter().map(|entry| &entry.duty));
        let place = |duty: &Duty| duty.shadow.filter(|(lane, _)| *lane == at).map(|(_, place)| place);
        duties.filter_map(|duty| Some((place(duty)?, duty.bucket))).collect()
    }

    /// Takes the records of lane `at` that its call `is_dealt` with out of the disk's hands, as far as that goes: those that it
    /// has are delivered once they are on it. Others wait for the disk alone, and so does what follows one of its key there: a
    /// crash would have that one delivered again, and what follows it has to follow it once more. Answers the callers, and
    /// the bytes and records that are gone from memory.
    fn take_back(&mut self, at: usize, is_dealt: impl Fn(usize) -> bool) -> (Vec<Dealt>, (usize, usize)) {
        let (mut dealt, mut gone, mut there) = (Vec::new(), (0, 0), BTreeSet::new());
        let keys = &mut self.keys;
        let mut look = |duty: &mut Duty, there: &BTreeSet<Bucket>| {
            let Some((_, place)) = duty.shadow.take_if(|(lane, _)| *lane == at) else { return };
            let follows = there.contains(&duty.bucket) || keys.on_disk(duty.bucket);
            if is_dealt(place) && !(follows && duty.bucket.lane(1).is_some()) {
                duty.dealt = true;
                dealt.push(Dealt { place, asked: duty.asked, answer: duty.answer.take() });
            } else {
                duty.attempted = true;
            }
        };
        for duty in self.appends.duties_mut() {
            look(duty, &there);
            there.insert(duty.bucket);
        }
        self.queue.iter_mut().for_each(|entry| look(&mut entry.duty, &there));
        self.queue.retain(|entry| {
            if entry.duty.dealt {
                keys.unqueue(entry.duty.bucket);
                gone = (gone.0 + entry.duty.weight, gone.1 + 1);
            }
            !entry.duty.dealt
        });
        (dealt, gone)
    }
}

impl<D: Disk> Pump<D> {
    /// Looks whether the disk hangs.
    pub(super) fn watch_disk(&mut self, now: Nanos) {
        let Some(backlog) = &self.backlog else { return };
        let Some(at) = backlog.hangs_at() else { return };
        if now < at {
            return self.wake(at);
        }
        if backlog.trouble.is_none() {
            self.show_trouble(&Hangs);
        }
        self.finish_ended(now);
    }

    /// The lane's call has ended, and records of it are on their way to a disk that hangs. Those that it dealt with are told,
    /// and the others are the disk's alone. Whether the call can be settled; `answers` is then what is left to settle.
    pub(super) fn leave_to_disk(
        &mut self,
        at: usize,
        flight: &Flight,
        answers: &mut Answers,
        now: Nanos,
    ) -> bool {
        let (Some(backlog), Load::Live(sent)) = (&mut self.backlog, &flight.load) else { return false };
        // What the disk gave back follows what it has.
        if !backlog.is_hanging(now) || sent.iter().any(|sent| matches!(sent, Sent::Mine(_))) {
            return false;
        }
        let on_their_way = backlog.buckets_on_their_way(at);
        let bucket = |(place, sent): (usize, &Sent)| match sent {
            Sent::OnDisk(stored) => Some(stored.bucket),
            _ => on_their_way.get(&place).copied(),
        };
        let buckets: Vec<_> = sent.iter().enumerate().map(bucket).collect();
        let stays = |fault: &seawall_core::Fault| fault.class() != Class::Permanent;
        *answers = in_order(buckets.into_iter(), std::mem::take(answers), stays);
        let is_dealt = |place: usize| match answers.get(place) {
            Some(Ok(_)) => true,
            Some(Err(fault)) => fault.class() == Class::Permanent,
            None => false,
        };
        let (dealt, gone) = backlog.take_back(at, is_dealt);
        self.free(gone.0, gone.1);
        self.tell_dealt(flight.grant.sink, dealt, answers);
        true
    }

    fn tell_dealt(&self, sink: usize, dealt: Vec<Dealt>, answers: &Answers) {
        let (mut settled, mut delivered) = (Settled::default(), 0);
        for Dealt { place, asked, answer } in dealt {
            let outcome = match answers.get(place) {
                Some(Ok(receipt)) => {
                    delivered += 1;
                    self.delivered(sink, receipt.clone(), asked)
                }
                Some(Err(fault)) => Err(self.refusal(sink, fault.clone())),
                None => continue,
            };
            if let Some(mut answer) = answer {
                settled.add(&mut answer, outcome);
            }
        }
        self.shared.stats.count(sink, Path::Direct, delivered);
    }
}
