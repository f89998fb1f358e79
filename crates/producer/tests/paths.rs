//! Each path once, in simulated time: what the caller hears, what the sink gets, what the snapshot says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod stage;

use seawall_core::{Clock, Durability, Fault, Outgoing};
use seawall_producer::{
    Driver, Event, Happening, Left, OpenError, Producer, ProducerOptions, Replicated, Safe, SendError,
    Snapshot, SpillOptions, State, Synced, Target,
};
use seawall_testkit::SimClock;
use seawall_testkit::runtime::live;
use seawall_wal::disk::{Faults, SimDisk};
use stage::{Mood, Shelf, outgoing};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn options() -> ProducerOptions {
    let spill = SpillOptions { disk_bytes_max: 8 << 20, ..SpillOptions::new("/spill", "tests") };
    ProducerOptions { spill: Some(spill), driver: Driver::Inline, ..ProducerOptions::default() }
}

struct World {
    clock: SimClock,
    disk: SimDisk,
    shelf: Shelf,
}

impl World {
    fn new() -> Self {
        Self { clock: SimClock::new(), disk: SimDisk::new(1), shelf: Shelf::new() }
    }

    fn open(&self, options: ProducerOptions) -> Result<Producer, OpenError> {
        self.open_over(options, vec![Target::new("kafka", self.shelf.clone())])
    }

    fn open_over(&self, options: ProducerOptions, targets: Vec<Target>) -> Result<Producer, OpenError> {
        Producer::open_on(self.disk.clone(), Arc::new(self.clock.clone()), options, targets)
    }
}

async fn until(producer: &Producer, what: impl Fn(&Snapshot) -> bool) -> Snapshot {
    for _ in 0..100_000 {
        let snapshot = producer.snapshot();
        if what(&snapshot) {
            return snapshot;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {:#?}", producer.snapshot());
}

#[test]
fn direct_gives_a_replicated_receipt_and_an_id() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open(options()).unwrap();
        let receipt = producer.send::<Replicated>(outgoing("a", 1)).await.unwrap();
        assert_eq!((&*receipt.sink, receipt.receipt.durability), ("kafka", Durability::Replicated));
        let snapshot = producer.snapshot();
        assert_eq!((snapshot.state, snapshot.sinks[0].records), (State::Direct, [1, 0, 0, 0]));
        assert_eq!(snapshot.memory_records, 0);
        producer.close(SECOND).await;
        assert!(matches!(producer.send::<Synced>(outgoing("a", 2)).await, Err(SendError::Closed)));
    });
    assert!(!world.shelf.taken()[0].2.is_empty());
}

#[test]
fn a_short_outage_is_waited_out_in_memory() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open(options()).unwrap();
        world.shelf.set(Mood::AckLost);
        let sent = tokio::spawn({
            let producer = producer.clone();
            async move { producer.send_all::<Replicated>((1..4).map(|n| outgoing("a", n)).collect()).await }
        });
        until(&producer, |s| s.state == State::Buffering).await;
        world.shelf.set(Mood::Up);
        assert!(sent.await.unwrap().iter().all(Result::is_ok));
        assert_eq!(producer.snapshot().sinks[0].records, [0, 3, 0, 0]);
    });
    assert_eq!(world.shelf.of("a"), "1 2 3 1 2 3");
    assert_eq!(world.shelf.copied(), 0, "what may be sent again is shared with the sink");
    world.shelf.judge().unwrap();
}

#[test]
fn an_outage_spills_and_the_return_replays_in_order_beside_other_keys() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open(ProducerOptions { batch_records: 10, ..options() }).unwrap();
        world.shelf.set(Mood::Down);
        for n in 0..50 {
            let receipt = producer.send::<Synced>(outgoing("a", n)).await.unwrap();
            assert!(matches!(receipt.place, Safe::Spilled { .. }), "{n}: {receipt:?}");
        }
        let snapshot = until(&producer, |s| s.state == State::Spilling).await;
        assert_eq!(snapshot.backlog_records, 50);
        assert!(snapshot.spill_bytes > 0 && snapshot.backlog_bytes > 0);
        // One that wants a broker's word waits behind them, on disk, and gets it in the end.
        let last = tokio::spawn({
            let producer = producer.clone();
            async move { producer.send::<Replicated>(outgoing("a", 50)).await }
        });
        until(&producer, |s| s.backlog_records == 51).await;
        world.shelf.set(Mood::Up);
        assert_eq!(&*last.await.unwrap().unwrap().sink, "kafka");
        let snapshot = until(&producer, |s| s.state == State::Direct).await;
        assert_eq!((snapshot.backlog_records, snapshot.memory_records), (0, 0));
        assert_eq!(snapshot.sinks[0].records[2..], [51, 51]);
        let seen: Vec<_> = snapshot
            .events
            .iter()
            .filter_map(|e| match e.what {
                Happening::State { to, .. } => Some(to),
                _ => None,
            })
            .collect();
        assert!(
            seen.contains(&State::Spilling) && seen.ends_with(&[State::Replaying, State::Direct]),
            "{seen:?}"
        );
        producer.send::<Replicated>(outgoing("a", 51)).await.unwrap();
        assert_eq!(producer.snapshot().sinks[0].records[0], 1);
    });
    world.shelf.judge().unwrap();
    assert_eq!(world.shelf.of("a").split(' ').next_back(), Some("51"));
}

#[test]
fn a_key_that_is_never_quiet_finds_back_to_the_direct_path() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open(options()).unwrap();
        world.shelf.set(Mood::Down);
        let stream = tokio::spawn({
            let producer = producer.clone();
            async move {
                for n in 0..3_000 {
                    let sent = producer.clone();
                    tokio::spawn(async move { sent.send::<Synced>(outgoing("hot", n)).await.unwrap() });
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        });
        tokio::time::sleep(2 * SECOND).await;
        world.shelf.set(Mood::Up);
        until(&producer, |s| s.state == State::Direct && s.sinks[0].records[0] > 100).await;
        stream.await.unwrap();
        producer.close(10 * SECOND).await;
    });
    world.shelf.judge().unwrap();
    assert_eq!(world.shelf.of("hot").split(' ').next_back(), Some("2999"));
}

#[test]
fn a_call_that_hangs_holds_nobody_who_asked_for_synced() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open(options()).unwrap();
        world.shelf.set(Mood::Slow);
        let begun = world.clock.now();
        let (first, second) = tokio::join!(
            producer.send::<Synced>(outgoing("a", 1)),
            producer.send::<Synced>(outgoing("a", 2))
        );
        assert!(matches!(first.unwrap().place, Safe::Spilled { .. }));
        assert!(matches!(second.unwrap().place, Safe::Spilled { .. }));
        assert!(world.clock.now().since(begun) < SECOND, "the patience, not the call");
        world.shelf.set(Mood::Up);
        until(&producer, |s| s.state == State::Direct && s.backlog_records == 0).await;
    });
    // The slow call wrote the first in the end: it was not sent again.
    assert_eq!(world.shelf.of("a").replace("1 2 1 2", "1 2"), "1 2");
    world.shelf.judge().unwrap();
}

#[test]
fn a_call_that_takes_long_has_its_records_sent_once() {
    let mut world = World::new();
    world.shelf.latency = 4 * SECOND / 5;
    live(&world.clock, async {
        let producer = world.open(options()).unwrap();
        let records = (0..3).map(|n| outgoing("", n)).collect();
        assert!(producer.send_all::<Replicated>(records).await.iter().all(Result::is_ok));
        until(&producer, |s| s.backlog_records == 0).await;
        // Whatever was begun ends.
        tokio::time::sleep(5 * SECOND).await;
    });
    let counts: Vec<_> = (0..3).map(|n| world.shelf.count("", n)).collect();
    assert_eq!(counts, [1; 3]);
}

#[test]
fn everybody_who_closes_is_told_at_the_end() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open(ProducerOptions { spill: None, ..options() }).unwrap();
        world.shelf.set(Mood::Hang);
        let sent = producer.send::<Replicated>(outgoing("a", 1));
        let closed = async |after| {
            tokio::time::sleep(after).await;
            producer.close(3 * SECOND).await;
            world.clock.now()
        };
        let (sent, first, second, third) =
            tokio::join!(sent, closed(SECOND), closed(SECOND), closed(2 * SECOND));
        assert!(matches!(sent, Err(SendError::Lost)), "{sent:?}");
        assert!(
            first.0 >= 4_000_000_000 && second >= first && third >= first,
            "{first:?} {second:?} {third:?}"
        );
        let again = tokio::time::timeout(60 * SECOND, producer.close(SECOND)).await;
        again.expect("what has ended is closed");
    });
}

#[test]
fn a_record_whose_time_runs_out_says_what_is_left_of_it() {
    let world = World::new();
    live(&world.clock, async {
        let bare = ProducerOptions { spill: None, ..options() };
        let producer = world.open(bare).unwrap();
        let best = producer.send::<Synced>(outgoing("a", 0)).await.unwrap();
        assert!(matches!(best.place, Safe::Delivered { .. }));
        world.shelf.set(Mood::Down);
        let error = producer.send::<Replicated>(outgoing("a", 1)).await.unwrap_err();
        assert!(matches!(&error, SendError::TimedOut { left: Left::Unknown, cause: Some(_), .. }), "{error}");
        assert!(error.to_string().contains("no broker"), "{error}");
        assert_eq!((producer.snapshot().memory_records, producer.snapshot().timed_out), (0, 1));
        let producer = world.open(options()).unwrap();
        world.shelf.set(Mood::Hang);
        let error = producer.send::<Replicated>(outgoing("a", 2)).await.unwrap_err();
        assert!(matches!(error, SendError::TimedOut { left: Left::Spilled, .. }), "{error}");
        assert_eq!(producer.snapshot().backlog_records, 1);
    });
}

#[test]
fn a_buffered_record_is_answered_for_by_its_callback() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open(options()).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        for (n, mood) in [(1, Mood::Up), (2, Mood::Refuse), (3, Mood::Down)] {
            world.shelf.set(mood);
            let heard = Arc::clone(&heard);
            let callback = move |outcome| heard.lock().unwrap().push((n, outcome));
            producer.send_buffered(outgoing("a", n), callback).await.unwrap();
            tokio::time::sleep(10 * SECOND).await;
        }
        let heard = heard.lock().unwrap();
        assert!(matches!(heard[0], (1, Ok(Safe::Delivered { .. }))));
        assert!(matches!(heard[1], (2, Err(SendError::Refused { .. }))));
        assert!(matches!(heard[2], (3, Ok(Safe::Spilled { .. }))), "{heard:?}");
    });
}

#[test]
fn over_to_the_next_sink_at_once_and_back_slowly() {
    let world = World::new();
    let second = Shelf::new();
    live(&world.clock, async {
        let targets = vec![Target::new("near", world.shelf.clone()), Target::new("far", second.clone())];
        let producer = world.open_over(options(), targets).unwrap();
        let send = async |n| producer.send::<Replicated>(outgoing("a", n)).await.map(|r| r.sink.to_string());
        assert_eq!(send(1).await.unwrap(), "near");
        world.shelf.set(Mood::Down);
        assert_eq!(send(2).await.unwrap(), "far");
        world.shelf.set(Mood::Up);
        assert_eq!(send(3).await.unwrap(), "far", "left alone for a while");
        let snapshot = producer.snapshot();
        assert_eq!((snapshot.active, snapshot.switches), (1, 1));
        tokio::time::sleep(31 * SECOND).await;
        for n in 4..8 {
            send(n).await.unwrap();
            tokio::time::sleep(SECOND).await;
        }
        assert_eq!(send(8).await.unwrap(), "near");
        let snapshot = producer.snapshot();
        assert_eq!((snapshot.active, snapshot.switches), (0, 2));
        let switched = |e: &&Event| matches!(e.what, Happening::Switched { .. });
        assert_eq!(snapshot.events.iter().filter(switched).count(), 2);
        // Both gone: the disk is the last.
        world.shelf.set(Mood::Down);
        second.set(Mood::Down);
        let receipt = producer.send::<Synced>(outgoing("a", 9)).await.unwrap();
        assert!(matches!(receipt.place, Safe::Spilled { .. }));
    });
    world.shelf.judge().unwrap();
    second.judge().unwrap();
}

/// Memory for 5 of the [`big`] ones, and a disk for less than 20.
fn small() -> ProducerOptions {
    let spill = SpillOptions { disk_bytes_max: 1 << 20, ..SpillOptions::new("/spill", "tests") };
    ProducerOptions {
        memory_bytes_max: 256 << 10,
        record_bytes_max: 60_000,
        batch_bytes: 60_000,
        spill: Some(spill),
        ..options()
    }
}

fn big(n: u64) -> Outgoing {
    let mut outgoing = outgoing("a", n);
    outgoing.record.value = format!("a:{n}:{}", "x".repeat(50_000)).into();
    outgoing
}

#[test]
fn at_the_end_of_memory_and_disk_a_send_waits_then_is_refused_by_name() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open(small()).unwrap();
        world.shelf.set(Mood::Down);
        let (mut synced, mut full) = (0_u64, None);
        for n in 0..60 {
            match producer.send::<Synced>(big(n)).await {
                Ok(_) => synced = n + 1,
                Err(error) => {
                    full = Some((n, error));
                    break;
                }
            }
        }
        let (refused_at, error) = full.unwrap();
        assert!(error.to_string().contains("budget is used up"), "{error}");
        assert!(synced > 5 && refused_at >= synced);
        let many = (100..120).map(|n| producer.send::<Synced>(big(n)));
        let many = futures_util::future::join_all(many).await;
        let named = |e: &Result<Synced, SendError>| matches!(e, Err(SendError::Full { cause: Some(_), .. }));
        assert!(many.iter().any(named), "{many:?}");
        let snapshot = producer.snapshot();
        assert!(snapshot.full > 0 && snapshot.spill_trouble.is_some());
        // What is left is less than the next record takes.
        let (used, max) = (snapshot.spill_bytes, snapshot.spill_bytes_max);
        assert!(used <= max && used * 8 > max * 7, "full, and shown as {used} of {max}");
        world.shelf.set(Mood::Up);
        until(&producer, |s| s.state == State::Direct && s.spill_trouble.is_none()).await;
        for n in 0..synced {
            assert!(world.shelf.count("a", n) > 0, "{n} had a receipt");
        }
        producer.send::<Replicated>(big(200)).await.unwrap();
    });
    world.shelf.judge().unwrap();
}

#[test]
fn a_full_spill_says_so_once_though_its_progress_is_written() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open(small()).unwrap();
        world.shelf.set(Mood::Down);
        for n in 0..4 {
            producer.send::<Synced>(outgoing("b", n)).await.unwrap();
        }
        let mut n = 0;
        while producer.send::<Synced>(big(n)).await.is_ok() {
            n += 1;
        }
        // Those of `b` are delivered, one after the other, and that is written down; nothing else finds room.
        let waits = producer.send::<Synced>(big(n));
        let delivers = async {
            for done in 1..=4 {
                world.shelf.set(Mood::Alone);
                until(&producer, |s| s.replayed_records >= done).await;
                world.shelf.set(Mood::Down);
                for _ in 0..300 {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    assert!(producer.snapshot().spill_trouble.is_some());
                }
            }
        };
        let (waited, ()) = futures_util::future::join(waits, delivers).await;
        assert!(waited.is_err());
        let snapshot = producer.snapshot();
        let said = |e: &&Event| matches!(e.what, Happening::SpillTrouble { .. });
        assert_eq!(snapshot.events.iter().filter(said).count(), 1, "{:#?}", snapshot.events);
        world.shelf.set(Mood::Up);
        until(&producer, |s| s.backlog_records == 0 && s.spill_trouble.is_none()).await;
    });
    world.shelf.judge().unwrap();
}

#[test]
fn a_record_refused_for_good_after_its_receipt_is_kept_aside_and_blocks_nobody() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open(options()).unwrap();
        world.shelf.set(Mood::Down);
        producer.send::<Synced>(outgoing("a", 1)).await.unwrap();
        world.shelf.set(Mood::Refuse);
        let snapshot = until(&producer, |s| s.refused_records == 1).await;
        assert!(snapshot.events.iter().any(|e| matches!(e.what, Happening::Refused { records: 1, .. })));
        world.shelf.set(Mood::Up);
        producer.send::<Replicated>(outgoing("a", 2)).await.unwrap();
        producer.close(SECOND).await;
        let summary = seawall_producer::spill::look::summary(&world.disk, "/spill".as_ref()).unwrap();
        assert_eq!((summary.waiting, summary.refused), (0, 1));
    });
    assert_eq!(world.shelf.of("a"), "2");
}

#[test]
fn a_sink_that_panics_or_answers_weaker_is_told_by_name() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open(options()).unwrap();
        world.shelf.set(Mood::Panic);
        let receipt = producer.send::<Synced>(outgoing("a", 1)).await.unwrap();
        assert!(matches!(receipt.place, Safe::Spilled { .. }));
        drop(producer);
        let mut weak = Shelf::new();
        weak.gives = Durability::Synced;
        let bare = ProducerOptions { spill: None, ..options() };
        let producer = world.open_over(bare.clone(), vec![Target::new("log", weak.clone())]).unwrap();
        let error = producer.send::<Replicated>(outgoing("a", 2)).await.unwrap_err();
        assert!(matches!(error, SendError::Weaker { given: Durability::Synced, .. }), "{error}");
        let honest = vec![Target::new("log", weak.clone()).giving(Durability::Synced)];
        let producer = world.open_over(bare, honest).unwrap();
        let error = producer.send::<Replicated>(outgoing("a", 3)).await.unwrap_err();
        assert!(matches!(error, SendError::Unreachable { .. }), "{error}");
        assert_eq!(weak.count("a", 3), 0);
    });
}

#[test]
fn bad_records_and_options_are_named_and_cost_no_room() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open(options()).unwrap();
        let bad = |topic: &str, value: usize| {
            let mut outgoing = outgoing("a", 1);
            (outgoing.topic, outgoing.record.value) = (topic.into(), vec![0; value].into());
            outgoing
        };
        let error = producer.send::<Synced>(bad("a/b", 1)).await.unwrap_err();
        assert!(matches!(error, SendError::Topic(_)) && error.to_string().contains("'/'"), "{error}");
        let error = producer.send::<Synced>(bad("a", 1_000_001)).await.unwrap_err();
        assert!(matches!(error, SendError::TooLarge { max: 1_000_000, .. }), "{error}");
        let error = producer.send::<Synced>(bad("a", 17 << 20)).await.unwrap_err();
        assert!(matches!(error, SendError::Record(_)), "{error}");
        let answers = producer.send_all::<Synced>(vec![outgoing("a", 1), bad("", 1), outgoing("a", 2)]).await;
        assert!(answers[0].is_ok() && answers[2].is_ok());
        assert!(matches!(answers[1], Err(SendError::Topic(_))));
        assert_eq!(producer.snapshot().memory_records, 0);
        let error = world.open_over(options(), Vec::new()).unwrap_err();
        assert!(error.to_string().contains("at least one sink"), "{error}");
        let twice = vec![Target::new("x", world.shelf.clone()), Target::new("x", world.shelf.clone())];
        assert!(matches!(world.open_over(options(), twice), Err(OpenError::Options { .. })));
        assert!(matches!(world.open(options()), Err(OpenError::Locked { .. })));
    });
    assert!(matches!(world.open(ProducerOptions { spill: None, ..options() }), Err(OpenError::NoRuntime)));
}

#[test]
fn live_records_are_not_starved_by_the_replay() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open(ProducerOptions { lanes: 1, batch_records: 500, ..options() }).unwrap();
        world.shelf.set(Mood::Down);
        let backlog = (0..20_000).map(|n| outgoing("old", n)).collect();
        assert!(producer.send_all::<Synced>(backlog).await.iter().all(Result::is_ok));
        world.shelf.set(Mood::Up);
        until(&producer, |s| s.state == State::Replaying && s.sinks[0].records[3] > 0).await;
        for n in 0..5 {
            let begun = world.clock.now();
            producer.send::<Replicated>(outgoing("new", n)).await.unwrap();
            let calls = world.clock.now().since(begun).as_millis() / world.shelf.latency.as_millis();
            assert!(calls <= 4, "a live record waited for {calls} calls of the replay");
        }
        assert!(producer.snapshot().backlog_records > 0, "the replay was still under way");
        until(&producer, |s| s.state == State::Direct).await;
    });
    world.shelf.judge().unwrap();
}

#[test]
fn a_disk_full_of_something_else_is_named() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open(options()).unwrap();
        world.disk.set_faults(Faults { space_bytes: 1, ..Faults::default() });
        world.shelf.set(Mood::Down);
        let mut n = 0;
        let error = loop {
            let mut outgoing = outgoing("a", n);
            outgoing.record.value = format!("a:{n}:{}", "x".repeat(500_000)).into();
            match producer.send::<Synced>(outgoing).await {
                Ok(_) => n += 1,
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("no space left"), "{error}");
        world.disk.set_faults(Faults::default());
        producer.send::<Synced>(outgoing("a", n)).await.unwrap();
        let fault = Fault::from(error);
        assert_eq!(fault.class(), seawall_core::Class::Transient);
    });
}

#[test]
fn a_record_that_fails_alone_holds_up_no_other_key() {
    let world = World::new();
    let mut options =
        ProducerOptions { batch_bytes: 100_000, record_bytes_max: 100_000, lanes: 2, ..options() };
    options.replay.window_bytes = 200_000;
    let big = |key: &str, n: u64| {
        let mut outgoing = outgoing(key, n);
        outgoing.record.value = format!("{key}:{n}:{}", "x".repeat(5_000)).into();
        outgoing
    };
    let others = ["b", "d", "e", "f"];
    live(&world.clock, async {
        let producer = world.open(options.clone()).unwrap();
        world.shelf.set(Mood::Down);
        // Five windows of the key that will fail, and as much of others, in each other's way.
        for n in 0..200 {
            let records = vec![big("a", n), big(others[n as usize % 4], n)];
            assert!(producer.send_all::<Synced>(records).await.iter().all(Result::is_ok));
        }
        world.shelf.set(Mood::Alone);
        let snapshot = until(&producer, |s| s.backlog_records == 200).await;
        assert_eq!(snapshot.state, State::Replaying);
        let begun = world.clock.now();
        for n in 0..20 {
            producer.send::<Replicated>(big("z", n)).await.unwrap();
            // What is delivered from the disk is told there: its keys go to the sink again.
            producer.send::<Replicated>(big("b", 1_000 + n)).await.unwrap();
        }
        let took = world.clock.now().since(begun);
        assert!(took < SECOND, "live records of other keys waited: {took:?}");
        // More of that key goes behind it.
        producer.send::<Synced>(big("a", 200)).await.unwrap();
        tokio::time::sleep(2 * SECOND).await;
    });
    assert_eq!(world.shelf.of("a"), "");
    world.disk.kill();
    live(&world.clock, async {
        let producer = world.open(options).unwrap();
        assert_eq!(producer.snapshot().backlog_records, 201);
        tokio::time::sleep(5 * SECOND).await;
        assert_eq!(producer.snapshot().backlog_records, 201);
        world.shelf.set(Mood::Up);
        until(&producer, |s| s.state == State::Direct).await;
        producer.close(SECOND).await;
    });
    world.shelf.judge().unwrap();
    assert_eq!(world.shelf.of("a").split(' ').count(), 201, "each once");
    assert_eq!(world.shelf.taken().len(), 200 + 201 + 40, "and nothing again after the crash");
}

/// Calls for a hundred records of 100 KB in one lane, of a sink that takes `latency` for each.
fn calls_for_ten_megabytes(latency: Duration) -> u64 {
    let mut world = World::new();
    world.shelf.latency = latency;
    live(&world.clock, async {
        let producer = world.open(ProducerOptions { lanes: 1, ..options() }).unwrap();
        let mut record = outgoing("a", 1);
        record.record.value = format!("a:1:{}", "x".repeat(100_000)).into();
        let answers = producer.send_all::<Replicated>(vec![record; 100]).await;
        assert!(answers.iter().all(Result::is_ok));
        producer.close(SECOND).await;
    });
    world.shelf.calls()
}

#[test]
fn calls_grow_while_the_sink_is_quick_and_stay_short_where_it_is_slow() {
    // 1, 2, 4 and 4 MB; and 1 MB at a time, so that no call comes near the patience, after which it is written to the disk.
    assert_eq!(calls_for_ten_megabytes(Duration::from_millis(2)), 4);
    assert_eq!(calls_for_ten_megabytes(Duration::from_millis(300)), 12);
}
