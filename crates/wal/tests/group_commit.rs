//! Many writers over one log: numbers, order, bounds, closing, and a log whose thread dies.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod harness;
#[path = "harness/hooked.rs"]
mod hooked;

use bytes::Bytes;
use harness::{NOW, open, options, read_all};
use hooked::Hooked;
use seawall_core::SystemClock;
use seawall_wal::disk::SimDisk;
use seawall_wal::{Chain, Disk, GroupCommit, GroupOptions, Log, Overflow, RealDisk, Ticket, WalError};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

fn start<D: Disk>(log: Log<D>, options: GroupOptions) -> GroupCommit<D> {
    GroupCommit::start(log, options, Arc::new(SystemClock::new())).unwrap()
}

#[test]
fn many_writers_get_dense_numbers_in_their_own_order() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path().join("log"));
    let (log, _) = open(&RealDisk, &options).unwrap();
    let group = start(log, GroupOptions::default());
    let writers: Vec<_> = (0..8_u8)
        .map(|writer| {
            let group = group.clone();
            thread::spawn(move || {
                let mut last = None;
                for n in 0..100_u8 {
                    let frames = (0..=n % 3).map(|part| Bytes::from(vec![writer, n, part])).collect();
                    let appended = group.append(frames).unwrap().wait().unwrap();
                    assert_eq!(appended.next - appended.first, u64::from(n % 3) + 1);
                    assert!(last.is_none_or(|last| last < appended.first));
                    last = Some(appended.first);
                    let read = group.reader().read(appended.first, harness::ALL).unwrap();
                    assert_eq!(read.frames[0].payload, [writer, n, 0][..], "the number is the frame's own");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    group.close().unwrap();
    let synced = group.counters().synced;
    drop(group);
    let (log, recovery) = open(&RealDisk, &options).unwrap();
    assert_eq!(recovery.lost, None);
    let mut seen: BTreeMap<u8, Vec<(u8, u8)>> = BTreeMap::new();
    for payload in read_all(&log.reader(), 0).unwrap() {
        seen.entry(payload[0]).or_default().push((payload[1], payload[2]));
    }
    let expected: Vec<_> = (0..100).flat_map(|n| (0..=n % 3).map(move |part| (n, part))).collect();
    assert!(seen.len() == 8 && seen.values().all(|own| *own == expected));
    assert!(synced < 800, "{synced} syncs: nobody was grouped with anybody");
}

/// Syncs wait while it is shut.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn set(&self, shut: bool) {
        *self.0.0.lock().unwrap() = shut;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |shut| *shut).unwrap());
    }
}

fn gated(bounds: GroupOptions) -> (Gate, GroupCommit<Hooked<SimDisk>>) {
    let gate = Gate::default();
    let at = gate.clone();
    let disk = Hooked::new(SimDisk::new(1), move || {
        at.pass();
        true
    });
    let (log, _) = open(&disk, &options("/log")).unwrap();
    (gate, start(log, bounds))
}

fn frame() -> Vec<Bytes> {
    vec![Bytes::from_static(&[7; 100])]
}

/// Fills the queue while a sync is held up; answers the tickets and the error.
fn fill(group: &GroupCommit<Hooked<SimDisk>>) -> (Vec<Ticket>, WalError) {
    let mut tickets = Vec::new();
    loop {
        match group.append(frame()) {
            Ok(ticket) => tickets.push(ticket),
            Err(error) => return (tickets, error),
        }
        assert!(tickets.len() < 1000, "the queue has no bound");
    }
}

#[test]
fn a_full_queue_refuses_by_name_and_takes_more_when_it_has_room() {
    for bounds in [
        GroupOptions { queue_bytes_max: 2000, overflow: Overflow::Refuse, ..GroupOptions::default() },
        GroupOptions { queue_frames_max: 15, overflow: Overflow::Refuse, ..GroupOptions::default() },
    ] {
        let (gate, group) = gated(bounds);
        gate.set(true);
        let (tickets, error) = fill(&group);
        assert!(matches!(error, WalError::QueueFull { .. }), "{error}");
        assert!(tickets.len() >= 15 && tickets.len() <= 40, "{}", tickets.len());
        gate.set(false);
        for (at, ticket) in tickets.into_iter().enumerate() {
            assert_eq!(ticket.wait().unwrap().first, at as u64);
        }
        assert!(group.append(frame()).unwrap().wait().is_ok());
    }
}

#[test]
fn a_full_queue_makes_its_writer_wait_by_the_other_policy() {
    let (gate, group) = gated(GroupOptions { queue_frames_max: 2, ..GroupOptions::default() });
    gate.set(true);
    let writer = {
        let group = group.clone();
        thread::spawn(move || (0..50).map(|_| group.append(frame()).unwrap()).collect::<Vec<_>>())
    };
    thread::sleep(std::time::Duration::from_millis(50));
    assert!(!writer.is_finished(), "50 frames fit into a queue of 2");
    gate.set(false);
    assert_eq!(writer.join().unwrap().into_iter().map(|t| t.wait().unwrap()).last().unwrap().first, 49);
}

#[test]
fn closing_makes_durable_what_is_queued_and_refuses_what_comes_later() {
    let (gate, group) = gated(GroupOptions::default());
    gate.set(true);
    let tickets: Vec<_> = (0..20).map(|_| group.append(frame()).unwrap()).collect();
    let closer = {
        let group = group.clone();
        thread::spawn(move || group.close())
    };
    gate.set(false);
    closer.join().unwrap().unwrap();
    assert_eq!(tickets.into_iter().map(|t| t.wait().unwrap()).last().unwrap().next, 20);
    assert!(matches!(group.append(frame()), Err(WalError::Closed)));
    assert!(matches!(group.truncate_front(1), Err(WalError::Closed)));
    assert_eq!(group.reader().next(), 20);
    group.close().unwrap();
}

#[test]
fn nobody_is_at_the_files_of_a_log_that_is_closed() {
    let (gate, busy) = (Gate::default(), Arc::new(AtomicBool::new(false)));
    gate.set(true);
    let disk = {
        let (gate, busy) = (gate.clone(), Arc::clone(&busy));
        Hooked::new(SimDisk::new(1), move || {
            if thread::current().name() == Some("seawall-wal-zero") {
                busy.store(true, SeqCst);
                gate.pass();
                busy.store(false, SeqCst);
            }
            true
        })
    };
    let (log, _) = open(&disk, &options("/log")).unwrap();
    let group = start(log, GroupOptions::default());
    group.append(frame()).unwrap().wait().unwrap();
    while !busy.load(SeqCst) {
        thread::yield_now();
    }
    let closer = thread::spawn(move || {
        group.close().unwrap();
        assert!(!busy.load(SeqCst), "closed, and a segment is still being made");
    });
    thread::sleep(std::time::Duration::from_millis(50));
    gate.set(false);
    closer.join().unwrap();
}

#[test]
fn one_segment_is_made_ahead_at_a_time_however_long_that_takes() {
    let (gate, making) = (Gate::default(), Arc::new(AtomicUsize::new(0)));
    gate.set(true);
    let disk = {
        let (gate, making) = (gate.clone(), Arc::clone(&making));
        Hooked::new(SimDisk::new(1), move || {
            if thread::current().name() == Some("seawall-wal-zero") {
                making.fetch_add(1, SeqCst);
                gate.pass();
            }
            true
        })
    };
    let (log, _) = open(&disk, &options("/log")).unwrap();
    let group = start(log, GroupOptions::default());
    while group.segments().len() < 5 {
        group.append(vec![Bytes::from(vec![1; 2000])]).unwrap().wait().unwrap();
    }
    // Others, if there were any, come that far.
    thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(making.load(SeqCst), 1, "each further one is a file that nobody counts");
    gate.set(false);
    group.close().unwrap();
}

#[test]
fn what_follows_a_refused_batch_of_its_chain_is_refused_and_nothing_else_is() {
    let (gate, failing) = (Gate::default(), Arc::new(AtomicBool::new(false)));
    let disk = {
        let (gate, failing) = (gate.clone(), Arc::clone(&failing));
        Hooked::failing(SimDisk::new(1), move || {
            gate.pass();
            !failing.load(SeqCst)
        })
    };
    let (log, _) = open(&disk, &options("/log")).unwrap();
    let group = start(log, GroupOptions::default());
    let chain = Chain::default();
    group.append_behind(&chain, frame()).unwrap().wait().unwrap();
    gate.set(true);
    let held = group.append(frame()).unwrap();
    let first = group.append_behind(&chain, frame()).unwrap();
    let other = group.append(frame()).unwrap();
    let second = group.append_behind(&chain, frame()).unwrap();
    failing.store(true, SeqCst);
    gate.set(false);
    assert!(held.wait().is_err());
    // Its own failure.
    assert!(matches!(first.wait().unwrap_err(), WalError::Poisoned { .. } | WalError::Io { .. }));
    failing.store(false, SeqCst);
    let _ = other.wait();
    assert!(matches!(second.wait().unwrap_err(), WalError::Behind));
    assert!(matches!(group.append_behind(&chain, frame()).unwrap().wait().unwrap_err(), WalError::Behind));
    group.append(frame()).unwrap().wait().unwrap();
    let large = vec![Bytes::from(vec![0; (64 << 10) + 1])];
    let chain = Chain::default();
    assert!(group.append_behind(&chain, large).is_err() && chain.is_cut(), "refused before it was queued");
}

#[test]
fn a_frame_or_a_batch_that_never_fits_is_refused_alone() {
    let disk = SimDisk::new(1);
    let (log, _) = open(&disk, &options("/log")).unwrap();
    let group = start(log, GroupOptions::default());
    let large = vec![Bytes::from(vec![0; (64 << 10) + 1])];
    assert!(matches!(group.append(large), Err(WalError::FrameTooLarge { .. })));
    let many = vec![Bytes::from(vec![0; 60 << 10]); 20];
    assert!(matches!(group.append(many), Err(WalError::UnsyncedFull { .. })));
    // Together they are more than the log takes at once: they become several groups.
    let half = vec![Bytes::from(vec![0; 60 << 10]); 9];
    let tickets: Vec<_> = (0..6).map(|_| group.append(half.clone()).unwrap()).collect();
    assert_eq!(tickets.into_iter().map(|t| t.wait().unwrap()).last().unwrap().next, 54);
}

#[test]
fn the_front_is_truncated_between_groups() {
    let disk = SimDisk::new(1);
    let (log, _) = open(&disk, &options("/log")).unwrap();
    let group = start(log, GroupOptions::default());
    for _ in 0..30 {
        group.append(vec![Bytes::from(vec![1; 2000])]).unwrap().wait().unwrap();
    }
    let first = group.truncate_front(20).unwrap();
    assert!(first > 0 && first <= 20);
    assert_eq!(group.segments()[0].first, first);
    assert!(matches!(group.reader().read(0, harness::ALL), Err(WalError::OutOfRange { .. })));
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn a_ticket_is_a_future_that_is_woken() {
    let (gate, group) = gated(GroupOptions::default());
    gate.set(true);
    let mut first = Box::pin(group.append(frame()).unwrap());
    let mut second = Box::pin(group.append(frame()).unwrap());
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    for _ in 0..3 {
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
    }
    gate.set(false);
    for ticket in [&mut first, &mut second] {
        loop {
            match ticket.as_mut().poll(&mut context) {
                Poll::Ready(answer) => break assert!(answer.is_ok()),
                Poll::Pending => thread::park_timeout(std::time::Duration::from_secs(30)),
            }
        }
    }
}

#[test]
fn a_panic_on_the_logs_thread_is_told_to_everyone_who_waits() {
    let gate = Gate::default();
    let at = gate.clone();
    let armed = Arc::new(Mutex::new(false));
    let bomb = Arc::clone(&armed);
    let disk = Hooked::new(SimDisk::new(1), move || {
        at.pass();
        assert!(!*bomb.lock().unwrap(), "a disk that panics (this test means it)");
        true
    });
    let (log, _) = open(&disk, &options("/log")).unwrap();
    let group = start(log, GroupOptions::default());
    gate.set(true);
    let tickets: Vec<_> = (0..5).map(|_| group.append(frame()).unwrap()).collect();
    *armed.lock().unwrap() = true;
    gate.set(false);
    for ticket in tickets {
        assert!(matches!(ticket.wait(), Err(WalError::Closed)));
    }
    assert!(matches!(group.close(), Err(WalError::Closed)));
    let _ = NOW;
}
