//! Several sinks, and those that don't keep to what was agreed.

use crate::stage::{Mood, Shelf, outgoing, sized};
use crate::{SECOND, World, options, until};
use seawall_core::Durability;
use seawall_producer::{
    Event, Happening, Producer, ProducerOptions, Replicated, Safe, SendError, Synced, Target,
};
use seawall_testkit::runtime::live;
use std::collections::BTreeSet;

/// A producer that prefers the world's own sink to `second`.
fn near_and_far(world: &World, second: &Shelf, options: ProducerOptions) -> Producer {
    let targets = vec![Target::new("near", world.shelf.clone()), Target::new("far", second.clone())];
    world.open_over(options, targets).unwrap()
}

#[test]
fn over_to_the_next_sink_at_once_and_back_slowly() {
    let world = World::new();
    let second = Shelf::new();
    live(&world.clock, async {
        let producer = near_and_far(&world, &second, options());
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

/// What fills the window alone is set apart while both are away, and asked for by itself: not for ever at the one that stays away.
#[test]
fn the_last_of_a_spill_goes_to_the_sink_that_is_there() {
    let (world, second) = (World::new(), Shelf::new());
    let mut options = ProducerOptions { batch_bytes: 60_000, record_bytes_max: 60_000, ..options() };
    options.replay.window_bytes = 200_000;
    live(&world.clock, async {
        let producer = near_and_far(&world, &second, options);
        world.shelf.set(Mood::Down);
        second.set(Mood::Down);
        for n in 0..20 {
            let outgoing = sized("a", n, 50_000);
            producer.send::<Synced>(outgoing).await.unwrap();
        }
        tokio::time::sleep(120 * SECOND).await;
        assert_eq!(producer.snapshot().active, 1);
        second.set(Mood::Up);
        until(&producer, |s| s.backlog_records == 0).await;
    });
    second.judge().unwrap();
    assert_eq!((world.shelf.taken().len(), second.taken().len()), (0, 20));
}

/// All that is left is of one key, which failed alone before its sink went away.
#[test]
fn a_record_that_is_held_goes_to_the_sink_that_is_there() {
    let (world, second) = (World::new(), Shelf::new());
    live(&world.clock, async {
        let producer = near_and_far(&world, &second, options());
        world.shelf.set(Mood::Down);
        second.set(Mood::Down);
        for n in 0..10 {
            producer.send::<Synced>(outgoing("a", n)).await.unwrap();
        }
        world.shelf.set(Mood::Partly);
        until(&producer, |s| s.held_records == 1).await;
        world.shelf.set(Mood::Down);
        second.set(Mood::Up);
        until(&producer, |s| s.backlog_records == 0).await;
        assert_eq!(producer.snapshot().active, 1);
    });
    let all: BTreeSet<u64> =
        world.shelf.taken().into_iter().chain(second.taken()).map(|(_, n, _)| n).collect();
    assert_eq!(all.len(), 10);
    second.judge().unwrap();
}

/// One that no sink takes is no reason to be without a sink.
#[test]
fn a_record_that_all_sinks_fail_keeps_none_of_them_away() {
    let (world, second) = (World::new(), Shelf::new());
    live(&world.clock, async {
        let producer = near_and_far(&world, &second, options());
        world.shelf.set(Mood::Down);
        second.set(Mood::Down);
        for key in ["a", "b"] {
            producer.send::<Synced>(outgoing(key, 0)).await.unwrap();
        }
        world.shelf.set(Mood::Alone);
        second.set(Mood::Alone);
        until(&producer, |s| s.held_records == 1 && s.backlog_records == 1).await;
        // Nobody sends anything for long.
        tokio::time::sleep(600 * SECOND).await;
        let snapshot = producer.snapshot();
        assert!(snapshot.switches <= 1, "it moves back and forth: {snapshot:#?}");
        for n in 0..20 {
            let sent = tokio::time::Instant::now();
            producer.send::<Replicated>(outgoing("b", 1 + n)).await.unwrap();
            assert!(sent.elapsed() < SECOND / 10, "{:?}: {:#?}", sent.elapsed(), producer.snapshot());
            tokio::time::sleep(7 * SECOND).await;
        }
        assert!(producer.snapshot().switches <= 2);
    });
}
