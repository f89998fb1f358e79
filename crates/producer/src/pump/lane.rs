//! One lane: the keys whose calls follow each other.

use crate::inbox::{Duty, Entry};
use crate::producer::ENTRY_BYTES;
use crate::route::{Grant, Stride, Turn};
use crate::spill::keys::Bucket;
use seawall_core::{Fault, Nanos, Outgoing, Receipt};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// What is known of a record that is on disk.
#[derive(Clone, Copy)]
pub(super) struct Stored {
    pub(super) seq: u64,
    pub(super) bytes: usize,
    pub(super) bucket: Bucket,
}

/// A record read from the spill.
pub(super) struct Replayed {
    pub(super) stored: Stored,
    pub(super) outgoing: Outgoing,
}

impl Replayed {
    /// What it takes in memory.
    pub(super) fn weight(&self) -> usize {
        self.stored.bytes + self.outgoing.record.headers.list_bytes() + ENTRY_BYTES
    }
}

/// A live record's place in a call.
pub(super) enum Sent {
    Mine(Duty),
    /// The call took long: it queues for the disk, too.
    Queued,
    /// It is on disk, too.
    OnDisk(Stored),
}

impl Sent {
    /// Bytes of it, as far as they are known here.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Mine(duty) => duty.bytes,
            Self::Queued => 0,
            Self::OnDisk(stored) => stored.bytes,
        }
    }
}

/// What is known of a call's records, in their order.
pub(super) enum Load {
    Live(Vec<Sent>),
    Replay(Vec<Stored>),
}

pub(super) type Answers = Vec<Result<Receipt, Fault>>;

/// A call on its way.
pub(super) struct Flight {
    pub(super) grant: Grant,
    /// The sink reads them, too, until it answers.
    pub(super) records: Arc<Vec<Outgoing>>,
    pub(super) load: Load,
    /// It took longer than the patience.
    pub(super) stalled: bool,
    /// It ended, while some of its records are still on their way to the disk.
    pub(super) answers: Option<Answers>,
    /// The earliest deadline of its live records.
    pub(super) deadline: Nanos,
}

impl Flight {
    /// Whether a record of it is on its way to the disk.
    pub(super) fn has_queued(&self) -> bool {
        matches!(&self.load, Load::Live(sent) if sent.iter().any(|sent| matches!(sent, Sent::Queued)))
    }
}

pub(super) struct Lane {
    /// Live records that wait.
    pub(super) live: VecDeque<Entry>,
    pub(super) live_bytes: usize,
    /// Records from the spill that wait.
    pub(super) replay: VecDeque<Replayed>,
    pub(super) flight: Option<Flight>,
    /// Records that are being put aside: no call until that is done.
    pub(super) parking: Vec<u64>,
    /// Calls in a row of which some records failed, while others were taken.
    pub(super) partly: u32,
    pub(super) retry_at: Nanos,
    /// When a whole call failed; `None` since one did not.
    pub(super) failed_at: Option<Nanos>,
    pub(super) turn: Turn,
    /// Of its calls from the disk.
    pub(super) stride: Stride,
    /// Of its calls with live records.
    pub(super) live_stride: Stride,
}

impl Lane {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            live: VecDeque::new(),
            live_bytes: 0,
            replay: VecDeque::new(),
            flight: None,
            parking: Vec::new(),
            partly: 0,
            retry_at: Nanos::default(),
            failed_at: None,
            turn: Turn::default(),
            stride: Stride::of_replay(),
            live_stride: Stride::of_live(patience),
        }
    }

    /// What it is given waits for long.
    pub(super) fn is_slow(&self, now: Nanos) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.stalled)
            || self.failed_at.is_some()
            || now < self.retry_at
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.live_bytes += entry.duty.bytes;
        self.live.push_back(entry);
    }

    /// In front of all that wait.
    pub(super) fn push_back_to_front(&mut self, entry: Entry) {
        self.live_bytes += entry.duty.bytes;
        self.live.push_front(entry);
    }

    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = self.live.pop_front()?;
        self.live_bytes -= entry.duty.bytes;
        Some(entry)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.live.is_empty() && self.flight.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_core::{Header, Record};

    #[test]
    fn what_is_read_ahead_counts_with_its_headers() {
        let mut record = Record::new(None, "");
        record.headers = std::iter::repeat_n(Header::named("", ""), 128).collect();
        let outgoing = Outgoing { topic: "orders".into(), partition: None, record };
        let stored = Stored { seq: 0, bytes: 300, bucket: Bucket::of("orders", None) };
        assert_eq!(Replayed { stored, outgoing }.weight(), 300 + 256 + 128 * 64);
    }
}
