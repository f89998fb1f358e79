//! Members that go on believing in an assignment that has ended.

use super::diary::What;
use super::stage::{Place, SESSION, Setup, ms, proxied, until};
use seawall_core::{Delivery, Outcome};
use seawall_infra::Fault;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A blocked worker hears of no revocation; its partition goes to another all the same, within the bound, and its
/// late acknowledgement is refused and counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn a_late_acknowledgement_is_refused_and_counted() {
    let Some(place) = Place::new("a_late_acknowledgement_is_refused_and_counted", 2).await else { return };
    (0..2).for_each(|partition| place.write(partition, ["slow"]));
    let mut setup = place.setup();
    setup.consumer.workers = 1;
    setup.consumer.revoke_bound = Duration::from_millis(500);
    let free = Arc::new(AtomicBool::new(false));
    let wait = Arc::clone(&free);
    let first = place.join(1, setup.clone(), move |_| {
        let wait = Arc::clone(&wait);
        async move {
            while !wait.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
            Outcome::Ack
        }
    });
    until("the worker is blocked", || !place.diary.lines().is_empty()).await;
    first.until_holds(2).await;
    let blocked = place.diary.lines()[0].place.0;
    let second = place.join(2, setup, |_| std::future::ready(Outcome::Ack));
    let moved = second.until_holds(1).await[0];
    until("the second has done its part", || second.snapshot().totals.acked == 1).await;
    free.store(true, Ordering::SeqCst);
    until("the first is done", || first.snapshot().totals.acked + first.snapshot().totals.late >= 1).await;
    ms(1_000).await;
    assert_eq!(first.snapshot().totals.late, u64::from(moved == blocked), "refused, and counted");
    place.until_committed(2, 1).await;
    for member in [first, second] {
        member.leave(Duration::from_secs(10)).await;
    }
}

/// A member that is cut off while it finishes what it is to give up: the group takes the partition from it, and its
/// drain ends long before its bound, its handlers cancelled. It comes back as a member that is of use.
#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn a_partition_that_is_lost_during_its_drain_is_dropped() {
    let Some(place) = Place::new("a_partition_that_is_lost_during_its_drain_is_dropped", 2).await else {
        return;
    };
    let (proxy, bootstrap) = proxied();
    (0..2).for_each(|partition| place.write(partition, ["slow", "next"]));
    let gate = Arc::new(AtomicBool::new(false));
    let open = Arc::clone(&gate);
    let mut setup = Setup { bootstrap, ..place.setup() };
    setup.consumer.revoke_bound = Duration::from_mins(10);
    setup.consumer.timeout = None;
    setup.source.request_timeout = Duration::from_secs(2);
    let first = place.join(1, setup, move |_| {
        let open = Arc::clone(&open);
        async move {
            while !open.load(Ordering::SeqCst) {
                ms(5).await;
            }
            Outcome::Ack
        }
    });
    until("both run", || place.diary.count(|line| line.what == What::Began) >= 2).await;
    let second = place.join(2, place.setup(), |_| std::future::ready(Outcome::Ack));
    until("one is being given up", || first.snapshot().partitions.iter().any(|held| held.revoking)).await;
    proxy.inject(Fault::BlackHole);
    // Past the session the group gives both to the second.
    second.until_holds(2).await;
    until("the second has done all", || second.snapshot().totals.acked == 4).await;
    proxy.heal();
    // Its handlers still run, and would for minutes.
    until("the first lets go of what it has lost", || {
        first.snapshot().partitions.iter().all(|held| !held.revoking)
    })
    .await;
    until("both handlers are cancelled", || {
        place.diary.count(|line| line.member == 1 && line.what == What::Dropped) >= 2
    })
    .await;
    gate.store(true, Ordering::SeqCst);
    place.until_committed(2, 2).await;
    ms(2_000).await;
    place.until_committed(2, 2).await;
    // It is a member again, and of use.
    place.fill(2, 10);
    place.until_committed(2, 12).await;
    for member in [first, second] {
        let _ = member.running.drain(Duration::from_secs(10)).await;
    }
}

const CHILD: &str = "SEAWALL_TEST_MEMBER_OF";

/// Not a test by itself: the process that [`a_process_stopped_past_its_session_is_fenced_and_commits_nothing`]
/// freezes. Handles a record in 200 ms and says so.
#[tokio::test(flavor = "multi_thread")]
async fn frozen_member() {
    let Ok(bootstrap) = std::env::var(CHILD) else { return };
    let place =
        Place::existing("a_process_stopped_past_its_session_is_fenced_and_commits_nothing", &bootstrap);
    let member = place.join(1, place.setup(), |delivery: Delivery| async move {
        ms(200).await;
        println!("acked {}", delivery.offset);
        Outcome::Ack
    });
    loop {
        ms(100).await;
        let snapshot = member.running.snapshot();
        let held = snapshot.partitions.len();
        println!("counts {} {} {held}", snapshot.totals.late, snapshot.totals.voided);
    }
}

/// A child that dies with its value.
struct Frozen(Child);

impl Frozen {
    fn signal(&self, signal: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Test 13 of the fault list, by the group's fence.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_stopped_past_its_session_is_fenced_and_commits_nothing() {
    const NAME: &str = "a_process_stopped_past_its_session_is_fenced_and_commits_nothing";
    const RECORDS: usize = 400;
    let Some(place) = Place::new(NAME, 1).await else { return };
    // One lane, so that it never ends before it is frozen.
    place.write(0, std::iter::repeat_n("k", RECORDS));
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "zombies::frozen_member", "--nocapture"]).env(CHILD, place.bootstrap());
    let mut child = Frozen(child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let lines = Arc::new(std::sync::Mutex::new(Vec::<String>::new()));
    let (said, out) = (Arc::clone(&lines), child.0.stdout.take().unwrap());
    std::thread::spawn(move || {
        BufReader::new(out).lines().map_while(Result::ok).for_each(|line| said.lock().unwrap().push(line));
    });
    let acked = || lines.lock().unwrap().iter().filter(|line| line.starts_with("acked")).count();
    until("the child is at work", || acked() >= 5).await;
    child.signal("-STOP");
    // In a single lane at most one record was settled since the commit before.
    let before = place.committed(0).await.unwrap_or(0);
    let second = place.join(2, place.setup(), |_| std::future::ready(Outcome::Ack));
    second.until_holds(1).await;
    place.until_committed(1, RECORDS as u64).await;
    assert!(place.diary.lines().iter().map(|line| line.place.1).min().unwrap() >= before);
    let acked_before = acked();
    child.signal("-CONT");
    until("the zombie knows", || lines.lock().unwrap().iter().rev().take(3).any(|line| line.ends_with(" 0")))
        .await;
    // Several of its commit intervals.
    ms(2_000).await;
    assert_eq!(place.committed(0).await, Some(RECORDS as u64), "the zombie has committed nothing");
    assert!(acked() <= acked_before + 2, "it went on: {acked_before} to {}", acked());
    let counted =
        lines.lock().unwrap().iter().rev().find(|line| line.starts_with("counts")).cloned().unwrap();
    let counts: Vec<u64> = counted.split(' ').skip(1).map(|count| count.parse().unwrap()).collect();
    assert!(counts[0] + counts[1] <= 2, "{counted}: one record runs at a time");
    drop(child);
    second.leave(2 * SESSION).await;
}
