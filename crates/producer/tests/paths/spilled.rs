//! By the disk, and from there to the sink beside live records.

use crate::stage::{Mood, outgoing, sized};
use crate::{SECOND, World, options, until};
use seawall_core::{Clock, Durability};
use seawall_producer::{Happening, ProducerOptions, Replicated, Safe, SpillOptions, State, Synced};
use seawall_testkit::runtime::live;
use std::time::Duration;

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
fn a_record_that_fails_alone_holds_up_no_other_key() {
    let world = World::new();
    let mut options =
        ProducerOptions { batch_bytes: 100_000, record_bytes_max: 100_000, lanes: 2, ..options() };
    options.replay.window_bytes = 200_000;
    let big = |key: &str, n: u64| sized(key, n, 5_000);
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

#[test]
fn a_key_that_waits_for_the_last_on_disk_holds_up_no_other() {
    let world = World::new();
    let mut options = ProducerOptions { lanes: 1, ..options() };
    options.replay.bytes_per_second = Some(60_000);
    live(&world.clock, async {
        let producer = world.open(options).unwrap();
        world.shelf.set(Mood::Down);
        let backlog = (0..500).map(|n| outgoing("a", n)).collect();
        assert!(producer.send_all::<Synced>(backlog).await.iter().all(Result::is_ok));
        world.shelf.set(Mood::Up);
        until(&producer, |s| s.state == State::Replaying && s.replayed_records > 0).await;
        let follower = tokio::spawn({
            let producer = producer.clone();
            async move { producer.send::<Synced>(outgoing("a", 500)).await }
        });
        let begun = world.clock.now();
        for n in 0..20 {
            producer.send::<Replicated>(outgoing("b", n)).await.unwrap();
        }
        let took = world.clock.now().since(begun);
        assert!(took < SECOND / 4, "waited for another key: {took:?}");
        assert!(producer.snapshot().backlog_records > 0, "the replay was still under way");
        follower.await.unwrap().unwrap();
        until(&producer, |s| s.state == State::Direct).await;
    });
    world.shelf.judge().unwrap();
    assert_eq!(world.shelf.of("a").split(' ').count(), 501);
}

#[test]
fn what_calls_that_took_long_delivered_is_not_read_again() {
    let world = World::new();
    let spill = SpillOptions { disk_bytes_max: 1 << 20, ..SpillOptions::new("/spill", "tests") };
    let mut options = ProducerOptions {
        lanes: 32,
        batch_bytes: 60_000,
        record_bytes_max: 60_000,
        spill: Some(spill),
        ..options()
    };
    options.replay.window_bytes = 60_000;
    let big = |n: u64| sized(&format!("k{n}"), n, 6_000);
    live(&world.clock, async {
        let producer = world.open(options).unwrap();
        world.shelf.set(Mood::Slow);
        let answers = producer.send_all::<Synced>((0..80).map(big).collect()).await;
        assert!(answers.iter().all(Result::is_ok));
        // Their calls end well: all of it is delivered, and its segments go, of which only a window was read.
        let snapshot = until(&producer, |s| s.backlog_records == 0).await;
        assert_eq!(snapshot.sinks[0].records[3], 0, "none was replayed: {snapshot:#?}");
        assert_eq!(snapshot.spill_trouble, None);
        world.shelf.set(Mood::Down);
        producer.send::<Synced>(big(80)).await.unwrap();
        world.shelf.set(Mood::Up);
        until(&producer, |s| s.backlog_records == 0 && s.state == State::Direct).await;
    });
    world.shelf.judge().unwrap();
    assert_eq!(world.shelf.count("k80", 80), 1);
}

#[test]
fn a_record_behind_a_slow_replay_or_a_closing_producer_has_its_receipt_from_the_disk() {
    // The first call from the disk takes the rate for so long that its progress is written before the next may go.
    for (bytes_per_second, closes) in [(10_000, false), (60_000, true)] {
        let world = World::new();
        let mut options = options();
        options.replay.bytes_per_second = Some(bytes_per_second);
        live(&world.clock, async {
            let producer = world.open(options).unwrap();
            world.shelf.set(Mood::Down);
            let mut backlog: Vec<_> = (0..300).map(|n| outgoing("a", n)).collect();
            backlog[0].record.value = format!("a:0:{}", "x".repeat(100_000)).into();
            assert!(producer.send_all::<Synced>(backlog).await.iter().all(Result::is_ok));
            world.shelf.set(Mood::Up);
            until(&producer, |s| s.state == State::Replaying && s.replayed_records > 0).await;
            tokio::time::sleep(SECOND + SECOND / 4).await;
            assert_eq!(producer.snapshot().replayed_records, 1);
            let begun = world.clock.now();
            let follower = producer.send::<Synced>(outgoing("a", 300));
            let close = async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                if closes {
                    producer.close(20 * SECOND).await;
                }
            };
            let (receipt, ()) = tokio::join!(follower, close);
            let (receipt, took) = (receipt.unwrap(), world.clock.now().since(begun));
            assert!(
                matches!(receipt.place, Safe::Spilled { .. }) && took < SECOND / 4,
                "{receipt:?} {took:?}"
            );
        });
        world.shelf.judge().unwrap();
    }
}

#[test]
fn what_lies_in_front_and_fails_does_not_pass_for_the_sink() {
    let big = |key: &str, n: u64| sized(key, n, 50_000);
    // All of it fits into the window, and less than what is in front.
    for window_bytes in [16 << 20, 200_000] {
        let world = World::new();
        let mut options = ProducerOptions { batch_bytes: 60_000, record_bytes_max: 60_000, ..options() };
        options.replay.window_bytes = window_bytes;
        live(&world.clock, async {
            let producer = world.open(options).unwrap();
            world.shelf.set(Mood::Down);
            for n in 0..20 {
                producer.send::<Synced>(big(["a", "c"][n as usize % 2], n)).await.unwrap();
            }
            for key in ["b", "d", "e"] {
                producer.send::<Synced>(big(key, 0)).await.unwrap();
            }
            // Everything in front fails, and nothing else: no call of it tells that the sink is there.
            world.shelf.set(Mood::Alone);
            until(&producer, |s| s.backlog_records == 20).await;
            producer.send::<Replicated>(outgoing("b", 1)).await.unwrap();
            world.shelf.set(Mood::Up);
            until(&producer, |s| s.backlog_records == 0 && s.state == State::Direct).await;
        });
        world.shelf.judge().unwrap();
        assert_eq!(world.shelf.taken().len(), 24, "each once");
    }
}

#[test]
fn a_sink_that_takes_nothing_of_many_keys_is_gone_and_none_of_them_is_set_apart() {
    for (keys, held) in [(300, 0), (1, 1)] {
        let world = World::new();
        let mut options = ProducerOptions { batch_bytes: 60_000, record_bytes_max: 60_000, ..options() };
        options.replay.window_bytes = 1_000_000;
        live(&world.clock, async {
            let producer = world.open(options).unwrap();
            world.shelf.set(Mood::Down);
            for n in 0..900 {
                let key = format!("k{}", n % keys);
                let outgoing = sized(&key, n, 5_000);
                producer.send::<Synced>(outgoing).await.unwrap();
            }
            tokio::time::sleep(120 * SECOND).await;
            assert_eq!(producer.snapshot().held_records, held, "of {keys} keys");
            world.shelf.set(Mood::Up);
            until(&producer, |s| s.backlog_records == 0 && s.held_records == 0).await;
        });
        world.shelf.judge().unwrap();
    }
}

/// What is read at a time is more than the window takes: the rest follows as soon as there is room.
#[test]
fn a_small_window_is_filled_again_at_once() {
    let world = World::new();
    let mut options = ProducerOptions { record_bytes_max: 60_000, batch_bytes: 60_000, ..options() };
    options.replay.window_bytes = 60_000;
    live(&world.clock, async {
        let producer = world.open(options).unwrap();
        world.shelf.set(Mood::Down);
        for n in 0..2_000 {
            producer.send::<Synced>(outgoing(&format!("k{}", n % 64), n)).await.unwrap();
        }
        world.shelf.set(Mood::Up);
        until(&producer, |s| s.replayed_records > 0).await;
        let since = tokio::time::Instant::now();
        until(&producer, |s| s.backlog_records == 0).await;
        // The calls of all lanes end together, 2 ms later, and had all that the window takes.
        assert!(since.elapsed() < SECOND, "{:?}", since.elapsed());
    });
}

#[test]
fn what_is_on_disk_stays_there_until_a_sink_s_receipt_is_worth_as_much() {
    let mut world = World::new();
    let honest = world.shelf.clone();
    world.shelf.gives = Durability::Buffered;
    for life in 0..2 {
        live(&world.clock, async {
            let producer = world.open(ProducerOptions { lanes: 1, ..options() }).unwrap();
            // In a call that takes long, and by the replay.
            world.shelf.set(Mood::Slow);
            let slow = producer.send::<Synced>(outgoing("a", 2 * life)).await.unwrap();
            world.shelf.set(Mood::Down);
            let down = producer.send::<Synced>(outgoing("b", 2 * life)).await.unwrap();
            assert!([slow, down].iter().all(|r| matches!(r.place, Safe::Spilled { .. })));
            world.shelf.set(Mood::Up);
            tokio::time::sleep(60 * SECOND).await;
            let snapshot = producer.snapshot();
            assert_eq!(snapshot.backlog_records, 2 * (life + 1), "{snapshot:#?}");
            producer.close(SECOND).await;
        });
    }
    world.shelf = honest;
    live(&world.clock, async {
        let producer = world.open(options()).unwrap();
        until(&producer, |s| s.backlog_records == 0).await;
    });
}
