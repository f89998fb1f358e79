//! What waits for the log's thread, bounded in bytes and frames.

use super::batch::Batch;
use super::chain::Chain;
use super::group::{Promise, Ticket};
use super::{GroupOptions, Overflow};
use crate::error::WalError;
use crate::format::{MARK_BYTES, frame_bytes};
use crate::log::Counters;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A group takes no more batches above this size: its frames are in memory twice until they are durable.
const GROUP_BYTES_MAX: u64 = 8 << 20;

/// Frames to be written together.
pub(super) struct Pending<B> {
    pub(super) promise: Promise,
    pub(super) batches: Vec<B>,
    pub(super) chain: Option<Chain>,
    frames: usize,
    bytes: u64,
}

impl<B> Pending<B> {
    fn new(chain: Option<Chain>) -> Self {
        Self { promise: Promise::default(), batches: Vec::new(), chain, frames: 0, bytes: 0 }
    }

    /// Whether a batch of `bytes` in `chain` may go with it, where a group has at most `bytes_max`.
    fn takes(&self, bytes: u64, chain: Option<&Chain>, bytes_max: u64) -> bool {
        let same = match (&self.chain, chain) {
            (None, None) => true,
            (Some(one), Some(other)) => one.is(other),
            _ => false,
        };
        same && (self.bytes == 0 || self.bytes + bytes <= bytes_max)
    }
}

/// What the thread is to do next.
pub(super) enum Job<B> {
    Write(Pending<B>),
    Truncate { before: u64, promise: Promise },
    Close,
}

/// Shared by the writers and the log's thread.
pub(super) struct Shared<B> {
    options: GroupOptions,
    /// The most bytes, as they will stand on disk, that the log takes at a time.
    unsynced_bytes_max: u64,
    queue: Mutex<Queue<B>>,
    work: Condvar,
    room: Condvar,
}

struct Queue<B> {
    groups: VecDeque<Pending<B>>,
    truncations: VecDeque<(u64, Promise)>,
    bytes: u64,
    frames: usize,
    /// Threads that wait for room: where there are none, nothing is spent on waking them.
    blocked: usize,
    closed: bool,
    counters: Counters,
    ended: Option<WalError>,
}

impl<B> Default for Queue<B> {
    fn default() -> Self {
        Self {
            groups: VecDeque::new(),
            truncations: VecDeque::new(),
            bytes: 0,
            frames: 0,
            blocked: 0,
            closed: false,
            counters: Counters::default(),
            ended: None,
        }
    }
}

impl<B: Batch> Shared<B> {
    pub(super) fn new(options: GroupOptions, unsynced_bytes_max: u64) -> Self {
        let unsynced_bytes_max = unsynced_bytes_max - MARK_BYTES as u64;
        Self {
            options,
            unsynced_bytes_max,
            queue: Mutex::default(),
            work: Condvar::new(),
            room: Condvar::new(),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<B>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, batch: B, chain: Option<&Chain>) -> Result<Ticket, WalError> {
        let frames = batch.frames();
        let bytes: u64 = (0..frames).map(|at| frame_bytes(batch.frame_bytes(at)) as u64).sum();
        if bytes > self.unsynced_bytes_max {
            return Err(WalError::UnsyncedFull { bytes, max: self.unsynced_bytes_max });
        }
        let group_bytes_max = self.unsynced_bytes_max.min(GROUP_BYTES_MAX);
        let mut queue = self.queue();
        loop {
            if queue.closed {
                return Err(WalError::Closed);
            }
            // A batch larger than the bound is taken alone, else it could never be.
            let fits = queue.bytes + bytes <= self.options.queue_bytes_max
                && queue.frames + frames <= self.options.queue_frames_max;
            if fits || queue.frames == 0 {
                break;
            }
            match self.options.overflow {
                Overflow::Refuse => {
                    let (bytes, max) = (queue.bytes + bytes, self.options.queue_bytes_max);
                    return Err(WalError::QueueFull { bytes, max });
                }
                Overflow::Wait => {
                    queue.blocked += 1;
                    queue = self.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
                    queue.blocked -= 1;
                }
            }
        }
        queue.bytes += bytes;
        queue.frames += frames;
        if queue.groups.back().is_none_or(|last| !last.takes(bytes, chain, group_bytes_max)) {
            queue.groups.push_back(Pending::new(chain.cloned()));
        }
        let Some(last) = queue.groups.back_mut() else { return Err(WalError::Closed) };
        let ticket = Ticket::new(Arc::clone(&last.promise.0), last.frames as u64, frames as u64);
        last.bytes += bytes;
        last.frames += frames;
        last.batches.push(batch);
        drop(queue);
        self.work.notify_one();
        Ok(ticket)
    }

    pub(super) fn truncate(&self, before: u64) -> Result<Ticket, WalError> {
        let mut queue = self.queue();
        if queue.closed {
            return Err(WalError::Closed);
        }
        let promise = Promise::default();
        let group = Arc::clone(&promise.0);
        queue.truncations.push_back((before, promise));
        drop(queue);
        self.work.notify_one();
        Ok(Ticket::new(group, 0, 0))
    }

    /// Waits for something to do.
    pub(super) fn next(&self) -> Job<B> {
        let mut queue = self.queue();
        loop {
            if let Some((before, promise)) = queue.truncations.pop_front() {
                return Job::Truncate { before, promise };
            }
            if let Some(group) = queue.groups.pop_front() {
                queue.bytes -= group.bytes;
                queue.frames -= group.frames;
                let blocked = queue.blocked;
                drop(queue);
                if blocked > 0 {
                    self.room.notify_all();
                }
                return Job::Write(group);
            }
            if queue.closed {
                return Job::Close;
            }
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn close(&self) {
        self.queue().closed = true;
        self.work.notify_all();
        self.room.notify_all();
    }

    /// The thread ends: whoever still waits is told.
    pub(super) fn end(&self, error: Option<WalError>) {
        let mut queue = self.queue();
        queue.closed = true;
        queue.ended.clone_from(&error);
        let groups = std::mem::take(&mut queue.groups);
        let truncations = std::mem::take(&mut queue.truncations);
        drop(queue);
        self.room.notify_all();
        let answer = || Err(error.clone().unwrap_or(WalError::Closed));
        for promise in groups.into_iter().map(|pending| pending.promise) {
            promise.finish(answer());
        }
        for (_, promise) in truncations {
            promise.finish(answer());
        }
    }

    pub(super) fn ended(&self) -> Result<(), WalError> {
        self.queue().ended.clone().map_or(Ok(()), Err)
    }

    pub(super) fn counters(&self) -> Counters {
        self.queue().counters
    }

    pub(super) fn set_counters(&self, counters: Counters) {
        self.queue().counters = counters;
    }
}
