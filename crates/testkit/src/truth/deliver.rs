//! Starts of handlers, their effects and answers, claims and completions.

use super::lease::Leases;
use super::{Facts, Place, Process, Seen};
use crate::trace::Event;
use seawall_consumer::Ordering;
use seawall_core::{Delivery, Fence, Nanos, Offset, Token, WallMs};

/// What must be handled one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    Key(u32),
    Partition(u32),
    Place(Place),
}

/// How a call of the handler ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It answered `Ack`.
    Acked,
    /// It answered something else, or panicked.
    Failed,
    /// Its future was dropped: a deadline, a lost claim, a partition given up.
    Dropped,
    /// Its process died.
    Died,
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    process: Process,
    place: Place,
    ended: Option<Ended>,
    at: Nanos,
}

/// One intended effect: a token where claims are kept, else a place.
#[derive(Debug, Default)]
pub(super) struct Subject {
    granted: Fence,
    started: Fence,
    /// Fences under which a handler succeeded.
    acked: Vec<Fence>,
    pub(super) completed: bool,
    pub(super) effects: u32,
    pub(super) leases: Leases,
    last: Option<Attempt>,
}

impl Subject {
    /// Whether the lease of the last success ran out before its completion was taken.
    fn acked_lapsed(&self) -> bool {
        self.acked.last().is_some_and(|fence| self.leases.has_lapsed(*fence))
    }

    pub(super) fn process_gone(&mut self, process: Process) {
        self.leases.process_gone(process);
        if let Some(last) = &mut self.last
            && last.process == process
        {
            last.ended.get_or_insert(Ended::Died);
        }
    }
}

/// A call of the handler, as the truth knows it.
#[derive(Clone, Debug)]
pub struct Call {
    /// By whom.
    pub process: Process,
    /// Of which record.
    pub place: Place,
    /// Its token.
    pub token: Token,
    /// Its fence.
    pub fence: Fence,
    /// The record's number.
    pub id: u32,
    subject: Token,
    lane: Lane,
}

impl Facts {
    pub(super) fn subject_of(&self, place: Place, token: &Token) -> Token {
        let place = || Token::of_origin(super::TOPIC, place.0, place.1, WallMs(0));
        if self.terms.claims { token.clone() } else { place() }
    }

    /// Whether a commit may say that it is finished.
    pub(super) fn is_settled(&self, seen: &Seen) -> bool {
        if seen.letter.is_confirmed() {
            return true;
        }
        if !self.terms.claims {
            return seen.acked;
        }
        self.subjects.get(&seen.token).is_some_and(|subject| subject.completed)
    }

    /// Whether later records of its key may be handled.
    pub(super) fn is_finished(&self, seen: &Seen) -> bool {
        let acked = || self.subjects.get(&seen.token).is_some_and(|subject| !subject.acked.is_empty());
        seen.acked || seen.letter.is_confirmed() || (self.terms.claims && acked())
    }

    fn lane_of(&self, place: Place, key: Option<u32>) -> Lane {
        match (self.terms.ordering, key) {
            (Ordering::Partition, _) => Lane::Partition(place.0),
            (Ordering::Key, Some(key)) => Lane::Key(key),
            (Ordering::Key, None) | (Ordering::Unordered, _) => Lane::Place(place),
        }
    }

    /// A handler is called.
    pub fn started(&mut self, process: Process, delivery: &Delivery) -> Option<Call> {
        let place = Place(delivery.origin.partition, delivery.offset);
        let token = delivery.token();
        self.note(Event::Started { process, place, token: token.clone(), attempt: delivery.attempt });
        let seen = self.parts.get(&place.0).and_then(|part| part.seen.get(&place.1)).cloned();
        let Some(seen) = seen else {
            self.violate(format!("{place:?} is delivered, and no source has handed it out"));
            return None;
        };
        if seen.token != token {
            self.violate(format!("{place:?} is delivered under {token}, its token is {}", seen.token));
        }
        if Some(&delivery.record) != self.planned(seen.id).map(|planned| &planned.record) {
            // The timestamp is the producer's and travels along as well.
            self.violate(format!("{place:?} is delivered with other contents: {:?}", delivery.record));
        }
        let left = delivery.context.remaining(self.now());
        if left != Some(self.terms.timeout) {
            self.violate(format!("{place:?} starts with {left:?} left of {:?}", self.terms.timeout));
        }
        if let Some(seen) = self.seen_mut(place) {
            seen.tried = Some((process, delivery.generation));
        }
        let lane = self.lane_of(place, seen.key);
        self.occupy(lane, process, place);
        self.check_order(place, seen.key);
        let subject = self.subject_of(place, &token);
        self.check_repeat(process, place, &subject, delivery.fence);
        let life = self.lives.entry(process).or_default();
        life.running += 1;
        if life.running > self.terms.handlers_max {
            self.violate(format!("more than {} handlers at once", self.terms.handlers_max));
        }
        Some(Call { process, place, token, fence: delivery.fence, id: seen.id, subject, lane })
    }

    /// One at a time in a lane. The exception is a zombie: one that has lost the partition and has not heard of
    /// it goes on with records that nobody else has claimed, while the new owner repeats a dead letter whose
    /// settling the zombie could not commit. Never both with the same token: that is checked apart.
    fn occupy(&mut self, lane: Lane, process: Process, place: Place) {
        let Some(other) = self.lanes.insert(lane, (process, place)) else { return };
        let zombie = self.parts.get(&place.0).is_some_and(|part| {
            let lost = |of: Process| !part.is_of(of) && !part.released.contains(&of);
            other.0 != process && (lost(other.0) || lost(process))
        });
        if zombie {
            return self.coverage.add("beside a zombie", 1);
        }
        self.violate(format!("{place:?} starts in {lane:?} while {other:?} is being handled"));
    }

    /// Everything before it in its lane must be finished.
    fn check_order(&mut self, place: Place, key: Option<u32>) {
        let whole = match self.terms.ordering {
            Ordering::Unordered => return,
            Ordering::Key if key.is_none() => return,
            Ordering::Key => false,
            Ordering::Partition => true,
        };
        let Some(part) = self.parts.get(&place.0) else { return };
        let durable = part.watermark.min(place.1);
        let unfinished = part
            .seen
            .range(durable..place.1)
            .find(|(_, seen)| (whole || seen.key == key) && !self.is_finished(seen))
            .map(|(offset, _)| *offset);
        if let Some(offset) = unfinished {
            self.violate(format!("{place:?} overtakes {}/{offset} of its lane", place.0));
        }
    }

    fn check_repeat(&mut self, process: Process, place: Place, subject: &Token, fence: Fence) {
        let now = self.now();
        let part = self.parts.entry(place.0).or_default();
        if place.1 < part.watermark || part.beyond.contains(place.1) {
            let buried = part.seen.get(&place.1).is_some_and(|seen| seen.letter.is_confirmed());
            // The claim of a dead letter is free again, for a redrive; a zombie can take it like anybody.
            if buried && !part.is_of(process) {
                self.coverage.add("a zombie repeats a dead letter", 1);
            } else {
                self.violate(format!("{place:?} is delivered again, and a durable commit has it"));
            }
        }
        let claims = self.terms.claims;
        let known = self.subjects.entry(subject.clone()).or_default();
        let mut wrong = None;
        let mut reason = None;
        if claims && known.completed {
            wrong = Some("its completion is durable".to_owned());
        }
        if claims && fence <= known.started {
            wrong = Some(format!("under {fence:?}, after {:?}", known.started));
        }
        if let Some(last) = known.last {
            let alone = last.process == process;
            match last.ended {
                None => wrong = Some(format!("while {:?} of {:?} handles it", last.place, last.process)),
                // The lease can have run out before the completion was taken.
                Some(Ended::Acked) if alone && !known.acked_lapsed() => {
                    wrong = Some("after an Ack, without a crash".to_owned());
                }
                Some(Ended::Acked) => reason = Some("repeat: acknowledged, not durable"),
                Some(Ended::Failed) => reason = Some("repeat: failed"),
                Some(Ended::Dropped) => reason = Some("repeat: cancelled"),
                Some(Ended::Died) => reason = Some("repeat: in flight at a crash"),
            }
        }
        known.started = known.started.max(fence);
        known.leases.start(fence, now);
        known.last = Some(Attempt { process, place, ended: None, at: now });
        if let Some(reason) = reason {
            self.coverage.add(reason, 1);
        }
        if let Some(why) = wrong {
            self.violate(format!("{place:?} ({subject}) is delivered again {why}"));
        }
    }

    /// The service does its effect.
    pub fn effect(&mut self, call: &Call) {
        self.note(Event::Effect { token: call.token.clone(), place: call.place, late: false });
        let subject = self.subjects.entry(call.subject.clone()).or_default();
        subject.effects += 1;
        let stale = call.fence < subject.started;
        let in_force = self.is_in_force(call);
        self.coverage.add("effect after its lease", u64::from(!in_force));
        let subject = self.subjects.entry(call.subject.clone()).or_default();
        self.coverage.add("effect repeated", u64::from(subject.effects > 1));
        if stale {
            self.violate(format!("{:?} takes effect under the stale {:?}", call.place, call.fence));
        }
    }

    /// The effect of a request that nobody waits for any more arrives. Whether the service takes it: under a
    /// stale fence it does not.
    pub fn late_effect(&mut self, call: &Call) -> bool {
        let subject = self.subjects.entry(call.subject.clone()).or_default();
        if self.terms.claims && call.fence < subject.started {
            self.coverage.add("late effect fenced", 1);
            return false;
        }
        subject.effects += 1;
        self.coverage.add("late effect", 1);
        self.note(Event::Effect { token: call.token.clone(), place: call.place, late: true });
        true
    }

    /// The handler is done with a call, one way or another.
    pub fn answered(&mut self, call: &Call, ended: Ended, how: &'static str) {
        self.note(Event::Answered { place: call.place, how });
        self.check_kept(call);
        let now = self.now();
        if self.lanes.get(&call.lane) == Some(&(call.process, call.place)) {
            self.lanes.remove(&call.lane);
        }
        let life = self.lives.entry(call.process).or_default();
        life.running -= 1;
        life.panics += u64::from(how == "panicked");
        life.dropped += u64::from(ended == Ended::Dropped);
        let subject = self.subjects.entry(call.subject.clone()).or_default();
        if let Some(last) = &mut subject.last
            && last.process == call.process
            && last.place == call.place
        {
            (last.ended, last.at) = (Some(ended), now);
        }
        let acked = ended == Ended::Acked;
        if acked {
            subject.acked.push(call.fence);
        }
        if let Some(seen) = self.seen_mut(call.place) {
            seen.acked |= acked;
            if ended != Ended::Acked {
                *seen.failed.entry(call.process).or_default() += 1;
            }
        }
        if acked && self.planned(call.id).is_some_and(|planned| planned.rejected) {
            self.violate("the scenario's service took what it rejects");
        }
    }

    pub(super) fn seen_mut(&mut self, place: Place) -> Option<&mut Seen> {
        self.parts.get_mut(&place.0)?.seen.get_mut(&place.1)
    }

    /// A store granted a claim.
    pub fn granted(&mut self, process: Process, token: &Token, fence: Fence) {
        self.note(Event::Claimed { token: token.clone(), answer: "granted" });
        self.hold(process, token, fence);
        let subject = self.subjects.entry(token.clone()).or_default();
        let (before, completed) = (subject.granted, subject.completed);
        subject.granted = before.max(fence);
        if fence <= before {
            self.violate(format!("{token} is granted under {fence:?} after {before:?}"));
        }
        if completed {
            self.violate(format!("{token} is granted, though its completion was durable"));
        }
    }

    /// A store says that a token is done: seen is not done, a handler must have succeeded on it.
    pub fn said_done(&mut self, token: &Token) {
        self.note(Event::Claimed { token: token.clone(), answer: "done" });
        self.coverage.add("recognised as done", 1);
        let subject = self.subjects.entry(token.clone()).or_default();
        subject.completed = true;
        if subject.acked.is_empty() {
            self.violate(format!("{token} is done in the store, and no handler has succeeded on it"));
        }
    }

    /// A store says that a token is held.
    pub fn said_held(&mut self, token: &Token) {
        self.note(Event::Claimed { token: token.clone(), answer: "held" });
        self.coverage.add("held by another", 1);
    }

    /// A completion is asked for.
    pub fn completing(&mut self, token: &Token, fence: Fence) {
        let acked = self.subjects.get(token).is_some_and(|subject| subject.acked.contains(&fence));
        if !acked {
            self.violate(format!("{token} is to be completed under {fence:?} without a success under it"));
        }
    }

    /// A release is asked for.
    pub fn releasing(&mut self, token: &Token, fence: Fence) {
        let acked = self.subjects.get(token).is_some_and(|subject| subject.acked.contains(&fence));
        if acked {
            self.violate(format!("{token} is released under {fence:?} after its success"));
        }
    }

    /// A store answered a completion.
    pub fn completed(&mut self, token: &Token, answer: &'static str) {
        self.note(Event::Completed { token: token.clone(), answer });
        match answer {
            "ok" => {
                let subject = self.subjects.entry(token.clone()).or_default();
                subject.completed = true;
                subject.leases.end();
            }
            other => self.coverage.add(&format!("completion {other}"), 1),
        }
    }

    /// The lowest offset at or above `from` that is not finished, for messages.
    pub(super) fn first_unfinished(&self, partition: u32, from: Offset) -> Option<Offset> {
        let part = self.parts.get(&partition)?;
        part.seen.range(from..).find(|(_, seen)| !self.is_finished(seen)).map(|(offset, _)| *offset)
    }
}
