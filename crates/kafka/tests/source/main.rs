//! The Kafka source against a real broker.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test may panic, and waits"
)]

mod latest;
mod stage;

use seawall_consumer::{Consumer, ConsumerOptions, Driver, NoSink, NoStore, Running};
use seawall_core::handler::HandlerFn;
use seawall_core::{Class, Clock, Commit, Handler, Outcome, Source, SystemClock, TopicPartition};
use seawall_guard::{Guard, GuardOptions};
use seawall_kafka::{Connection, KafkaSource, Reader, SourceOptions};
use stage::{
    Member, committed, connection, create, join, kafka, left, nothing, numbers, options, position, until,
    write,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn records_of_all_partitions_arrive_in_order() {
    let Some(kafka) = kafka("records_of_all_partitions_arrive_in_order") else { return };
    create(kafka, "in-order", 3);
    for partition in 0..3 {
        write(kafka, "in-order", partition, numbers(1_000).chain([None]));
    }
    let mut member = Member::new(join(kafka, "in-order", "in-order"));
    until(&mut [&mut member], |[member]| member.count() == 3_003);
    for partition in 0..3 {
        let read = &member.read[&TopicPartition::new("in-order", partition)];
        for (nth, fetched) in read.iter().take(1_000).enumerate() {
            assert_eq!((fetched.offset, &fetched.record.value[..]), (nth as u64, nth.to_string().as_bytes()));
            assert_eq!(fetched.record.key.as_deref(), Some(format!("k{}", nth % 97).as_bytes()));
            assert!(fetched.record.timestamp.0 > 1_600_000_000_000);
        }
        assert!(read[1_000].record.value.is_empty(), "a tombstone is an empty value");
    }
}

/// Test 17 of the fault list.
#[test]
fn one_stuck_offset_is_all_that_a_restart_repeats() {
    let Some(kafka) = kafka("one_stuck_offset_is_all_that_a_restart_repeats") else { return };
    create(kafka, "stuck", 1);
    write(kafka, "stuck", 0, numbers(50_001));
    let tp = TopicPartition::new("stuck", 0);
    let mut member = Member::new(join(kafka, "stuck", "stuck"));
    until(&mut [&mut member], |[member]| member.count() == 50_001);
    member.commit(&tp, position(5, 6..50_001));
    drop(member);
    let (offset, metadata) = committed(kafka, "stuck", "stuck", 0).unwrap();
    assert_eq!(offset, 5);
    assert!(metadata.starts_with("SW1i") && metadata.len() < 100, "{metadata}");

    let mut again = Member::new(join(kafka, "stuck", "stuck"));
    until(&mut [&mut again], |[member]| !member.held.is_empty());
    assert_eq!(left(&again.held[&tp].1, 50_001), [5]);
    until(&mut [&mut again], |[member]| member.count() > 0);
    assert_eq!(again.read[&tp][0].offset, 5);
}

/// Test 18 of the fault list.
#[test]
fn a_random_half_overflows_and_a_restart_repeats_the_other_half() {
    let Some(kafka) = kafka("a_random_half_overflows_and_a_restart_repeats_the_other_half") else { return };
    create(kafka, "half", 1);
    write(kafka, "half", 0, numbers(30_000));
    let tp = TopicPartition::new("half", 0);
    let mut rng = fastrand::Rng::with_seed(18);
    let done: Vec<u64> = (1..30_000).filter(|_| rng.bool()).collect();
    let mut member = Member::new(join(kafka, "half", "half"));
    until(&mut [&mut member], |[member]| member.held.contains_key(&tp));
    for settled in [100, done.len() / 2, done.len()] {
        member.commit(&tp, position(0, done[..settled].iter().copied()));
        let (offset, metadata) = committed(kafka, "half", "half", 0).unwrap();
        assert!(offset == 0 && metadata.len() <= 4_096, "{} characters", metadata.len());
    }
    let (_, metadata) = committed(kafka, "half", "half", 0).unwrap();
    assert!(metadata.starts_with("SW1p0:0:") && metadata.ends_with(":__seawall_positions"), "{metadata}");
    drop(member);

    let mut again = Member::new(join(kafka, "half", "half"));
    until(&mut [&mut again], |[member]| !member.held.is_empty());
    let expected: Vec<u64> = (0..30_000).filter(|offset| done.binary_search(offset).is_err()).collect();
    assert_eq!(left(&again.held[&tp].1, 30_000), expected);
}

/// Test 20 of the fault list.
#[test]
fn garbage_metadata_replays_and_never_panics() {
    let Some(kafka) = kafka("garbage_metadata_replays_and_never_panics") else { return };
    create(kafka, "garbage", 1);
    write(kafka, "garbage", 0, numbers(10));
    let tp = TopicPartition::new("garbage", 0);
    for metadata in
        ["?", "SW1i***", "SW1p1:2", "SW1p3:0:999999:garbage", "SW1p3:0:1:garbage", "SW1p3:0:1:no-such-topic"]
    {
        stage::commit_by_hand(kafka, "garbage", "garbage", 3, metadata);
        let mut member = Member::new(join(kafka, "garbage", "garbage"));
        until(&mut [&mut member], |[member]| member.count() == 7);
        assert_eq!(member.held[&tp].1, nothing(3), "{metadata}");
    }
}

/// Test 19 of the fault list.
#[test]
fn a_completion_of_an_older_generation_is_refused() {
    let Some(kafka) = kafka("a_completion_of_an_older_generation_is_refused") else { return };
    create(kafka, "revoke", 2);
    write(kafka, "revoke", 0, numbers(100));
    write(kafka, "revoke", 1, numbers(100));
    let mut first = Member::new(join(kafka, "revoke", "revoke"));
    until(&mut [&mut first], |[first]| first.count() == 200);
    let mut second = Member::new(join(kafka, "revoke", "revoke"));
    until(&mut [&mut first, &mut second], |[first, _]| !first.revoked.is_empty());
    let (tp, generation) = first.revoked[0].clone();
    // Polling goes on while the revoked one is finished, and nobody else gets it meanwhile.
    for _ in 0..30 {
        first.poll();
        second.poll();
    }
    assert!(second.held.is_empty() && first.lost.is_empty());
    first.commit(&tp, nothing(60));
    first.source.release(&tp, generation);
    let late = Commit { partition: tp.clone(), generation, position: nothing(100) };
    let fault = first.source.commit(std::slice::from_ref(&late)).unwrap_err();
    assert_eq!(fault.class(), Class::Permanent, "{fault}");

    until(&mut [&mut first, &mut second], |[_, second]| second.count() == 40);
    assert_eq!(second.held[&tp].1, nothing(60));
    assert_eq!(first.source.commit(&[late]).unwrap_err().class(), Class::Permanent);
    second.commit(&tp, nothing(100));
    assert_eq!(committed(kafka, "revoke", "revoke", tp.partition as i32).unwrap().0, 100);
}

/// Test 21 of the fault list, its second half.
#[test]
fn a_second_process_with_the_same_instance_id_ends_the_first() {
    let Some(kafka) = kafka("a_second_process_with_the_same_instance_id_ends_the_first") else { return };
    create(kafka, "static", 1);
    write(kafka, "static", 0, numbers(10));
    let options = || SourceOptions { instance_id: Some("one".to_owned()), ..options() };
    let member =
        || Member::new(KafkaSource::join(&connection(kafka), "static", &["static"], options()).unwrap());
    let mut first = member();
    until(&mut [&mut first], |[first]| first.count() == 10);
    let mut second = member();
    until(&mut [&mut second], |[second]| second.count() == 10);
    let since = std::time::Instant::now();
    let fault = loop {
        assert!(since.elapsed() < Duration::from_mins(1), "the first is never told");
        match first.source.poll(Duration::from_millis(100), stage::LIMIT) {
            Err(fault) if fault.class() == Class::Permanent => break fault,
            _ => {}
        }
    };
    assert!(fault.to_string().contains("same instance id"), "{fault}");
}

/// Test 21 of the fault list, its first half: a member that was silent for too long.
#[test]
fn a_member_that_was_thrown_out_loses_its_partitions_and_gets_them_anew() {
    let Some(kafka) = kafka("a_member_that_was_thrown_out_loses_its_partitions_and_gets_them_anew") else {
        return;
    };
    create(kafka, "silent", 1);
    write(kafka, "silent", 0, numbers(10));
    let tp = TopicPartition::new("silent", 0);
    let options = SourceOptions { poll_interval_max: Duration::from_secs(6), ..options() };
    let mut member =
        Member::new(KafkaSource::join(&connection(kafka), "silent", &["silent"], options).unwrap());
    until(&mut [&mut member], |[member]| member.count() == 10);
    let (generation, _) = member.held[&tp];
    std::thread::sleep(Duration::from_secs(9));
    let late = Commit { partition: tp.clone(), generation, position: nothing(10) };
    let fault = stage::answer(&mut member.source, std::slice::from_ref(&late)).unwrap_err();
    assert_eq!(fault.class(), Class::Permanent, "the group has moved on, and no retry helps: {fault}");
    assert!(fault.to_string().contains("drop what was held"), "{fault}");
    // Told apart from a revocation, and joined again by itself.
    member.read.clear();
    let since = std::time::Instant::now();
    while member.lost.is_empty() || member.held.is_empty() {
        assert!(since.elapsed() < Duration::from_mins(1));
        // That the interval was exceeded is said once.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| member.poll()));
    }
    assert!(member.held[&tp].0 > generation);
    assert_eq!(member.source.commit(&[late]).unwrap_err().class(), Class::Permanent);
}

#[test]
fn a_paused_partition_is_silent_and_stays_ours() {
    let Some(kafka) = kafka("a_paused_partition_is_silent_and_stays_ours") else { return };
    create(kafka, "pause", 2);
    let mut member = Member::new(join(kafka, "pause", "pause"));
    until(&mut [&mut member], |[member]| member.held.len() == 2);
    let tp = TopicPartition::new("pause", 0);
    member.source.pause(&tp);
    write(kafka, "pause", 0, numbers(100));
    write(kafka, "pause", 1, numbers(100));
    until(&mut [&mut member], |[member]| member.count() == 100);
    // Longer than the session timeout.
    let since = std::time::Instant::now();
    while since.elapsed() < Duration::from_secs(8) {
        member.poll();
    }
    assert!(!member.read.contains_key(&tp) && member.lost.is_empty());
    member.source.resume(&tp);
    until(&mut [&mut member], |[member]| member.count() == 200);
    member.commit(&tp, nothing(100));
}

#[test]
fn records_are_read_again_without_moving_the_partition() {
    let Some(kafka) = kafka("records_are_read_again_without_moving_the_partition") else { return };
    create(kafka, "again", 1);
    write(kafka, "again", 0, numbers(1_000));
    let tp = TopicPartition::new("again", 0);
    let mut member = Member::new(join(kafka, "again", "again"));
    until(&mut [&mut member], |[member]| member.count() == 1_000);
    for range in [10..500_u64, 500..700, 3..9] {
        let (mut next, mut offsets) = (range.start, Vec::new());
        while next < range.end {
            let limit = seawall_core::Limit { records: 100, bytes: 1 << 20 };
            let batch = member.source.reread(&tp, next, range.end, limit).unwrap();
            assert!(batch.records.len() <= 100);
            offsets.extend(batch.records.iter().map(|fetched| fetched.offset));
            next = batch.next;
        }
        assert_eq!(offsets, range.collect::<Vec<_>>());
    }
    write(kafka, "again", 0, numbers(5));
    until(&mut [&mut member], |[member]| member.count() == 1_005);
}

/// The client tells the end of a log before anybody asks; what was written since is no gap.
#[test]
fn an_end_told_before_records_were_written_hides_none_of_them() {
    let Some(kafka) = kafka("an_end_told_before_records_were_written_hides_none_of_them") else { return };
    create(kafka, "told", 1);
    let tp = TopicPartition::new("told", 0);
    let limit = seawall_core::Limit { records: 100, bytes: 1 << 20 };
    let mut reader = Reader::open(&connection(kafka), Duration::from_secs(30));
    for round in 0..4 {
        write(kafka, "told", 0, numbers(3));
        let (mut next, end) = (round * 3, round * 3 + 3);
        let mut read = Vec::new();
        while next < end {
            let batch = reader.read(&tp, next, end, limit).unwrap();
            read.extend(batch.records.iter().map(|fetched| fetched.offset));
            next = batch.next;
        }
        assert_eq!(read, (round * 3..end).collect::<Vec<_>>());
        // Long enough for the client to come to the end, not so long that the partition is given up.
        std::thread::sleep(Duration::from_millis(300));
    }
}

#[test]
fn an_offset_out_of_range_goes_on_where_records_are() {
    let Some(kafka) = kafka("an_offset_out_of_range_goes_on_where_records_are") else { return };
    create(kafka, "range", 1);
    write(kafka, "range", 0, numbers(100));
    let tp = TopicPartition::new("range", 0);
    stage::delete_below(kafka, "range", 40);
    for asked in [10, 5_000] {
        stage::commit_by_hand(kafka, "range", "range", asked, "");
        let mut member = Member::new(join(kafka, "range", "range"));
        until(&mut [&mut member], |[member]| member.count() == 60);
        assert_eq!(member.held[&tp].1, nothing(40), "asked for {asked}");
    }
}

#[test]
fn bad_input_is_named() {
    let Some(kafka) = kafka("bad_input_is_named") else { return };
    let class = |fault: &seawall_kafka::KafkaError| seawall_core::Classify::class(fault);
    let error = KafkaSource::join(&connection(kafka), "bad", &["no-such-topic"], options()).unwrap_err();
    assert_eq!(class(&error), Class::Permanent);
    assert!(
        error.to_string().contains("no-such-topic") && error.to_string().contains("create it"),
        "{error}"
    );

    let options = SourceOptions { request_timeout: Duration::from_millis(500), ..options() };
    let error =
        KafkaSource::join(&Connection::new(["127.0.0.1:1"]), "bad", &["t"], options.clone()).unwrap_err();
    assert_eq!(class(&error), Class::Transient);
    assert!(error.to_string().contains("bootstrap addresses"), "{error}");

    let short = SourceOptions { poll_interval_max: Duration::from_secs(1), ..options.clone() };
    let error = KafkaSource::join(&connection(kafka), "bad", &["t"], short).unwrap_err();
    assert!(error.to_string().contains("poll_interval_max"), "{error}");

    let mut own = connection(kafka);
    own.properties.insert("enable.auto.commit".to_owned(), "true".to_owned());
    let error = KafkaSource::join(&own, "bad", &["t"], options).unwrap_err();
    assert!(error.to_string().contains("enable.auto.commit"), "{error}");
}

type Seen = Arc<Mutex<BTreeMap<(u32, u64), u32>>>;

fn consume(source: KafkaSource, handler: impl Handler, seed: u64) -> Running {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let guard = Arc::new(Guard::new(GuardOptions::default(), Arc::clone(&clock), seed).unwrap());
    let options = ConsumerOptions { dead_letter: None, ..ConsumerOptions::new("runtime") };
    let store = None::<Arc<NoStore>>;
    Consumer::start(options, source, handler, store, guard, NoSink, clock, seed, Driver::Thread).unwrap()
}

fn start(kafka: &seawall_infra::KafkaCluster, seed: u64, seen: &Seen) -> Running {
    let seen = Arc::clone(seen);
    let handler = HandlerFn(move |delivery: seawall_core::Delivery| {
        let seen = Arc::clone(&seen);
        async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            *seen.lock().unwrap().entry((delivery.origin.partition, delivery.offset)).or_default() += 1;
            Outcome::Ack
        }
    });
    consume(join(kafka, "runtime", "runtime"), handler, seed)
}

async fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

/// The shipped runtime over two members, the second joining in the middle and leaving again.
#[test]
fn the_runtime_handles_every_record_through_a_rebalance() {
    const RECORDS: u64 = 4_000;
    let Some(kafka) = kafka("the_runtime_handles_every_record_through_a_rebalance") else { return };
    create(kafka, "runtime", 4);
    let fill = |count| (0..4).for_each(|partition| write(kafka, "runtime", partition, numbers(count)));
    fill(1_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let seen = Seen::default();
        let all = |count: u64| seen.lock().unwrap().len() as u64 >= count;
        let first = start(kafka, 1, &seen);
        eventually("the first member is at work", || all(100)).await;
        let second = start(kafka, 2, &seen);
        eventually("both hold partitions", || {
            first.snapshot().partitions.len() == 2 && second.snapshot().partitions.len() == 2
        })
        .await;
        fill(1_000);
        eventually("all is handled", || all(2 * RECORDS)).await;
        assert!(second.snapshot().totals.acked > 0);
        let report = second.drain(Duration::from_secs(10)).await;
        assert!(report.commit_failed.is_none(), "{:?}", report.commit_failed);
        drop(second);
        eventually("the first holds all again", || first.snapshot().partitions.len() == 4).await;
        eventually("all is committed", || {
            first.snapshot().partitions.iter().all(|partition| partition.committed == 2_000)
        })
        .await;
        first.drain(Duration::from_secs(10)).await;
        let seen = seen.lock().unwrap();
        let again = seen.values().filter(|times| **times > 1).count();
        assert_eq!(
            (seen.len() as u64, again),
            (2 * RECORDS, 0),
            "none lost, none twice: every drain committed"
        );
    });
    for partition in 0..4 {
        assert_eq!(committed(kafka, "runtime", "runtime", partition).unwrap().0, 2_000);
    }
}
