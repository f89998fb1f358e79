//! What stands still elsewhere when partitions move or fill up.

use super::diary::What;
use super::stage::{Place, SESSION, ms, partition, until};
use seawall_consumer::QueueOptions;
use seawall_core::{Class, Fault, Outcome};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Elsewhere a partition that was paused when it moved stays paused, until somebody restarts the program
/// (parallel-consumer #857).
#[tokio::test(flavor = "multi_thread")]
async fn consumption_goes_on_after_every_rebalance() {
    let Some(place) = Place::new("consumption_goes_on_after_every_rebalance", 4).await else { return };
    let mut setup = place.setup();
    // So small that every partition is paused most of the time, and while it moves.
    setup.consumer.queue = QueueOptions { records: 32, bytes: 1 << 20 };
    let work = |_| async {
        ms(2).await;
        Outcome::Ack
    };
    let first = place.join(1, setup.clone(), work);
    let rounds = 3;
    for round in 0..rounds {
        place.fill(4, 400);
        first.until_holds(4).await;
        let second = place.join(2 + round, setup.clone(), work);
        second.until_holds(2).await;
        place.fill(4, 100);
        second.leave(Duration::from_secs(10)).await;
    }
    let end = u64::from(rounds) * 500;
    place.until_committed(4, end).await;
    first.leave(Duration::from_secs(10)).await;
    place.diary.assert_each_once(4, end);
    place.diary.assert_order();
}

/// Elsewhere one lane that is full pauses every partition (parallel-consumer #540).
#[tokio::test(flavor = "multi_thread")]
async fn one_full_lane_pauses_its_own_partition_alone() {
    let Some(place) = Place::new("one_full_lane_pauses_its_own_partition_alone", 3).await else { return };
    place.write(0, std::iter::repeat_n("stuck", 1_000));
    place.fill(3, 2_000);
    let gate = Arc::new(AtomicBool::new(false));
    let mut setup = place.setup();
    setup.consumer.queue = QueueOptions { records: 256, bytes: 1 << 20 };
    setup.consumer.timeout = None;
    let open = Arc::clone(&gate);
    let member = place.join(1, setup, move |delivery| {
        let open = Arc::clone(&open);
        async move {
            while delivery.record.key.as_deref() == Some(b"stuck") && !open.load(Ordering::SeqCst) {
                ms(10).await;
            }
            Outcome::Ack
        }
    });
    let others = |which: u32| place.diary.count(|line| line.what == What::Acked && line.place.0 == which);
    until("the other partitions are done", || others(1) == 2_000 && others(2) == 2_000).await;
    let snapshot = member.snapshot();
    let paused: Vec<_> = snapshot.partitions.iter().filter(|held| held.paused).collect();
    assert_eq!(paused.len(), 1, "{paused:?}");
    assert_eq!((&paused[0].partition, others(0)), (&partition(&place, 0), 0));
    gate.store(true, Ordering::SeqCst);
    until("the stuck partition is done", || others(0) == 3_000).await;
    member.leave(Duration::from_secs(10)).await;
    place.diary.assert_order();
}

/// Keys of what comes late.
const LATE: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Elsewhere the drain runs inside the callback of the rebalance, and deadlocks or silences the member
/// (arroyo #560). Here the member polls on for longer than its session and its poll interval, and the partition
/// that stays is read and handled on, although librdkafka fetches nothing for a member that has a revocation to
/// answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_never_silences_the_member() {
    let Some(place) = Place::new("a_drain_never_silences_the_member", 2).await else { return };
    (0..2).for_each(|partition| place.write(partition, ["long"].into_iter().chain(["short"; 60])));
    let mut setup = place.setup();
    setup.consumer.timeout = None;
    setup.consumer.revoke_bound = Duration::from_mins(10);
    setup.source.poll_interval_max = SESSION;
    let gate = Arc::new(AtomicBool::new(false));
    let open = Arc::clone(&gate);
    let work = move |delivery: seawall_core::Delivery| {
        let open = Arc::clone(&open);
        async move {
            let long = delivery.record.key.as_deref() == Some(b"long");
            while !open.load(Ordering::SeqCst) {
                ms(300).await;
                if !long {
                    break;
                }
            }
            Outcome::Ack
        }
    };
    let first = place.join(1, setup.clone(), work.clone());
    until("both long records run", || place.diary.lines().len() >= 2).await;
    let second = place.join(2, setup, work);
    until("one partition is being given up", || first.snapshot().partitions.iter().any(|held| held.revoking))
        .await;
    let kept = first.snapshot().partitions.iter().find(|held| !held.revoking).unwrap().clone();
    let done = |of_kept: bool| {
        let place_of = |line: &super::diary::Line| (line.place.0 == kept.partition.partition) == of_kept;
        place.diary.count(|line| line.what == What::Acked && place_of(line))
    };
    // What runs may end; then nothing of it starts any more.
    ms(1_000).await;
    let (given_up, mut last) = (done(false), done(true));
    // Longer than both bounds of the group.
    for _ in 0..9 {
        ms(1_000).await;
        let now = done(true);
        assert!(now > last || now == 60, "the partition that stays stands still at {now}");
        last = now;
    }
    assert_eq!(done(false), given_up, "the one that goes starts nothing more");
    assert!(first.holds().contains(&(kept.partition.partition, kept.generation.0)), "{:?}", first.holds());
    // What comes only now is read, too, in parts and up to the end of the log.
    let stays = kept.partition.partition;
    for more in 1..=3 {
        place.write(stays, LATE);
        until("what came meanwhile is done", || done(true) == 60 + more * LATE.len()).await;
    }
    assert!(second.holds().is_empty(), "it is not given back before its handler has ended");
    gate.store(true, Ordering::SeqCst);
    second.until_holds(1).await;
    until("all but what comes last is done", || place.diary.acked().len() == 137).await;
    place.write(stays, LATE);
    until("all is done", || place.diary.acked().len() == 142).await;
    for member in [first, second] {
        member.leave(Duration::from_secs(10)).await;
    }
    place.diary.assert_each_once(2, 61);
    assert_eq!(place.diary.acked().values().sum::<usize>(), 142);
    for (partition, end) in [(stays, 81), (1 - stays, 61)] {
        assert_eq!(place.committed(partition).await, Some(end));
    }
    place.diary.assert_order();
}

/// Ends the writing whatever becomes of the test, which would wait for the thread otherwise.
#[derive(Default)]
struct Writes {
    over: Arc<AtomicBool>,
}

impl Drop for Writes {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

/// The same client reads again what memory had no room for and reads on in what stays: neither starves the other.
#[tokio::test(flavor = "multi_thread")]
async fn what_overflowed_is_read_again_while_others_are_given_up() {
    let name = "what_overflowed_is_read_again_while_others_are_given_up";
    let Some(place) = Place::new(name, 2).await else { return };
    let place = Arc::new(place);
    (0..2).for_each(|partition| place.write(partition, ["long"].into_iter().chain(["bad"; 200])));
    let mut setup = place.setup();
    setup.consumer.timeout = None;
    setup.consumer.revoke_bound = Duration::from_mins(10);
    setup.consumer.retry.parked_records = 8;
    setup.consumer.retry.attempts_max = u32::MAX;
    setup.consumer.retry.max = Duration::from_millis(200);
    let (gate, healthy) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let work = {
        let (gate, healthy) = (Arc::clone(&gate), Arc::clone(&healthy));
        move |delivery: seawall_core::Delivery| {
            let (gate, healthy) = (Arc::clone(&gate), Arc::clone(&healthy));
            async move {
                let key = delivery.record.key.unwrap_or_default();
                while key == "long" && !gate.load(Ordering::SeqCst) {
                    ms(10).await;
                }
                if key == "bad" && !healthy.load(Ordering::SeqCst) {
                    return Outcome::Retry(Fault::new(Class::Transient, "not yet"));
                }
                Outcome::Ack
            }
        }
    };
    let first = place.join(1, setup.clone(), work.clone());
    until("both partitions overflow", || first.snapshot().lanes.overflowed == 2).await;
    let second = place.join(2, setup, work);
    until("one partition is being given up", || first.snapshot().partitions.iter().any(|held| held.revoking))
        .await;
    let stays = first.snapshot().partitions.iter().find(|held| !held.revoking).unwrap().partition.partition;
    let done = |key: &'static str| {
        place
            .diary
            .count(|line| line.what == What::Acked && line.place.0 == stays && line.key == key.as_bytes())
    };
    let writes = Writes::default();
    let writer = tokio::task::spawn_blocking({
        let (place, over) = (Arc::clone(&place), Arc::clone(&writes.over));
        move || {
            while !over.load(Ordering::SeqCst) {
                place.write(stays, ["new"]);
            }
        }
    });
    until("what comes meanwhile is read", || done("new") > 10).await;
    healthy.store(true, Ordering::SeqCst);
    until("what overflowed is read again", || done("bad") == 200).await;
    let before = done("new");
    until("what comes after is read", || done("new") > before + 10).await;
    assert!(second.holds().is_empty(), "it is not given back before its handler has ended");
    drop(writes);
    writer.await.unwrap();
    gate.store(true, Ordering::SeqCst);
    second.until_holds(1).await;
    for member in [first, second] {
        member.leave(Duration::from_secs(10)).await;
    }
    place.diary.assert_order();
}
