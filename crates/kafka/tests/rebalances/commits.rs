//! What is committed, when, and by whom.

use super::diary::What;
use super::stage::{Place, ms, until};
use seawall_consumer::QueueOptions;
use seawall_core::{Delivery, Outcome};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Elsewhere positions of a partition that has gone are committed, and what its new owner was still handling is
/// lost (redpanda-data/connect #4009: 10,433 records; #4477).
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_committed_after_a_revocation() {
    let Some(place) = Place::new("nothing_is_committed_after_a_revocation", 2).await else { return };
    let mut setup = place.setup();
    setup.consumer.revoke_bound = Duration::from_millis(300);
    setup.consumer.timeout = None;
    // Even offsets are done at once, odd ones by the second member alone.
    let work = |stuck: bool| {
        move |delivery: Delivery| async move {
            if stuck && delivery.offset % 2 == 1 {
                std::future::pending::<()>().await;
            }
            Outcome::Ack
        }
    };
    (0..2).for_each(|partition| {
        let keys: Vec<String> = (0..40).map(|n| format!("k{n}")).collect();
        place.write(partition, keys.iter().map(String::as_str));
    });
    let first = place.join(1, setup.clone(), work(true));
    until("the first has done its half", || place.diary.acked().len() == 40).await;
    let second = place.join(2, setup.clone(), work(false));
    let moved = second.until_holds(1).await[0];
    until("the second has done the rest", || {
        place.diary.count(|line| line.what == What::Acked && line.place.0 == moved) == 40
    })
    .await;
    let dropped = place.diary.count(|line| line.what == What::Dropped && line.place.0 == moved);
    assert_eq!(dropped, 20, "what ran past the bound was cancelled");
    until("the second has committed", || {
        second.snapshot().partitions.iter().all(|held| held.committed == 40)
    })
    .await;
    // Several commit intervals of the first.
    ms(1_000).await;
    assert_eq!(place.committed(moved).await, Some(40));
    let report = first.running.drain(Duration::ZERO).await;
    assert!(report.commit_failed.is_none() && report.left.len() == 1, "{report:?}");
    assert_eq!((report.left[0].watermark, report.left[0].cancelled), (1, 20));
    until("all is done", || place.diary.acked().len() == 80).await;
    second.leave(Duration::from_secs(10)).await;
    place.diary.assert_each_once(2, 40);
    place.until_committed(2, 40).await;
}

/// Elsewhere a full map of completed offsets stalls the partition or takes all memory (parallel-consumer #647,
/// #832). Tests 17 and 18 of the fault list, by the whole runtime.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_commit_map_neither_stalls_nor_replays() {
    const RECORDS: u64 = 30_000;
    let Some(place) = Place::new("a_full_commit_map_neither_stalls_nor_replays", 1).await else { return };
    let mut rng = fastrand::Rng::with_seed(18);
    let mut held: BTreeSet<u64> = (0..RECORDS).filter(|_| rng.bool()).collect();
    held.insert(5);
    (0..5).for_each(|offset| {
        held.remove(&offset);
    });
    let keys: Vec<String> = (0..RECORDS).map(|n| n.to_string()).collect();
    place.write(0, keys.iter().map(String::as_str));
    let mut setup = place.setup();
    setup.limit = RECORDS as u32;
    setup.consumer.queue = QueueOptions { records: 2 * RECORDS as usize, bytes: 64 << 20 };
    setup.consumer.timeout = None;
    let (held, gate) = (Arc::new(held), Arc::new(AtomicBool::new(false)));
    let work = {
        let (held, gate) = (Arc::clone(&held), Arc::clone(&gate));
        move |delivery: Delivery| {
            let stuck = held.contains(&delivery.offset) && !gate.load(Ordering::SeqCst);
            async move {
                if stuck {
                    std::future::pending::<()>().await;
                }
                Outcome::Ack
            }
        }
    };
    let first = place.join(1, setup.clone(), work.clone());
    until("all that may is done", || place.diary.acked().len() as u64 == RECORDS - held.len() as u64).await;
    until("it is committed", || first.snapshot().partitions.iter().all(|held| held.committed == 5)).await;
    let (offset, metadata) = place.position(0).await.unwrap();
    assert!(offset == 5 && metadata.len() <= 4_096, "{offset}, {} characters", metadata.len());
    let report = first.leave(Duration::ZERO).await;
    assert_eq!(report.left[0].cancelled + report.left[0].queued, held.len() as u64);
    gate.store(true, Ordering::SeqCst);
    let second = place.join(2, setup, work);
    place.until_committed(1, RECORDS).await;
    assert_eq!(second.snapshot().totals.acked, held.len() as u64);
    assert_eq!(second.snapshot().totals.skipped, RECORDS - held.len() as u64 - 5);
    second.leave(Duration::from_secs(10)).await;
    place.diary.assert_each_once(1, RECORDS);
}

/// Elsewhere what was acknowledged while the program shuts down is delivered again after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_loses_no_acknowledgement() {
    let Some(place) = Place::new("a_shutdown_loses_no_acknowledgement", 2).await else { return };
    place.fill(2, 2_000);
    let mut setup = place.setup();
    // So that the last commit before the drain lies far back.
    setup.consumer.commit.interval = Duration::from_hours(1);
    let work = |delivery: Delivery| async move {
        ms(1 + delivery.offset % 5).await;
        Outcome::Ack
    };
    for run in 1..=4 {
        let member = place.join(run, setup.clone(), work);
        let enough = (run as usize) * 600;
        until("some are done", || place.diary.acked().len() >= enough).await;
        let report = member.leave(Duration::from_secs(10)).await;
        assert!(report.within_bound, "{report:?}");
    }
    assert!(place.diary.acked().len() < 4_000, "the last shutdown was in the middle too");
    let last = place.join(9, setup, work);
    until("all is done", || place.diary.acked().len() == 4_000).await;
    last.leave(Duration::from_secs(10)).await;
    place.diary.assert_each_once(2, 2_000);
    place.diary.assert_order();
    place.until_committed(2, 2_000).await;
}
