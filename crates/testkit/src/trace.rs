//! What happened, event by event: hashed to compare two runs, printed when one fails.

use crate::power::{Cut, Site};
use seawall_core::{Nanos, Offset, Token};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

/// One process of a scenario: a life of a single one, or an incarnation of a group's member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process(pub u32);

/// A record's place: partition and offset of the scenario's topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u32, pub Offset);

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

/// What happened.
#[expect(missing_docs, reason = "each is what its name and its fields' names say")]
#[derive(Clone, Debug, Hash)]
pub enum Event {
    Began(Process),
    Ended(Process, Option<(Site, Cut)>),
    Told(Process, &'static str),
    Sent { id: u32, place: Option<Place> },
    Assigned { process: Process, partition: u32, watermark: Offset },
    Gone { process: Process, partition: u32, lost: bool },
    Polled { process: Process, from: Place, records: usize },
    Claimed { token: Token, answer: &'static str },
    Started { process: Process, place: Place, token: Token, attempt: u32 },
    Effect { token: Token, place: Place, late: bool },
    Answered { place: Place, how: &'static str },
    Completed { token: Token, answer: &'static str },
    Committed { process: Process, partition: u32, watermark: Offset, beyond: usize, answer: &'static str },
    Letter { process: Process, place: Place, answer: &'static str },
}

/// All events of a run, in order.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    events: Vec<(Nanos, Event)>,
}

impl Trace {
    /// Adds one.
    pub fn add(&mut self, at: Nanos, event: Event) {
        self.events.push((at, event));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// A number that differs when anything differs: what happened, when, in which order.
    pub fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.events.hash(&mut hasher);
        hasher.finish()
    }

    /// The last `most` events, one to a line.
    pub fn tail(&self, most: usize) -> String {
        use fmt::Write;
        let mut text = String::new();
        for (at, event) in &self.events[self.events.len().saturating_sub(most)..] {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:>12.3} ms  {event:?}", at.0 as f64 / 1e6);
        }
        text
    }
}
