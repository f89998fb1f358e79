//! From the caller to the sink, and what is said at once.

use crate::stage::{Mood, outgoing, sized};
use crate::{SECOND, World, options, until};
use seawall_core::record::{HEADERS_MAX, KEY_BYTES_MAX};
use seawall_core::{Durability, Header};
use seawall_producer::{OpenError, ProducerOptions, Replicated, Safe, SendError, State, Synced, Target};
use seawall_testkit::runtime::live;
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
        // The id is one of a record's headers.
        let headers = |count: usize| {
            let mut outgoing = outgoing("a", 3);
            outgoing.record.headers = (0..count).map(|n| Header::new(format!("h{n}"), "x")).collect();
            outgoing
        };
        let error = producer.send::<Synced>(headers(HEADERS_MAX)).await.unwrap_err();
        assert!(matches!(error, SendError::Record(_)) && error.to_string().contains("129"), "{error}");
        producer.send::<Synced>(headers(HEADERS_MAX - 1)).await.unwrap();
        assert_eq!(producer.snapshot().memory_records, 0);
        let late = ProducerOptions { timeout: SECOND, patience: SECOND, ..options() };
        let error = world.open(late).unwrap_err();
        assert!(
            error.to_string().contains("patience") && error.to_string().contains("less than timeout"),
            "{error}"
        );
        let error = world.open_over(options(), Vec::new()).unwrap_err();
        assert!(error.to_string().contains("at least one sink"), "{error}");
        let twice = vec![Target::new("x", world.shelf.clone()), Target::new("x", world.shelf.clone())];
        assert!(matches!(world.open_over(options(), twice), Err(OpenError::Options { .. })));
        assert!(matches!(world.open(options()), Err(OpenError::Locked { .. })));
    });
    assert!(matches!(world.open(ProducerOptions { spill: None, ..options() }), Err(OpenError::NoRuntime)));
}

/// Calls for a hundred records of 100 KB in one lane, of a sink that takes `latency` for each.
fn calls_for_ten_megabytes(latency: Duration) -> u64 {
    let mut world = World::new();
    world.shelf.latency = latency;
    live(&world.clock, async {
        let producer = world.open(ProducerOptions { lanes: 1, ..options() }).unwrap();
        let record = sized("a", 1, 100_000);
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

/// A dead letter is as large as the record that its topic took.
#[test]
fn what_was_taken_elsewhere_before_goes_by_its_size_alone() {
    let world = World::new();
    let large = || {
        let mut outgoing = outgoing("a", 1);
        outgoing.record.key = Some(vec![b'k'; KEY_BYTES_MAX + 1].into());
        outgoing.record.headers = (0..=HEADERS_MAX).map(|n| Header::new(format!("h{n}"), "x")).collect();
        outgoing
    };
    live(&world.clock, async {
        let producer = world.open(ProducerOptions { record_bounds: false, ..options() }).unwrap();
        producer.send::<Replicated>(large()).await.unwrap();
        world.shelf.set(Mood::Down);
        let receipt = producer.send::<Synced>(large()).await.unwrap();
        assert!(matches!(receipt.place, Safe::Spilled { .. }));
        world.shelf.set(Mood::Up);
        until(&producer, |s| s.backlog_records == 0).await;
        let mut huge = large();
        huge.record.value = vec![0; 1_000_001].into();
        let error = producer.send::<Synced>(huge).await.unwrap_err();
        assert!(matches!(error, SendError::TooLarge { max: 1_000_000, .. }), "{error}");
    });
    assert_eq!(world.shelf.taken().len(), 2);
}
