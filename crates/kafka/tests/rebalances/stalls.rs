//! Handlers that hold a thread for longer than the group waits for a silent member.

use super::diary::What;
use super::stage::{Place, SESSION, until};
use seawall_consumer::{StallKind, Stop};
use seawall_core::{Delivery, Outcome};
use std::time::{Duration, Instant};

/// Computes for `time`, without an await.
fn burn(time: Duration) {
    let since = Instant::now();
    while since.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// Elsewhere the loop that polls is the loop that handles, and the member is thrown out after
/// `max.poll.interval.ms`.
#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn a_handler_that_computes_for_three_poll_intervals_keeps_its_partition() {
    const NAME: &str = "a_handler_that_computes_for_three_poll_intervals_keeps_its_partition";
    let Some(place) = Place::new(NAME, 2).await else { return };
    let mut setup = place.setup();
    setup.source.poll_interval_max = SESSION;
    setup.consumer.workers = 1;
    setup.consumer.stall_after = Duration::from_secs(2);
    let work = |delivery: Delivery| async move {
        if delivery.record.key.as_deref() == Some(b"heavy") {
            burn(3 * SESSION);
        }
        Outcome::Ack
    };
    let members = [place.join(1, setup.clone(), work), place.join(2, setup, work)];
    for member in &members {
        member.until_holds(1).await;
    }
    let before: Vec<_> = members.iter().map(super::stage::Member::holds).collect();
    (0..2).for_each(|partition| place.write(partition, ["heavy", "light"]));
    until("the watchdog names it", || {
        members.iter().all(|member| {
            member.snapshot().stalls.iter().any(|stall| {
                stall.kind == StallKind::Worker && stall.offset == Some(0) && stall.partition.is_some()
            })
        })
    })
    .await;
    until("all is done", || place.diary.acked().len() == 4).await;
    place.until_committed(2, 2).await;
    let after: Vec<_> = members.iter().map(super::stage::Member::holds).collect();
    assert_eq!(before, after, "under the same generations");
    for member in members {
        assert_eq!(member.snapshot().totals.late + member.snapshot().totals.voided, 0);
        member.leave(Duration::from_secs(10)).await;
    }
    place.diary.assert_each_once(2, 2);
}

/// The same where it is configured to: the partition goes to another member, the pipeline says which record it
/// was, and what the blocked thread acknowledges later is refused and counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn a_handler_past_give_up_after_loses_its_partition_and_its_acknowledgement() {
    const NAME: &str = "a_handler_past_give_up_after_loses_its_partition_and_its_acknowledgement";
    let Some(place) = Place::new(NAME, 1).await else { return };
    place.write(0, ["heavy", "light"]);
    let mut setup = place.setup();
    setup.consumer.workers = 1;
    setup.consumer.give_up_after = Some(Duration::from_secs(2));
    let first = place.join(1, setup.clone(), |_| async {
        burn(2 * SESSION);
        Outcome::Ack
    });
    let Stop::Failed(fault) = first.running.wait().await else { panic!("nobody asked it to stop") };
    assert!(fault.to_string().contains("/0 at offset 0"), "{fault}");
    let second = place.join(2, setup, |_| std::future::ready(Outcome::Ack));
    place.until_committed(1, 2).await;
    until("the zombie has ended", || {
        place.diary.count(|line| line.member == 1 && line.what == What::Acked) == 1
    })
    .await;
    until("its acknowledgement is counted", || first.running.snapshot().totals.late == 1).await;
    assert_eq!(place.committed(0).await, Some(2));
    assert_eq!(second.snapshot().totals.acked, 2, "the second did both");
    assert_eq!(place.diary.count(|line| line.member == 1), 2, "the zombie began nothing more");
    second.leave(Duration::from_secs(10)).await;
}
