//! What sinks refuse for good is kept within the spill's budget, in this life and the next.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "edge/room.rs"]
mod room;
mod stage;

use seawall_core::{Outgoing, WallMs};
use seawall_producer::spill::by_hand::{self, Part};
use seawall_producer::spill::look;
use seawall_producer::{
    Driver, OpenError, Producer, ProducerOptions, ReplayOptions, Replicated, Safe, SendError, Snapshot,
    SpillOptions, State, Synced, Target,
};
use seawall_testkit::SimClock;
use seawall_testkit::runtime::live;
use seawall_wal::Disk;
use seawall_wal::disk::SimDisk;
use stage::{Mood, Shelf, outgoing, sized};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const DISK: u64 = 1 << 20;
/// Six of them leave less of a segment than the next one takes, or the first `z` below.
const VALUE: usize = 9_000;

struct World {
    clock: SimClock,
    disk: SimDisk,
    shelf: Shelf,
}

impl World {
    fn new() -> Self {
        Self { clock: SimClock::new(), disk: SimDisk::new(1), shelf: Shelf::new() }
    }

    fn open(&self) -> Producer {
        self.open_with(None, ProducerOptions::default().batch_records)
    }

    fn open_with(&self, bytes_per_second: Option<u64>, batch_records: usize) -> Producer {
        self.open_over(bytes_per_second, batch_records, vec![Target::new("kafka", self.shelf.clone())])
    }

    fn open_over(
        &self,
        bytes_per_second: Option<u64>,
        batch_records: usize,
        targets: Vec<Target>,
    ) -> Producer {
        let spill = SpillOptions { disk_bytes_max: DISK, ..SpillOptions::new("/spill", "tests") };
        let options = ProducerOptions {
            spill: Some(spill),
            driver: Driver::Inline,
            record_bytes_max: 60_000,
            batch_bytes: 60_000,
            max_block: Duration::from_secs(1),
            timeout: Duration::from_secs(2),
            batch_records,
            replay: ReplayOptions { bytes_per_second, ..ReplayOptions::default() },
            ..ProducerOptions::default()
        };
        Producer::open_on(self.disk.clone(), Arc::new(self.clock.clone()), options, targets).unwrap()
    }

    fn is_within_the_budget(&self) {
        let used = room::used(&self.disk, Path::new("/spill"));
        assert!(used <= DISK, "{used} bytes of {DISK}");
    }
}

fn key(n: u64) -> String {
    if n == 0 { "a".to_owned() } else { format!("k{n}") }
}

/// The record `n`, of a key of its own: `a` for the first.
fn large(n: u64) -> Outgoing {
    sized(&key(n), n, VALUE)
}

/// Spills from `first` on, while the sink is away, until `last` or there is no room; one past the last that has a receipt.
async fn spill(world: &World, producer: &Producer, first: u64, last: u64) -> u64 {
    world.shelf.set(Mood::Down);
    for n in first..last {
        match producer.send::<Synced>(large(n)).await {
            Ok(_) => world.is_within_the_budget(),
            Err(SendError::Full { .. } | SendError::TimedOut { .. }) => return n,
            Err(error) => panic!("{error}"),
        }
    }
    last
}

async fn until(world: &World, producer: &Producer, what: impl Fn(&Snapshot) -> bool) -> Snapshot {
    for _ in 0..10_000 {
        let snapshot = producer.snapshot();
        world.is_within_the_budget();
        if what(&snapshot) {
            return snapshot;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {:#?}", producer.snapshot());
}

#[test]
fn what_has_no_room_aside_stays_in_the_spill_until_somebody_takes_it() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open();
        let records = spill(&world, &producer, 0, 60).await;
        assert_eq!(records, 60);
        // The first is asked for again and again, so that no room comes back from the front.
        world.shelf.set(Mood::RefuseOthers);
        let full =
            |s: &Snapshot| s.spill_trouble.as_deref().is_some_and(|why| why.contains("used up its room"));
        let snapshot = until(&world, &producer, full).await;
        assert!(snapshot.refused_records > 0, "one segment is always theirs: {snapshot:#?}");
        // However often they are asked for.
        tokio::time::sleep(Duration::from_mins(1)).await;
        let snapshot = until(&world, &producer, full).await;
        let refused = snapshot.refused_records;
        assert!(refused < 30 && snapshot.backlog_records == records - refused, "{snapshot:#?}");

        world.shelf.set(Mood::Up);
        let done = |s: &Snapshot| s.backlog_records == 0 && s.spill_trouble.is_none();
        assert_eq!(until(&world, &producer, done).await.refused_records, refused);
        producer.close(Duration::from_secs(1)).await;
        let summary = look::summary(&world.disk, "/spill".as_ref()).unwrap();
        assert_eq!((summary.waiting, summary.refused), (0, refused));
        let arrived = (0..records).filter(|n| world.shelf.count(&key(*n), *n) > 0);
        assert_eq!(arrived.count() as u64, records - refused, "each is in one place");
    });
}

/// Ten records that a sink refused for good, and one that waits.
async fn ten_refused(world: &World) {
    let producer = world.open();
    spill(world, &producer, 1, 11).await;
    world.shelf.set(Mood::Refuse);
    until(world, &producer, |s| s.refused_records == 10).await;
    world.shelf.set(Mood::Down);
    producer.send::<Synced>(large(11)).await.unwrap();
    producer.close(Duration::from_millis(1)).await;
}

fn summary(world: &World) -> (u64, u64) {
    let summary = look::summary(&world.disk, "/spill".as_ref()).unwrap();
    (summary.waiting, summary.refused)
}

#[test]
fn what_was_refused_for_good_is_driven_again_and_what_is_refused_again_stays() {
    let world = World::new();
    live(&world.clock, async {
        ten_refused(&world).await;
        let again = async |part, sink: &Shelf| {
            by_hand::replay(&world.disk, "/spill".as_ref(), part, sink, WallMs(0)).await.unwrap()
        };
        let choosy = Shelf::new();
        // Away, then one that still refuses all but one key.
        choosy.set(Mood::Down);
        let stopped = again(Part::Refused, &choosy).await;
        assert!((stopped.delivered, stopped.left) == (0, 10) && stopped.stopped.is_some());
        choosy.set(Mood::RefuseAllBut("k3"));
        let partly = again(Part::Refused, &choosy).await;
        assert_eq!((partly.delivered, partly.left), (1, 9), "{partly:?}");
        assert!(partly.refused.is_some() && partly.stopped.is_none());
        assert_eq!((choosy.of("k3"), summary(&world)), ("3".to_owned(), (1, 9)));
        let rest = Shelf::new();
        let all = again(Part::Refused, &rest).await;
        assert_eq!((all.delivered, all.left), (9, 0));
        assert_eq!((rest.count("k3", 3), rest.taken().len()), (0, 9), "what was taken is not sent again");
        assert_eq!(summary(&world), (1, 0));
        assert_eq!(again(Part::Refused, &rest).await.delivered, 0);
        assert!(world.disk.list("/spill/refused".as_ref()).unwrap().iter().all(|name| name == "lock"));
        assert_eq!(again(Part::Waiting, &rest).await.delivered, 1);
    });
}

#[test]
fn a_purge_deletes_what_was_refused_and_nothing_else() {
    let world = World::new();
    live(&world.clock, async {
        ten_refused(&world).await;
        let producer = world.open();
        let snapshot = producer.snapshot();
        assert_eq!((snapshot.refused_records, snapshot.refused_kept), (0, 10), "of the life before");
        producer.close(Duration::ZERO).await;
        let purge = || by_hand::purge_refused(&world.disk, "/spill".as_ref(), WallMs(0));
        let used = room::used(&world.disk, Path::new("/spill"));
        assert_eq!(purge().unwrap(), 10);
        assert_eq!((summary(&world), purge().unwrap()), ((1, 0), 0));
        assert!(room::used(&world.disk, Path::new("/spill")) < used, "its room is free");
        // The next life goes on, and keeps what is refused then.
        let producer = world.open();
        assert_eq!(producer.snapshot().refused_kept, 0);
        assert!(matches!(purge(), Err(OpenError::Locked { .. })));
        world.shelf.set(Mood::Refuse);
        until(&world, &producer, |s| s.refused_records == 1).await;
        producer.close(Duration::from_secs(1)).await;
        assert_eq!(summary(&world), (0, 1));
    });
}

#[test]
fn what_has_no_room_aside_is_not_overtaken_by_its_key() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open();
        spill(&world, &producer, 0, 58).await;
        for (n, bytes) in [(0, 3_500), (1, 10)] {
            producer.send::<Synced>(sized("z", n, bytes)).await.unwrap();
        }
        world.shelf.set(Mood::RefuseOthers);
        let full =
            |s: &Snapshot| s.spill_trouble.as_deref().is_some_and(|why| why.contains("used up its room"));
        until(&world, &producer, full).await;
        // What found room behind the first that did not has it, too.
        tokio::time::sleep(Duration::from_secs(5)).await;
        // One call has both: the second is taken, and the first has no place to go.
        world.shelf.set(Mood::Down);
        until(&world, &producer, |_| world.shelf.count("z", 1) > 0).await;
        world.shelf.set(Mood::Up);
        until(&world, &producer, |s| s.backlog_records == 0 && s.spill_trouble.is_none()).await;
    });
    assert!(world.shelf.of("z").ends_with("0 1"), "{}", world.shelf.of("z"));
}

#[test]
fn one_record_that_nobody_takes_leaves_the_front_of_a_full_spill() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open();
        let records = spill(&world, &producer, 0, 200).await;
        assert!(records < 200, "it never was full");
        world.shelf.set(Mood::RefuseOne);
        let done = |s: &Snapshot| s.state == State::Direct && s.spill_trouble.is_none();
        assert_eq!(until(&world, &producer, done).await.refused_records, 1);
    });
}

#[test]
fn what_an_earlier_life_put_aside_counts() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open();
        spill(&world, &producer, 1, 50).await;
        world.shelf.set(Mood::Refuse);
        until(&world, &producer, |s| s.refused_records > 20).await;
        world.shelf.set(Mood::Up);
        until(&world, &producer, |s| s.backlog_records == 0).await;
        producer.close(Duration::ZERO).await;
        drop(producer);
        let producer = world.open();
        let last = spill(&world, &producer, 100, 300).await;
        assert!(last < 150, "{last}: the room of those kept aside was given away");
        world.is_within_the_budget();
    });
}

#[test]
fn progress_that_frees_nothing_stays_within_the_budget() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open_with(Some(100), 1);
        world.shelf.set(Mood::Down);
        // Every other record is of a key that fails alone, the first among them: nothing before it is ever free.
        let key = |n: u64| match n {
            n if n.is_multiple_of(2) => "a",
            0..500 => "b",
            _ => "d",
        };
        let mut n = 0;
        while producer.send::<Synced>(outgoing(key(n), n)).await.is_ok() {
            n += 1;
        }
        assert!(n > 2_000, "{n}");
        world.shelf.set(Mood::Alone);
        for _ in 0..10_000 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            world.is_within_the_budget();
        }
        let snapshot = producer.snapshot();
        assert!(snapshot.replayed_records > 300, "{snapshot:#?}");
        // A key of which nothing is left on disk goes its way, whether or not that could be written.
        while producer.send::<Synced>(sized("c", n, VALUE)).await.is_ok() {
            n += 1;
        }
        producer.send::<Replicated>(outgoing("b", n)).await.unwrap();
        world.is_within_the_budget();
        world.shelf.set(Mood::Up);
        producer.close(Duration::ZERO).await;
        let producer = world.open();
        until(&world, &producer, |s| s.backlog_records == 0).await;
        producer.close(Duration::from_secs(1)).await;
    });
    world.shelf.judge().unwrap();
}

#[test]
fn what_cannot_be_put_aside_holds_up_its_own_key_alone() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open();
        world.shelf.set(Mood::Down);
        for n in 0..2 {
            producer.send::<Synced>(outgoing("a", n)).await.unwrap();
        }
        // Somebody else has the log of what is refused; the other one works.
        let refused = Path::new("/spill/refused");
        world.disk.create_dir_all(refused).unwrap();
        let lock = world.disk.lock(&refused.join("lock")).unwrap();
        // One call has both: the first is refused for good, and the second taken.
        world.shelf.set(Mood::RefuseFirst);
        until(&world, &producer, |s| s.spill_trouble.is_some()).await;
        for n in 2..1_500 {
            let receipt = producer.send::<Synced>(outgoing("a", n)).await.unwrap();
            assert!(matches!(receipt.place, Safe::Spilled { .. }), "{receipt:?}");
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(world.shelf.of("a"), "1");
        for n in 1..10 {
            producer.send::<Replicated>(outgoing("", n)).await.unwrap();
        }
        drop(lock);
        until(&world, &producer, |s| s.refused_records == 1 && s.backlog_records == 0).await;
        producer.close(Duration::from_secs(1)).await;
    });
    let expected: Vec<_> = (1..1_500).map(|n| n.to_string()).collect();
    assert_eq!(world.shelf.of("a"), expected.join(" "));
}

/// One that cannot be put aside and one that fails alone, of one key: it goes on when neither is in its way.
#[test]
fn a_key_waits_for_what_fails_alone_and_for_what_cannot_be_put_aside() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open();
        world.shelf.set(Mood::Down);
        for n in 0..5 {
            producer.send::<Synced>(outgoing("a", n)).await.unwrap();
        }
        let refused = Path::new("/spill/refused");
        world.disk.create_dir_all(refused).unwrap();
        let lock = world.disk.lock(&refused.join("lock")).unwrap();
        world.shelf.set(Mood::RefuseFirstFailSecond);
        until(&world, &producer, |s| s.spill_trouble.is_some() && s.held_records == 1).await;
        drop(lock);
        until(&world, &producer, |s| s.refused_records == 1).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        // The second is in their way, whatever became of the first. (The call that both were in may have taken some.)
        let before = world.shelf.of("a");
        assert!(matches!(&*before, "" | "2 3 4"), "{before}");
        for n in 5..8 {
            producer.send::<Synced>(outgoing("a", n)).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(world.shelf.of("a"), before);
        world.shelf.set(Mood::Up);
        until(&world, &producer, |s| s.backlog_records == 0).await;
        producer.close(Duration::from_secs(1)).await;
    });
    assert!(world.shelf.of("a").ends_with("1 2 3 4 5 6 7"), "{}", world.shelf.of("a"));
}

/// More of it than is held apart: it is not asked for as fast as the sink says no.
#[test]
fn what_has_no_room_aside_is_asked_for_with_growing_waits() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open();
        world.shelf.set(Mood::Down);
        for n in 0..500 {
            producer.send::<Synced>(sized(&key(n), n, 1_200)).await.unwrap();
        }
        world.shelf.set(Mood::Refuse);
        let full =
            |s: &Snapshot| s.spill_trouble.as_deref().is_some_and(|why| why.contains("used up its room"));
        until(&world, &producer, full).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        let before = world.shelf.calls();
        tokio::time::sleep(Duration::from_mins(1)).await;
        // Each lane and each record that is held asks every five seconds.
        let calls = world.shelf.calls() - before;
        assert!(calls < 5_000, "{calls} calls in a minute");
        world.shelf.set(Mood::Up);
        until(&world, &producer, |s| s.backlog_records == 0 && s.spill_trouble.is_none()).await;
    });
}

/// A sink that refuses is there, whether or not what it refuses has a place to go.
#[test]
fn a_sink_that_refuses_what_has_no_room_aside_keeps_its_place() {
    let (world, second) = (World::new(), Shelf::new());
    live(&world.clock, async {
        let targets = vec![Target::new("near", world.shelf.clone()), Target::new("far", second.clone())];
        let producer = world.open_over(None, ProducerOptions::default().batch_records, targets);
        second.set(Mood::Down);
        spill(&world, &producer, 0, 60).await;
        world.shelf.set(Mood::RefuseOthers);
        let full =
            |s: &Snapshot| s.spill_trouble.as_deref().is_some_and(|why| why.contains("used up its room"));
        until(&world, &producer, |s| full(s) && s.active == 0).await;
        second.set(Mood::Up);
        tokio::time::sleep(Duration::from_mins(2)).await;
        let snapshot = until(&world, &producer, full).await;
        assert_eq!((snapshot.switches, second.taken().len()), (0, 0), "{snapshot:#?}");
    });
}
