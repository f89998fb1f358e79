//! Where dead letters lie, and where it is written down which of them are done with.

mod kafka;
mod log;

use crate::destination::Destination;
use kafka::KafkaShelf;
use log::LogShelf;
use seawall_core::{Batch, Fault, Limit, Offset, Position};

/// What is read at a time.
const CHUNK: Limit = Limit { records: 256, bytes: 1 << 20 };

/// What a partition of dead letters holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) partition: u32,
    /// The oldest offset held.
    pub(super) start: Offset,
    /// One past the newest.
    pub(super) end: Offset,
}

/// What a look finds.
pub(super) struct Found {
    /// What is written down of each partition. Read first: where the end of a partition lies below, it is not the one that
    /// this was written of.
    pub(super) written: Vec<(u32, Position)>,
    /// What each partition holds now.
    pub(super) spans: Vec<Span>,
}

/// One topic of dead letters and the positions of the group that is done with them. Everything but [`Shelf::seen`]
/// blocks, for a disk or a broker.
pub(super) enum Shelf {
    Log(LogShelf),
    Kafka(Box<KafkaShelf>),
}

impl Shelf {
    /// The letters in `topic` of `place`, with the positions of `group`.
    ///
    /// # Errors
    /// What the log or the client says. A cluster that does not answer is no error here.
    pub(super) fn open(place: &Destination, group: &str, topic: &str) -> Result<Self, Fault> {
        Ok(match place {
            Destination::Log(broker) => Self::Log(LogShelf::open(broker, group, topic)?),
            Destination::Kafka { cluster, .. } => {
                Self::Kafka(Box::new(KafkaShelf::open(cluster, group, topic)?))
            }
        })
    }

    /// What each partition holds, as last seen: at once.
    pub(super) fn seen(&self) -> Vec<Span> {
        match self {
            Self::Log(shelf) => shelf.spans().unwrap_or_default(),
            Self::Kafka(shelf) => shelf.seen(),
        }
    }

    /// What each partition holds now, and what is written down of it. Of the log, what was there when it was opened: nobody
    /// else writes.
    pub(super) fn look(&self) -> Result<Found, Fault> {
        match self {
            Self::Log(shelf) => Ok(Found { written: shelf.positions(), spans: shelf.spans()? }),
            Self::Kafka(shelf) => shelf.look(),
        }
    }

    /// Letters of `span` from `from` on, of which the next read starts at `next`, above `from`; or `next` = `from`
    /// at the end of what can be read.
    pub(super) fn fetch(&self, span: Span, from: Offset) -> Result<Batch, Fault> {
        match self {
            Self::Log(shelf) => shelf.fetch(span.partition, from, CHUNK),
            Self::Kafka(shelf) => shelf.fetch(span, from, CHUNK),
        }
    }

    /// Writes again what is written down, where it would be forgotten.
    pub(super) fn renew(&self) -> Result<(), Fault> {
        match self {
            Self::Log(_) => Ok(()),
            Self::Kafka(shelf) => shelf.renew(),
        }
    }

    /// Makes positions durable.
    pub(super) fn commit(&self, positions: &[(u32, Position)]) -> Result<(), Fault> {
        match self {
            Self::Log(shelf) => shelf.commit(positions),
            Self::Kafka(shelf) => shelf.commit(positions),
        }
    }

    /// Gives back the space of what lies below each offset.
    pub(super) fn free(&self, below: &[(u32, Offset)]) -> Result<(), Fault> {
        match self {
            Self::Log(shelf) => shelf.free(below),
            Self::Kafka(shelf) => shelf.free(below),
        }
    }
}
