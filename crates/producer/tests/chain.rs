//! Several batches on their way to the disk at once, of which one is refused: each key's order holds on disk and in delivery,
//! every receipt is true, and the room of what was delivered comes back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "../../wal/tests/harness/hooked.rs"]
mod hooked;
mod stage;

use hooked::Hooked;
use seawall_core::{Durability, Fault, Outgoing, Receipt, Sink, TopicPartition};
use seawall_producer::{
    Driver, Producer, ProducerOptions, Replicated, Safe, SendError, Snapshot, SpillOptions, State, Synced,
    Target,
};
use seawall_testkit::SimClock;
use seawall_testkit::runtime::live;
use seawall_wal::Disk;
use seawall_wal::disk::{Fault as DiskFault, SimDisk};
use stage::{Mood, Shelf, outgoing, sized};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Whether the next syncs are done; those after them are.
type Syncs = Arc<Mutex<VecDeque<bool>>>;

/// A sync that fails has the log begin another segment, whose sync fails, too: the batch is refused.
const REFUSED: [bool; 2] = [false, false];

struct World {
    clock: SimClock,
    disk: Hooked<SimDisk>,
    syncs: Syncs,
    shelf: Shelf,
}

impl World {
    fn new() -> Self {
        let syncs = Syncs::default();
        let next = Arc::clone(&syncs);
        let disk = Hooked::failing(SimDisk::new(1), move || next.lock().unwrap().pop_front().unwrap_or(true));
        Self { clock: SimClock::new(), disk, syncs, shelf: Shelf::new() }
    }

    fn open(&self, options: ProducerOptions) -> Producer {
        self.open_to(options, Target::new("kafka", self.shelf.clone()))
    }

    fn open_to(&self, options: ProducerOptions, target: Target) -> Producer {
        Producer::open_on(self.disk.clone(), Arc::new(self.clock.clone()), options, vec![target]).unwrap()
    }

    fn script(&self, syncs: impl IntoIterator<Item = bool>) {
        self.syncs.lock().unwrap().extend(syncs);
    }

    fn is_played(&self) -> bool {
        self.syncs.lock().unwrap().is_empty()
    }
}

/// Each record is a batch of its own.
fn options() -> ProducerOptions {
    let spill =
        SpillOptions { disk_bytes_max: 2 << 20, batch_bytes: 1, ..SpillOptions::new("/spill", "tests") };
    ProducerOptions {
        record_bytes_max: 100_000,
        patience: Duration::from_millis(100),
        call_timeout: Duration::from_secs(2),
        spill: Some(spill),
        driver: Driver::Inline,
        ..ProducerOptions::default()
    }
}

async fn until(producer: &Producer, what: impl Fn(&Snapshot) -> bool) {
    for _ in 0..10_000 {
        if what(&producer.snapshot()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {:#?}", producer.snapshot());
}

fn place(receipt: Result<Synced, SendError>) -> u64 {
    match receipt.unwrap().place {
        Safe::Spilled { seq } => seq,
        place @ Safe::Delivered { .. } => panic!("not on disk: {place:?}"),
    }
}

/// All that lies on disk is delivered, each key in its order.
async fn delivered(world: &World, producer: &Producer, sent: &[(&str, u64)]) {
    world.shelf.set(Mood::Up);
    until(producer, |snapshot| snapshot.backlog_records == 0).await;
    for (key, n) in sent {
        assert!(world.shelf.count(key, *n) > 0, "{key}:{n} had a receipt: {}", world.shelf.of(key));
    }
    world.shelf.judge().unwrap();
}

#[test]
fn batches_behind_a_refused_one_come_back_and_follow_it() {
    for refused in 0..4 {
        let world = World::new();
        live(&world.clock, async {
            let producer = world.open(options());
            world.shelf.set(Mood::Down);
            let keys = ["a", "b"];
            for key in keys {
                producer.send::<Synced>(outgoing(key, 0)).await.unwrap();
            }
            world.script(vec![true; refused].into_iter().chain(REFUSED));
            let sent: Vec<_> = (2..8).map(|n| (keys[n as usize % 2], n / 2)).collect();
            let records = sent.iter().map(|(key, n)| outgoing(key, *n)).collect();
            let places: Vec<u64> =
                producer.send_all::<Synced>(records).await.into_iter().map(place).collect();
            assert!(world.is_played(), "nothing was refused");
            for key in keys {
                let of = sent.iter().zip(&places).filter(|((other, _), _)| *other == key);
                assert!(of.is_sorted_by_key(|(_, place)| place), "the disk's order of {key}: {places:?}");
            }
            assert_eq!(producer.snapshot().backlog_records, 8);
            delivered(&world, &producer, &sent).await;
            let snapshot = producer.snapshot();
            assert_eq!((snapshot.backlog_bytes, snapshot.memory_records, snapshot.memory_bytes), (0, 0, 0));
            producer.close(Duration::from_secs(1)).await;
        });
    }
}

#[test]
fn what_follows_a_batch_that_the_disk_refused_still_follows_it() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open(options());
        world.shelf.set(Mood::Down);
        producer.send::<Synced>(outgoing("a", 0)).await.unwrap();
        until(&producer, |s| s.state == State::Spilling).await;
        // The write fails, and so does the sync of the segment that it flees to: the first batch of these is refused.
        world.disk.inner.arm(DiskFault::WriteEio);
        world.disk.inner.arm(DiskFault::SyncEio);
        let sent = producer.send_all::<Synced>((1..9).map(|n| outgoing("a", n)).collect()).await;
        assert!(sent.iter().all(Result::is_ok), "{sent:?}");
        let counts = world.disk.inner.counts();
        assert_eq!((counts.write_eio, counts.sync_eio), (1, 1));
        world.shelf.set(Mood::Up);
        until(&producer, |s| s.backlog_records == 0).await;
    });
    assert_eq!(world.shelf.of("a"), "0 1 2 3 4 5 6 7 8");
    world.shelf.judge().unwrap();
}

fn are_direct(receipts: &[Synced]) {
    let direct = |receipt: &Synced| matches!(receipt.place, Safe::Delivered { .. });
    assert!(receipts.iter().all(direct), "{receipts:?}");
}

/// The end of a life: a crash, once all is settled, or a close.
async fn end(world: &World, producer: &Producer, killed: bool) {
    if killed {
        tokio::time::sleep(Duration::from_secs(5)).await;
        world.disk.inner.kill();
    } else {
        producer.close(Duration::from_secs(1)).await;
    }
}

fn nothing_comes_back(world: &World) {
    live(&world.clock, async {
        let producer = world.open(options());
        assert_eq!(producer.snapshot().backlog_records, 0);
        producer.close(Duration::from_secs(1)).await;
    });
}

#[test]
fn what_the_disk_refused_and_the_sink_took_does_not_come_back_in_the_next_life() {
    for killed in [false, true] {
        let world = World::new();
        live(&world.clock, async {
            let producer = world.open(options());
            world.shelf.set(Mood::Down);
            world.script(REFUSED);
            let first = tokio::spawn({
                let producer = producer.clone();
                async move { producer.send::<Synced>(outgoing("a", 1)).await.unwrap() }
            });
            until(&producer, |_| world.is_played()).await;
            world.shelf.set(Mood::Up);
            are_direct(&[first.await.unwrap(), producer.send::<Synced>(outgoing("a", 2)).await.unwrap()]);
            end(&world, &producer, killed).await;
        });
        nothing_comes_back(&world);
        assert_eq!(world.shelf.of("a"), "1 2");
        world.shelf.judge().unwrap();
    }
}

/// The next segment has its frames, and a directory with no room for its name says so: the name may stay all the same.
#[test]
fn what_a_segment_without_a_name_has_does_not_come_back_in_the_next_life() {
    for killed in [false, true] {
        let mut world = World::new();
        let removes = Syncs::default();
        let next = Arc::clone(&removes);
        world.disk.removes = Arc::new(move || next.lock().unwrap().pop_front().unwrap_or(true));
        world.disk.fails = Some(std::io::ErrorKind::StorageFull);
        live(&world.clock, async {
            let producer = world.open(options());
            world.shelf.set(Mood::Down);
            producer.send::<Synced>(sized("a", 0, 90_000)).await.unwrap();
            world.shelf.set(Mood::Up);
            until(&producer, |s| s.backlog_records == 0 && s.state == State::Direct).await;
            tokio::time::sleep(Duration::from_secs(5)).await;
            world.shelf.set(Mood::Down);
            // It fails on, so that the sink is back before.
            world.script([true, false].into_iter().chain([false; 8]));
            removes.lock().unwrap().push_back(false);
            let first = tokio::spawn({
                let producer = producer.clone();
                async move { producer.send::<Synced>(sized("b", 1, 90_000)).await.unwrap() }
            });
            until(&producer, |_| world.is_played()).await;
            world.shelf.set(Mood::Up);
            are_direct(&[first.await.unwrap(), producer.send::<Synced>(outgoing("b", 2)).await.unwrap()]);
            assert!(removes.lock().unwrap().is_empty(), "the segment was removed");
            end(&world, &producer, killed).await;
        });
        nothing_comes_back(&world);
        assert_eq!(world.shelf.of("b"), "1 2");
        world.shelf.judge().unwrap();
    }
}

#[test]
fn close_asks_a_disk_again_that_failed_once() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open(options());
        world.shelf.set(Mood::Hang);
        world.script(REFUSED);
        let closes = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            producer.close(Duration::ZERO).await;
        };
        let (sent, ()) = tokio::join!(producer.send::<Synced>(outgoing("a", 0)), closes);
        assert!(world.is_played(), "nothing was refused");
        place(sent);
    });
}

#[test]
fn what_is_put_aside_and_the_disk_does_not_take_is_not_sent_behind_its_key() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open(ProducerOptions { lanes: 1, ..options() });
        world.shelf.set(Mood::Down);
        for n in 0..2 {
            producer.send::<Synced>(outgoing("a", n)).await.unwrap();
        }
        // One call has both: the first is refused for good, and the second taken.
        world.script(std::iter::repeat_n(false, 1_000));
        world.shelf.set(Mood::RefuseFirst);
        until(&producer, |s| s.spill_trouble.is_some()).await;
        assert_eq!(world.shelf.of("a"), "1");
        // What follows it waits on disk, as far as there is one; the only lane goes on.
        let behind = tokio::spawn({
            let producer = producer.clone();
            async move { producer.send::<Synced>(outgoing("a", 2)).await }
        });
        for n in 1..20 {
            producer.send::<Replicated>(outgoing("b", n)).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(!world.is_played() && producer.snapshot().refused_records == 0);
        assert_eq!(world.shelf.of("a"), "1");
        world.syncs.lock().unwrap().clear();
        world.shelf.set(Mood::Up);
        behind.await.unwrap().unwrap();
        until(&producer, |s| s.refused_records == 1 && s.backlog_records == 0).await;
        producer.close(Duration::from_secs(1)).await;
    });
    assert_eq!(world.shelf.of("a"), "1 2");
}

#[test]
fn what_follows_a_call_that_takes_long_follows_all_of_it_to_the_disk() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open(options());
        world.shelf.set(Mood::Hang);
        let call = tokio::spawn({
            let (producer, records) = (producer.clone(), (0..2).map(|n| outgoing("a", n)).collect());
            async move { producer.send_all::<Synced>(records).await }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        // The first of the call is written, the second is not, nor is what follows.
        world.script([true].into_iter().chain(REFUSED));
        let behind = producer.send::<Synced>(outgoing("a", 2)).await;
        assert!(world.is_played(), "nothing was refused");
        let answers = call.await.unwrap().into_iter().chain([behind]);
        let places: Vec<u64> = answers.map(place).collect();
        assert!(places.is_sorted(), "the disk's order: {places:?}");
        delivered(&world, &producer, &[("a", 0), ("a", 1), ("a", 2)]).await;
        producer.close(Duration::from_secs(1)).await;
    });
}

/// The sink says nothing, and the disk takes nothing: every caller still hears at the end of its own time.
#[test]
fn nobody_waits_longer_than_the_timeout_for_a_call_and_a_disk_that_both_fail() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    let world = World::new();
    live(&world.clock, async {
        let producer =
            world.open(ProducerOptions { timeout: TIMEOUT, call_timeout: 60 * TIMEOUT, ..options() });
        world.shelf.set(Mood::Hang);
        world.script(std::iter::repeat_n(false, 100_000));
        let begun = tokio::time::Instant::now();
        let mut calls = Vec::new();
        for n in 0..3 {
            let (producer, records) =
                (producer.clone(), vec![outgoing("a", 2 * n), outgoing("a", 2 * n + 1)]);
            calls.push(tokio::spawn(async move { producer.send_all::<Synced>(records).await }));
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        for call in calls {
            for answer in call.await.unwrap() {
                assert!(matches!(answer, Err(SendError::TimedOut { .. })), "{answer:?}");
            }
        }
        assert!(begun.elapsed() < 2 * TIMEOUT, "{:?}", begun.elapsed());
        tokio::time::sleep(TIMEOUT).await;
        assert_eq!(producer.snapshot().timed_out, 6, "each is counted once, however often it changes places");
    });
}

/// They have no order, and come from all lanes to the disk, which gives them back again and again.
#[test]
fn records_without_a_key_hear_at_their_own_time_while_sink_and_disk_fail() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open(ProducerOptions { timeout: TIMEOUT, ..options() });
        world.shelf.set(Mood::Down);
        world.script(std::iter::repeat_n(false, 1_000_000));
        let mut sends = Vec::new();
        for n in 0..100 {
            let producer = producer.clone();
            sends.push(tokio::spawn(async move {
                let begun = tokio::time::Instant::now();
                let sent = producer.send::<Synced>(outgoing("", n)).await;
                (sent, begun.elapsed())
            }));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for send in sends {
            let (sent, took) = send.await.unwrap();
            assert!(matches!(sent, Err(SendError::TimedOut { .. })), "{sent:?}");
            assert!(took < TIMEOUT + TIMEOUT / 10, "{took:?}");
        }
    });
}

/// Takes everything once it is told to, and never waits: more is delivered while progress is on its way to the disk.
#[derive(Clone, Default)]
struct AtOnce(Arc<Mutex<bool>>);

impl Sink for AtOnce {
    async fn send(&self, records: Vec<Outgoing>) -> Vec<Result<Receipt, Fault>> {
        let answer = |outgoing: &Outgoing| {
            if !*self.0.lock().unwrap() {
                return Err(Fault::new(seawall_core::Class::Transient, "no broker"));
            }
            let partition = TopicPartition::new(Arc::clone(&outgoing.topic), 0);
            Ok(Receipt { partition, offset: 0, durability: Durability::Replicated })
        };
        records.iter().map(answer).collect()
    }
}

#[test]
fn room_comes_back_although_progress_came_while_room_was_made() {
    let world = World::new();
    live(&world.clock, async {
        let sink = AtOnce::default();
        let mut options = ProducerOptions { lanes: 1, batch_records: 1, ..options() };
        options.replay.checkpoint_bytes = 1;
        let producer = world.open_to(options, Target::new("kafka", sink.clone()));
        for n in 0..20 {
            let mut outgoing = outgoing("a", n);
            outgoing.record.value = vec![b'x'; 50_000].into();
            producer.send::<Synced>(outgoing).await.unwrap();
        }
        *sink.0.lock().unwrap() = true;
        until(&producer, |snapshot| snapshot.backlog_records == 0).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let files = world.disk.list(Path::new("/spill/log")).unwrap();
        let segments = files.iter().filter(|name| Path::new(name).extension().is_some_and(|e| e == "wal"));
        assert_eq!(segments.count(), 1, "all of it was delivered: {files:?}");
        producer.close(Duration::from_secs(1)).await;
    });
}
