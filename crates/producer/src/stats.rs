//! What a producer tells of itself. Written by the pump, read by anybody; nothing is decided by it.

use crate::route::State;
use seawall_core::{Class, Fault, WallMs};
use seawall_guard::BreakerState;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The latest events that a snapshot carries.
const EVENTS_MAX: usize = 32;

/// The way that a record took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// Its first call was answered for it.
    Direct,
    /// It waited in memory and was sent again.
    Buffer,
    /// It was put on disk.
    Spill,
    /// It came from the disk.
    Replay,
}

impl Path {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Direct, Self::Buffer, Self::Spill, Self::Replay];

    /// The lower-case name used in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Buffer => "buffer",
            Self::Spill => "spill",
            Self::Replay => "replay",
        }
    }
}

/// Something changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, by the wall clock.
    pub at: WallMs,
    /// What.
    pub what: Happening,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The state.
    State {
        /// Before.
        from: State,
        /// Now.
        to: State,
    },
    /// The sink that takes the calls.
    Switched {
        /// Before.
        from: Arc<str>,
        /// Now.
        to: Arc<str>,
    },
    /// The spill does not take records, or does not give them back.
    SpillTrouble {
        /// Why.
        why: String,
    },
    /// A sink refused for good what had a receipt already: kept in the spill's `refused` log.
    Refused {
        /// Records.
        records: u64,
        /// What the sink said of the first.
        why: String,
    },
}

/// A sink, in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkSnapshot {
    /// Its name.
    pub name: Arc<str>,
    /// Its breaker.
    pub breaker: BreakerState,
    /// Records by the way they took ([`Path::ALL`]); those spilled are counted to the sink they were meant for.
    pub records: [u64; 4],
}

/// A producer at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Which way records go.
    pub state: State,
    /// The place of the sink that takes the calls, in the order of preference.
    pub active: usize,
    /// The sinks, most preferred first.
    pub sinks: Vec<SinkSnapshot>,
    /// Bytes in memory.
    pub memory_bytes: u64,
    /// Their bound.
    pub memory_bytes_max: u64,
    /// Records in memory, and callers that wait for one on disk.
    pub memory_records: u64,
    /// Bytes that the spill takes on disk, but for what it keeps ready.
    pub spill_bytes: u64,
    /// Their bound: at it nothing more is spilled. Less than [`SpillOptions::disk_bytes_max`](crate::SpillOptions) by what is
    /// kept ready; 0 without a spill.
    pub spill_bytes_max: u64,
    /// Records on disk that wait to be delivered.
    pub backlog_records: u64,
    /// Bytes of them.
    pub backlog_bytes: u64,
    /// Those among them that fail alone, and are asked for by themselves; their keys wait behind them on disk.
    pub held_records: u64,
    /// Records delivered from the disk since the backlog began.
    pub replayed_records: u64,
    /// The time until the backlog is delivered, at the pace of the last seconds; `None` while nothing moves.
    pub replay_left: Option<Duration>,
    /// Records that a sink refused for good after they had a receipt.
    pub refused_records: u64,
    /// Such records that lie in the spill's `refused` log, those of earlier lives among them.
    pub refused_kept: u64,
    /// Sends refused for want of room.
    pub full: u64,
    /// Records whose time ran out.
    pub timed_out: u64,
    /// Changes of the sink that takes the calls.
    pub switches: u64,
    /// What the spill's last failure was, until it works again.
    pub spill_trouble: Option<String>,
    /// The latest events, oldest first.
    pub events: Vec<Event>,
}

/// What the pump knows and shows.
#[derive(Debug)]
pub(crate) struct Gauges {
    pub(crate) state: State,
    pub(crate) active: usize,
    pub(crate) breakers: Vec<BreakerState>,
    pub(crate) spill_bytes: u64,
    pub(crate) spill_bytes_max: u64,
    pub(crate) backlog_records: u64,
    pub(crate) backlog_bytes: u64,
    pub(crate) held_records: u64,
    pub(crate) replayed: u64,
    pub(crate) replay_left: Option<Duration>,
    pub(crate) spill_trouble: Option<String>,
    pub(crate) events: VecDeque<Event>,
    /// What a sink said last that was no receipt.
    pub(crate) last_fault: Option<Fault>,
}

impl Gauges {
    /// What stands in the way: the disk, where that is in trouble, else what a sink said last.
    pub(crate) fn cause(&self) -> Option<Fault> {
        let of_disk = self.spill_trouble.as_ref().map(|why| Fault::new(Class::Overload, why.clone()));
        of_disk.or_else(|| self.last_fault.clone())
    }
}

#[derive(Debug)]
pub(crate) struct Stats {
    records: Vec<[AtomicU64; 4]>,
    pub(crate) refused: AtomicU64,
    pub(crate) refused_before: AtomicU64,
    pub(crate) timed_out: AtomicU64,
    pub(crate) switches: AtomicU64,
    gauges: Mutex<Gauges>,
}

impl Stats {
    pub(crate) fn new(sinks: usize) -> Self {
        let gauges = Gauges {
            state: State::Direct,
            active: 0,
            breakers: vec![BreakerState::Closed; sinks],
            spill_bytes: 0,
            spill_bytes_max: 0,
            backlog_records: 0,
            backlog_bytes: 0,
            held_records: 0,
            replayed: 0,
            replay_left: None,
            spill_trouble: None,
            events: VecDeque::new(),
            last_fault: None,
        };
        Self {
            records: std::iter::repeat_with(Default::default).take(sinks).collect(),
            refused: AtomicU64::new(0),
            refused_before: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            switches: AtomicU64::new(0),
            gauges: Mutex::new(gauges),
        }
    }

    pub(crate) fn gauges(&self) -> MutexGuard<'_, Gauges> {
        self.gauges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self, sink: usize, path: Path, records: u64) {
        if records > 0
            && let Some(of) = self.records.get(sink)
        {
            of[path as usize].fetch_add(records, Relaxed);
        }
    }

    pub(crate) fn records(&self, sink: usize) -> [u64; 4] {
        self.records.get(sink).map(|of| [0, 1, 2, 3].map(|path| of[path].load(Relaxed))).unwrap_or_default()
    }

    pub(crate) fn event(&self, at: WallMs, what: Happening) {
        let mut gauges = self.gauges();
        if gauges.events.len() == EVENTS_MAX {
            gauges.events.pop_front();
        }
        gauges.events.push_back(Event { at, what });
    }
}
