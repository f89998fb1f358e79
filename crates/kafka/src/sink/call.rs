//! The answers of one call, filled in by delivery reports.

use super::narrow::Company;
use seawall_core::Fault;
use std::collections::HashSet;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Below every offset that a broker gives.
const UNANSWERED: i64 = i64::MIN;

/// Where a record was written.
#[derive(Debug)]
struct Slot {
    offset: AtomicI64,
    partition: AtomicI32,
}

/// One call on its way: the producer's thread fills it in, the last report wakes the caller once.
#[derive(Debug)]
pub(super) struct Call {
    slots: Box<[Slot]>,
    failures: Mutex<Vec<(usize, Fault)>>,
    /// Reports to come, and one for the caller until it waits.
    open: AtomicUsize,
    done: Notify,
    _company: Company,
}

impl Call {
    pub(super) fn new(records: usize, company: Company) -> Arc<Self> {
        let slot = |_| Slot { offset: AtomicI64::new(UNANSWERED), partition: AtomicI32::new(-1) };
        Arc::new(Self {
            slots: (0..records).map(slot).collect(),
            failures: Mutex::new(Vec::new()),
            open: AtomicUsize::new(1),
            done: Notify::new(),
            _company: company,
        })
    }

    /// The right, and the duty, to answer for the record at `place`.
    pub(super) fn ticket(self: &Arc<Self>, place: usize) -> Ticket {
        self.open.fetch_add(1, Ordering::Relaxed);
        Ticket { call: Arc::clone(self), place }
    }

    /// The record at `place` was never handed over.
    pub(super) fn refuse(&self, place: usize, fault: Fault) {
        self.failures().push((place, fault));
    }

    /// The caller has handed over what it had: the call is answered once every ticket is gone. Called once.
    pub(super) fn handed_over(&self) {
        self.one_less();
    }

    /// Waits until every ticket is gone. One waiter at a time.
    pub(super) async fn answered(&self) {
        while self.open.load(Ordering::Acquire) > 0 {
            self.done.notified().await;
        }
    }

    /// The places that have no answer yet.
    pub(super) fn unanswered(&self) -> Vec<usize> {
        let failures = self.failures();
        let failed: HashSet<usize> = failures.iter().map(|(place, _)| *place).collect();
        let open = |(place, written): (usize, Option<_>)| {
            (written.is_none() && !failed.contains(&place)).then_some(place)
        };
        self.written().enumerate().filter_map(open).collect()
    }

    /// Partition and offset of each record; `None` where it failed.
    pub(super) fn written(&self) -> impl Iterator<Item = Option<(u32, u64)>> {
        self.slots.iter().map(|slot| {
            let partition = u32::try_from(slot.partition.load(Ordering::Relaxed)).ok()?;
            Some((partition, u64::try_from(slot.offset.load(Ordering::Relaxed)).ok()?))
        })
    }

    /// The failures so far, in no order.
    pub(super) fn take_failures(&self) -> Vec<(usize, Fault)> {
        std::mem::take(&mut self.failures())
    }

    fn failures(&self) -> MutexGuard<'_, Vec<(usize, Fault)>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn one_less(&self) {
        // Publishes what this report wrote, and, to the last one, what all others wrote.
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }
}

/// Answers for one record. Dropped without an answer (the client went away with it), its record counts as
/// unanswered instead of holding the call up for ever.
#[derive(Debug)]
pub(super) struct Ticket {
    call: Arc<Call>,
    place: usize,
}

impl Ticket {
    pub(super) fn written(self, partition: i32, offset: i64) {
        let slot = &self.call.slots[self.place];
        slot.offset.store(offset, Ordering::Relaxed);
        slot.partition.store(partition, Ordering::Relaxed);
    }

    pub(super) fn failed(self, fault: Fault) {
        self.call.failures().push((self.place, fault));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.call.one_less();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::KafkaError;
    use crate::sink::narrow::Narrow;
    use std::pin::pin;
    use std::task::{Context, Waker};

    fn ready(call: &Call) -> bool {
        pin!(call.answered()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_call_is_answered_when_its_last_ticket_is_gone_however_it_went() {
        let call = Call::new(4, Narrow::default().wide_call());
        let tickets: Vec<_> = (0..3).map(|place| call.ticket(place)).collect();
        call.refuse(3, KafkaError::Closed.into());
        call.one_less();
        let mut tickets = tickets.into_iter();
        tickets.next().unwrap().written(2, 70);
        assert!(!ready(&call));
        tickets.next().unwrap().failed(KafkaError::Closed.into());
        assert!(!ready(&call));
        drop(tickets.next());
        assert!(ready(&call));
        assert_eq!(call.written().collect::<Vec<_>>(), [Some((2, 70)), None, None, None]);
        let mut failed: Vec<_> = call.take_failures().into_iter().map(|(place, _)| place).collect();
        failed.sort_unstable();
        assert_eq!(failed, [1, 3]);
    }

    #[test]
    fn an_unknown_offset_is_no_receipt() {
        let call = Call::new(1, Narrow::default().wide_call());
        call.ticket(0).written(2, -1001);
        assert_eq!(call.written().next(), Some(None));
    }
}
