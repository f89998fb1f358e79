//! Nobody waits for ever: what is left of a record whose time ran out is said.

use super::Pump;
use super::lane::{Load, Sent};
use crate::error::{Left, SendError};
use seawall_core::Nanos;
use seawall_wal::Disk;
use std::sync::atomic::Ordering::Relaxed;

impl<D: Disk> Pump<D> {
    pub(super) fn timed_out(&self, left: Left) -> SendError {
        self.shared.stats.timed_out.fetch_add(1, Relaxed);
        let cause = self.shared.stats.gauges().cause();
        SendError::TimedOut { after: self.shared.options.timeout, left, cause }
    }

    /// Answers for everything whose time is over. All have the same timeout, so the front of each queue is first.
    pub(super) fn expire(&mut self, now: Nanos) {
        for at in 0..self.lanes.len() {
            while let Some(deadline) = self.lanes[at].live.front().map(|entry| entry.duty.deadline) {
                if now < deadline {
                    self.wake(deadline);
                    break;
                }
                if let Some(mut entry) = self.lanes[at].pop() {
                    self.time_out(&mut entry);
                    self.free(entry.duty.weight, 1);
                }
            }
            self.expire_flight(at, now);
        }
        let Some(backlog) = &mut self.backlog else { return };
        let (dropped, mut late, next_queued) = backlog.expire_queue(now);
        let (on_their_way, mut next) = backlog.appends.expire(now);
        late.extend(on_their_way);
        next = next.min(next_queued);
        let waited = backlog.expire_waiting(now);
        if let Some(deadline) = backlog.next_waiting() {
            next = next.min(deadline);
        }
        self.wake(next);
        for mut entry in dropped {
            self.time_out(&mut entry);
            self.free(entry.duty.weight, 1);
        }
        for mut answer in late {
            answer.settle(Err(self.timed_out(Left::Unknown)));
        }
        for mut answer in waited {
            answer.settle(Err(self.timed_out(Left::Spilled)));
            self.free(0, 1);
        }
    }

    /// A call is not taken back: its callers are told that they do not know, each once its own time is over.
    fn expire_flight(&mut self, at: usize, now: Nanos) {
        let Some(flight) = &mut self.lanes[at].flight else { return };
        if now < flight.deadline {
            let deadline = flight.deadline;
            return self.wake(deadline);
        }
        let (mut late, mut next) = (Vec::new(), Nanos(u64::MAX));
        if let Load::Live(sent) = &mut flight.load {
            for sent in sent {
                let Sent::Mine(duty) = sent else { continue };
                if now < duty.deadline {
                    next = next.min(duty.deadline);
                } else {
                    late.extend(duty.answer.take());
                }
            }
        }
        flight.deadline = next;
        self.wake(next);
        for mut answer in late {
            answer.settle(Err(self.timed_out(Left::Unknown)));
        }
    }

    /// The end: nothing that is left in memory has a way any more.
    pub(super) fn abandon_all(&mut self) {
        let lanes = self.lanes.iter_mut();
        let mut left: Vec<_> = lanes.flat_map(|lane| lane.live.drain(..)).map(|entry| entry.duty).collect();
        for lane in &mut self.lanes {
            if let Some(Load::Live(sent)) = lane.flight.take().map(|flight| flight.load) {
                left.extend(sent.into_iter().filter_map(|sent| match sent {
                    Sent::Mine(mut duty) => {
                        duty.attempted = true;
                        Some(duty)
                    }
                    _ => None,
                }));
            }
        }
        if let Some(backlog) = &mut self.backlog {
            left.extend(backlog.abandon_queue().into_iter().map(|entry| entry.duty));
            for mut answer in backlog.abandon_waiting() {
                answer.settle(Err(self.timed_out(Left::Spilled)));
                self.free(0, 1);
            }
        }
        for mut duty in left {
            let told = duty.attempted || duty.shadow.is_some();
            let error = if told { SendError::Lost } else { SendError::Closed };
            duty.answer.settle(Err(error));
            self.free(duty.weight, 1);
        }
    }
}
