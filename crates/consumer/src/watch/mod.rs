//! The watchdog: says by name what stands still, and touches nothing.
//!
//! It looks from a thread of its own, because what it looks for may have stopped every other. What it finds is in
//! the snapshot, and in the log at warn level when it begins and again each time it has doubled; nothing else
//! reads it. A simulated pipeline ([`Driver::Inline`](crate::Driver::Inline)) has no watchdog: it would be one
//! thread too many for a run that its seed decides.

pub(crate) mod board;
mod stall;

pub use stall::{Stall, StallKind};

use crate::shared::{Shared, lock};
use crate::stats::State;
use seawall_core::{Nanos, TopicPartition};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot::{self, error::TryRecvError};

/// Stalled handlers shown of each worker.
const SHOWN: usize = 8;
const LOOK_MIN: Duration = Duration::from_millis(25);
const LOOK_MAX: Duration = Duration::from_secs(1);

/// Starts the watchdog of a pipeline whose tasks run on `runtime`. It ends with the pipeline.
pub(crate) fn start(shared: &Arc<Shared>, runtime: Handle) {
    let watched = Arc::downgrade(shared);
    let name = format!("watch-{}", shared.options.pipeline);
    let pause = (shared.options.stall_after / 4).clamp(LOOK_MIN, LOOK_MAX);
    let spawned = std::thread::Builder::new().name(name).spawn(move || watch(&watched, &runtime, pause));
    if let Err(error) = spawned {
        tracing::warn!(pipeline = %shared.options.pipeline, %error, "no thread for the watchdog");
    }
}

fn watch(watched: &Weak<Shared>, runtime: &Handle, pause: Duration) {
    let mut memory = Memory::default();
    let mut told: Vec<Stall> = Vec::new();
    loop {
        std::thread::sleep(pause);
        let Some(shared) = watched.upgrade() else { return };
        let stopped = matches!(*lock(&shared.state), State::Stopped | State::Failed(_));
        if stopped || !memory.probe(runtime, shared.now()) {
            lock(&shared.stalls).clear();
            return;
        }
        let stalls = look(&shared, &mut memory, shared.now());
        tell(&shared, &mut told, &stalls);
        *lock(&shared.stalls) = stalls;
    }
}

/// Logs what is new, what has doubled, and what is over.
fn tell(shared: &Shared, told: &mut Vec<Stall>, stalls: &[Stall]) {
    let pipeline = &shared.options.pipeline;
    told.retain(|old| {
        let goes_on = stalls.iter().any(|stall| stall.is_same(old));
        if !goes_on {
            tracing::info!(%pipeline, "no longer stalled: {old}");
        }
        goes_on
    });
    for stall in stalls {
        let before = told.iter_mut().find(|old| old.is_same(stall));
        if before.as_ref().is_some_and(|old| stall.lasted < 2 * old.lasted) {
            continue;
        }
        tracing::warn!(%pipeline, kind = stall.kind.as_str(), "stalled: {stall}");
        match before {
            Some(old) => *old = stall.clone(),
            None => told.push(stall.clone()),
        }
    }
}

/// What one look must remember for the next.
#[derive(Debug, Default)]
struct Memory {
    /// A task that the runtime is to run, and since when.
    probe: Option<(oneshot::Receiver<()>, Nanos)>,
    /// By worker: the poll it was seen in, and since when.
    polls: Vec<Option<(u64, Nanos)>>,
}

impl Memory {
    /// Asks the runtime to run something. False once it is gone.
    fn probe(&mut self, runtime: &Handle, now: Nanos) -> bool {
        if let Some((answer, _)) = &mut self.probe {
            match answer.try_recv() {
                Ok(()) => self.probe = None,
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Closed) => return false,
            }
        }
        if self.probe.is_none() {
            let (answer, answered) = oneshot::channel();
            runtime.spawn(async move {
                // Nobody waits for it any more: the pipeline has ended.
                let _ = answer.send(());
            });
            self.probe = Some((answered, now));
        }
        true
    }

    /// Since when `worker` is seen in its present poll.
    fn in_poll(&mut self, worker: usize, polls: u64, now: Nanos) -> Nanos {
        self.polls.resize(self.polls.len().max(worker + 1), None);
        match self.polls[worker] {
            Some((seen, since)) if seen == polls => since,
            _ => {
                self.polls[worker] = Some((polls, now));
                now
            }
        }
    }
}

/// Everything that stands still at `now`.
fn look(shared: &Shared, memory: &mut Memory, now: Nanos) -> Vec<Stall> {
    let after = shared.options.stall_after;
    let mut stalls = Vec::new();
    let mut add = |stall: Stall| {
        if stall.lasted >= after {
            stalls.push(stall);
        }
    };
    if let Some((_, since)) = &memory.probe {
        add(Stall::of(StallKind::Runtime, *since, now));
    }
    add(Stall::of(StallKind::Fetch, shared.stepped(), now));
    let held = lock(&shared.partitions).clone();
    let id_of = |slot: u32| -> Option<TopicPartition> {
        held.values().find(|partition| partition.slot == slot).map(|partition| partition.id.clone())
    };
    for (worker, board) in shared.boards.iter().enumerate() {
        if let Some(polled) = board.polled() {
            let since = memory.in_poll(worker, polled.polls, now);
            let (partition, offset, key) = (id_of(polled.slot), Some(polled.offset), Some(polled.key));
            let stall = Stall::of(StallKind::Worker, since, now);
            add(Stall { worker: Some(worker), partition, offset, key, ..stall });
        }
        let before = Nanos(now.0.saturating_sub(after.as_nanos() as u64));
        for out in board.since(before, SHOWN) {
            add(Stall {
                worker: Some(worker),
                partition: Some(out.partition.id.clone()),
                offset: Some(out.offset),
                key: Some(out.key),
                token: out.token,
                ..Stall::of(StallKind::Handler, out.since, now)
            });
        }
    }
    for partition in held.values() {
        if let Some((offset, since)) = partition.head() {
            let stall = Stall::of(StallKind::Partition, since, now);
            add(Stall { partition: Some(partition.id.clone()), offset: Some(offset), ..stall });
        }
    }
    stalls
}
