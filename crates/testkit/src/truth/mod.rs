//! What really happened, written down by the seams around the shipped code and judged as it happens.
//!
//! The truth is kept apart from everything under test: it sees what sources hand out, what handlers are called
//! with and answer, what stores and sinks confirm, and what is committed; it never asks the consumer what it
//! thinks. Each entry is checked against what is known so far, so that a violation is found at the event that
//! commits it, with the events that led there.
//!
//! The rules, by the design's invariants:
//!
//! | rule | checked at |
//! | --- | --- |
//! | a claim is done only after the handler's success | completion asked for, `Done` answered |
//! | a watermark, or the set beyond it, never holds an unsettled record | every commit asked for |
//! | a dead letter is confirmed before its record is settled, and holds its story | every letter, every commit |
//! | nothing with a receipt is lost, and the log never rewrites what it gave out | every poll, the end |
//! | one order per key; one delivery of a key at a time | every start of a handler |
//! | a repeat has a reason, and its old token; after a durable completion there is none | every start |
//! | fences of a token only grow | every grant, every start, every effect |
//! | nobody is granted what another alive holds; a running handler's claim is renewed in time | every grant, every end of a handler |
//! | only the owner's commit, under its generation, is taken | every commit answered |
//! | a durable position never goes back | every assignment, every commit |
//! | conservation; panics are counted exactly; permits come back | every sample, the end of each life |
//! | everything finishes once the mishaps stop | the end |

mod commit;
mod deliver;
mod end;
mod lease;
mod letter;
mod sample;

use crate::chance::{Chances, Coverage, Mishap};
use crate::clock::SimClock;
use crate::trace::{Event, Place, Process, Trace};
use bytes::Bytes;
use deliver::Subject;
use letter::Letter;
use seawall_consumer::Ordering;
use seawall_consumer::track::OffsetSet;
use seawall_core::{Clock, Generation, Nanos, Offset, Record, Token};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

pub use deliver::{Call, Ended};

/// Many times what any run needs.
const EVENTS_MAX: usize = 50_000;

/// What a scenario promises to the truth.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Which records wait for which.
    pub ordering: Ordering,
    /// Whether claims are kept.
    pub claims: bool,
    /// How long a claim holds.
    pub lease: Duration,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// The pipeline's name, as dead letters must tell it.
    pub pipeline: String,
    /// The most handlers at once.
    pub handlers_max: u64,
}

/// A record that a producer means to send.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What it sends.
    pub record: Record,
    /// Its key's number.
    pub key: Option<u32>,
    /// The service will never take it.
    pub rejected: bool,
}

/// A record as it was first handed out by a source.
#[derive(Clone, Debug)]
struct Seen {
    id: u32,
    token: Token,
    key: Option<u32>,
    /// A handler succeeded on it.
    acked: bool,
    letter: Letter,
    /// By whom it was handled last.
    tried: Option<(Process, Generation)>,
    /// Attempts that failed, by process.
    failed: BTreeMap<Process, u32>,
}

/// One partition's truth.
#[derive(Debug, Default)]
struct Part {
    seen: BTreeMap<Offset, Seen>,
    /// One past the highest offset that a source has passed.
    next: Offset,
    /// What was made durable last.
    watermark: Offset,
    beyond: OffsetSet,
    /// To whom it was given last.
    owner: Option<(Process, Generation)>,
    /// Who had it and gave it back in order.
    released: BTreeSet<Process>,
}

impl Part {
    fn is_of(&self, process: Process) -> bool {
        self.owner.is_some_and(|(owner, _)| owner == process)
    }
}

/// What a process is doing.
#[derive(Debug, Default)]
struct Life {
    panics: u64,
    dropped: u64,
    running: u64,
}

/// Everything known.
#[derive(Debug)]
pub struct Facts {
    clock: SimClock,
    terms: Terms,
    planned: Vec<Planned>,
    receipts: BTreeMap<Place, u32>,
    last_receipt: BTreeMap<u32, (u32, Offset)>,
    parts: BTreeMap<u32, Part>,
    subjects: BTreeMap<Token, Subject>,
    /// What occupies a lane now.
    lanes: BTreeMap<deliver::Lane, (Process, Place)>,
    lives: BTreeMap<Process, Life>,
    trace: Trace,
    violation: Option<String>,
    /// What was met.
    pub coverage: Coverage,
    /// Chance, for every choice at a seam.
    pub rng: fastrand::Rng,
    /// Which mishaps happen now.
    pub chances: Chances,
}

/// The truth of one run. Clones share it.
#[derive(Clone, Debug)]
pub struct Truth(Arc<(Mutex<Facts>, Notify)>);

impl Truth {
    /// Nothing has happened yet.
    pub fn new(clock: SimClock, terms: Terms, planned: Vec<Planned>, chances: Chances, seed: u64) -> Self {
        let facts = Facts {
            clock,
            terms,
            planned,
            receipts: BTreeMap::new(),
            last_receipt: BTreeMap::new(),
            parts: BTreeMap::new(),
            subjects: BTreeMap::new(),
            lanes: BTreeMap::new(),
            lives: BTreeMap::new(),
            trace: Trace::default(),
            violation: None,
            coverage: Coverage::default(),
            rng: fastrand::Rng::with_seed(seed),
            chances,
        };
        Self(Arc::new((Mutex::new(facts), Notify::new())))
    }

    /// All facts. Never held over an await.
    pub fn facts(&self) -> MutexGuard<'_, Facts> {
        // A panic is injected only outside of this lock; another one fails the run anyway.
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters something, and rings when it violates a rule.
    pub fn enter<T>(&self, entry: impl FnOnce(&mut Facts) -> T) -> T {
        let mut facts = self.facts();
        let answer = entry(&mut facts);
        if facts.violation.is_some() {
            self.0.1.notify_one();
        }
        answer
    }

    /// Waits for a violation.
    pub async fn violated(&self) {
        while self.facts().violation.is_none() {
            self.0.1.notified().await;
        }
    }

    /// Whether `mishap` strikes now.
    pub fn strikes(&self, mishap: Mishap) -> bool {
        let mut facts = self.facts();
        let Facts { chances, rng, coverage, .. } = &mut *facts;
        let strikes = chances.strikes(mishap, rng);
        coverage.add(mishap.name(), u64::from(strikes));
        strikes
    }

    /// A pause of up to `ms_max` milliseconds, most often none.
    pub fn pause(&self, ms_max: u64) -> Duration {
        let mut facts = self.facts();
        let quick = facts.rng.u32(0..3) > 0;
        Duration::from_millis(if quick { 0 } else { facts.rng.u64(0..=ms_max) })
    }
}

impl Facts {
    fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// Writes an event down.
    pub fn note(&mut self, event: Event) {
        let now = self.now();
        if self.trace.len() == EVENTS_MAX {
            self.violate("it does not come to an end: the same things happen again and again");
        }
        if self.trace.len() <= EVENTS_MAX {
            self.trace.add(now, event);
        }
    }

    /// A rule was broken. The first one counts.
    pub fn violate(&mut self, what: impl Into<String>) {
        self.violation.get_or_insert_with(|| what.into());
    }

    /// What was violated, if anything.
    pub fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    /// What happened so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The plan of record `id`.
    pub fn planned(&self, id: u32) -> Option<&Planned> {
        self.planned.get(id as usize)
    }

    /// A process begins.
    pub fn began(&mut self, process: Process) {
        self.lives.insert(process, Life::default());
        self.note(Event::Began(process));
    }

    /// A process is gone, whatever it was doing.
    pub fn ended(&mut self, process: Process, died: Option<(crate::power::Site, crate::power::Cut)>) {
        self.lanes.retain(|_, (owner, _)| *owner != process);
        for subject in self.subjects.values_mut() {
            subject.process_gone(process);
        }
        if let Some((site, cut)) = died {
            self.coverage.add(&format!("{cut:?} at {site:?}"), 1);
        }
        self.note(Event::Ended(process, died));
    }

    /// A producer got an answer for record `id`.
    pub fn sent(&mut self, id: u32, place: Option<Place>) {
        self.note(Event::Sent { id, place });
        let Some(place) = place else { return };
        self.coverage.add("receipt", 1);
        if let Some(other) = self.receipts.insert(place, id) {
            self.violate(format!("two receipts for {place:?}: of record {other} and of {id}"));
        }
        if let Some(seen) = self.parts.get(&place.0).and_then(|part| part.seen.get(&place.1))
            && seen.id != id
        {
            let other = seen.id;
            self.violate(format!("{place:?} was handed out as record {other}, its receipt is of {id}"));
        }
        if let Some(key) = self.planned.get(id as usize).and_then(|planned| planned.key) {
            let last = self.last_receipt.insert(key, (place.0, place.1));
            if let Some((partition, offset)) = last
                && (partition != place.0 || offset >= place.1)
            {
                self.violate(format!("key {key} went to {partition}/{offset} and then to {place:?}"));
            }
        }
    }

    /// A source handed a record out. Its id is in its value.
    pub fn handed_out(&mut self, partition: u32, offset: Offset, record: &Record) {
        let place = Place(partition, offset);
        let id = id_of(&record.value);
        let Some(planned) = id.and_then(|id| self.planned(id)) else {
            return self.violate(format!("{place:?} holds what nobody sent: {record:?}"));
        };
        let sent = &planned.record;
        if (&sent.key, &sent.value, &sent.headers) != (&record.key, &record.value, &record.headers) {
            return self.violate(format!("{place:?} is not what was sent: {record:?}"));
        }
        let (id, key) = (id.unwrap_or_default(), planned.key);
        if let Some(receipt) = self.receipts.get(&place)
            && *receipt != id
        {
            let receipt = *receipt;
            return self.violate(format!("{place:?} holds record {id}, its receipt is of {receipt}"));
        }
        let token = token_of(record, place);
        let part = self.parts.entry(partition).or_default();
        part.next = part.next.max(offset + 1);
        let letter = Letter::default();
        let fresh = Seen { id, token, key, acked: false, letter, tried: None, failed: BTreeMap::new() };
        let known = part.seen.entry(offset).or_insert(fresh).id;
        if known != id {
            self.violate(format!("{place:?} was record {known} and is now {id}: history was rewritten"));
        }
    }

    /// A source has passed everything below `next`.
    pub fn passed(&mut self, partition: u32, next: Offset) {
        let part = self.parts.entry(partition).or_default();
        part.next = part.next.max(next);
    }
}

/// The topic every scenario uses.
pub const TOPIC: &str = "orders";

/// The token of a record at its place, as a delivery computes it.
fn token_of(record: &Record, place: Place) -> Token {
    let own = record.headers.get(seawall_core::token::TOKEN_HEADER);
    own.and_then(|bytes| Token::new(bytes.clone()).ok())
        .unwrap_or_else(|| Token::of_origin(TOPIC, place.0, place.1, record.timestamp))
}

/// The value of record `id`: its number, and filler that a torn write would spoil.
pub fn value_of(id: u32, len: usize) -> Bytes {
    let mut value = format!("{id}:").into_bytes();
    value.extend((0..len).map(|at| (at as u32).wrapping_mul(31).wrapping_add(id) as u8));
    Bytes::from(value)
}

fn id_of(value: &Bytes) -> Option<u32> {
    let digits = value.split(|byte| *byte == b':').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
