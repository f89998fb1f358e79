//! When a record's time or the producer ends.

use crate::stage::{Mood, outgoing};
use crate::{SECOND, World, options};
use seawall_core::Clock;
use seawall_producer::{Left, ProducerOptions, Replicated, Safe, SendError, Synced};
use seawall_testkit::runtime::live;
use std::time::Duration;

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
fn each_of_one_call_hears_at_the_end_of_its_own_time() {
    let world = World::new();
    live(&world.clock, async {
        let timeout = 2 * SECOND;
        let options = ProducerOptions { spill: None, lanes: 1, linger: SECOND, timeout, ..options() };
        let producer = world.open(options).unwrap();
        world.shelf.set(Mood::Hang);
        let sent = async |after, n| {
            tokio::time::sleep(after).await;
            let begun = world.clock.now();
            let error = producer.send::<Replicated>(outgoing("a", n)).await.unwrap_err();
            assert!(matches!(error, SendError::TimedOut { left: Left::Unknown, .. }), "{error}");
            world.clock.now().since(begun)
        };
        let (first, second) = tokio::join!(sent(Duration::ZERO, 0), sent(SECOND * 9 / 10, 1));
        assert_eq!(world.shelf.calls(), 1);
        for took in [first, second] {
            assert!(took >= timeout && took < timeout + SECOND / 10, "{first:?} {second:?}");
        }
    });
}
