//! What a broker no longer has, has wrong, or takes its time for.

use super::stage::{PATIENCE, admin, create, fill, offsets, open, says, send, sink, source, until, written};
use bytes::Bytes;
use seawall_core::{Class, Commit, Event, Limit, Position, Source, TopicPartition};
use seawall_infra::{KafkaOptions, kafka_or_skip};
use seawall_kafka::{KafkaSource, SourceOptions};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_that_goes_out_of_range_while_running_goes_on_where_records_are() {
    let name = "an_offset_that_goes_out_of_range_while_running_goes_on_where_records_are";
    let Some(kafka) = super::stage::kafka(name) else { return };
    create(kafka, "vanishing").await;
    fill(kafka, "vanishing", 10).await;
    let tp = TopicPartition::new("vanishing", 0);
    // The client fetches no more than a batch in advance, so that it meets the gap.
    let mut one = open(kafka);
    one.properties.insert("queued.min.messages".to_owned(), "1".to_owned());
    let mut source = source(&one, "vanishing", "vanishing").unwrap();
    let mut assigned = 0;
    let mut read = Vec::new();
    let mut see = |event: &Event, read: &mut Vec<u64>| match event {
        Event::Assigned { .. } => assigned += 1,
        Event::Records { batch, .. } => read.extend(offsets(batch)),
        other => panic!("{other:?}"),
    };
    until(&mut source, "the assignment", |event| {
        see(event, &mut read);
        matches!(event, Event::Assigned { .. })
    });
    source.pause(&tp);
    // Long enough for the client to fetch what is there.
    for _ in 0..40 {
        let events = source.poll(Duration::from_millis(100), super::stage::LIMIT).unwrap();
        assert!(events.is_empty(), "it is paused");
    }
    fill(kafka, "vanishing", 90).await;
    admin(&open(kafka)).delete_records(&[(tp.clone(), 60)]).await.unwrap();
    source.resume(&tp);
    until(&mut source, "the last record", |event| {
        see(event, &mut read);
        read.last() == Some(&99)
    });
    // What the client had fetched before the records were deleted is told all the same.
    let before = read.iter().take_while(|offset| **offset < 60).count() as u64;
    assert!(before <= 10, "{before} were there before");
    assert_eq!(read, (0..before).chain(60..100).collect::<Vec<_>>());
    assert_eq!(assigned, 1, "what was in hand below stays in hand");
}

/// Flips a bit in the middle of a segment of partition 0 of `topic`, in the bytes of a record.
fn corrupt(folder: &std::path::Path, topic: &str, needle: &[u8]) {
    let segment = walk(folder, &format!("{topic}-0")).expect("the partition's folder");
    let file = segment.join("00000000000000000000.log");
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(needle.len()).position(|window| window == needle).expect("the record's bytes");
    bytes[at] ^= 0x20;
    std::fs::write(&file, bytes).unwrap();
}

fn walk(folder: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    for entry in std::fs::read_dir(folder).ok()? {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_some_and(|found| found == name) {
                return Some(path);
            }
            if let Some(found) = walk(&path, name) {
                return Some(found);
            }
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_batch_is_told_and_never_delivered_or_passed_over() {
    let name = "a_corrupt_batch_is_told_and_never_delivered_or_passed_over";
    let Some(kafka) = kafka_or_skip(name, KafkaOptions::default()) else { return };
    create(&kafka, "damaged").await;
    for value in ["first", "needle-in-the-middle", "last"] {
        written(&sink(&open(&kafka)), "damaged", value).await;
    }
    kafka.stop(1).unwrap();
    corrupt(kafka.folder(), "damaged", b"needle-in-the-middle");
    kafka.start_again(1).unwrap();

    let mut source = source(&open(&kafka), "damaged", "damaged").unwrap();
    let (since, mut read) = (Instant::now(), Vec::new());
    let fault = loop {
        assert!(since.elapsed() < PATIENCE, "the damage is never told; read: {read:?}");
        match source.poll(Duration::from_millis(100), Limit { records: 100, bytes: 1 << 20 }) {
            Ok(events) => read.extend(events.iter().flat_map(|event| match event {
                Event::Records { batch, .. } => offsets(batch),
                _ => Vec::new(),
            })),
            Err(fault) => break fault,
        }
    };
    says(&fault, Class::Transient, &["damaged", "corrupt", "disk"]);
    // What lies behind the damage waits for a person: were it delivered, its commit would pass the damage over.
    for _ in 0..30 {
        if let Ok(events) = source.poll(Duration::from_millis(100), Limit { records: 100, bytes: 1 << 20 }) {
            read.extend(events.iter().flat_map(|event| match event {
                Event::Records { batch, .. } => offsets(batch),
                _ => Vec::new(),
            }));
        }
    }
    assert_eq!(read, [0], "offset 1 is damaged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_answers_late_is_waited_for_and_gone_on_with() {
    let name = "a_broker_that_answers_late_is_waited_for_and_gone_on_with";
    let Some(kafka) = kafka_or_skip(name, KafkaOptions::default()) else { return };
    create(&kafka, "slow").await;
    let sink = sink(&open(&kafka));
    written(&sink, "slow", "before").await;
    let mut source = source(&open(&kafka), "slow", "slow").unwrap();
    until(&mut source, "the first record", |event| matches!(event, Event::Records { .. }));
    let admin = admin(&open(&kafka));
    kafka.freeze(1).unwrap();
    let fault = send(&sink, "slow", "meanwhile").await.unwrap_err();
    says(&fault, Class::Transient, &["a record for slow/0", "too late"]);
    says(&admin.topics().await.unwrap_err(), Class::Transient, &["listing topics"]);
    for _ in 0..20 {
        if let Err(fault) = source.poll(Duration::from_millis(100), super::stage::LIMIT) {
            assert_eq!(fault.class(), Class::Transient, "{fault}");
        }
    }
    kafka.thaw(1).unwrap();
    let since = Instant::now();
    while send(&sink, "slow", "after").await.is_err() {
        assert!(since.elapsed() < PATIENCE, "the sink never recovers");
    }
    until(&mut source, "what was written after", |event| match event {
        Event::Records { batch, .. } => {
            batch.records.iter().any(|fetched| &fetched.record.value[..] == b"after")
        }
        _ => false,
    });
}

/// A coordinator that does not answer must not keep the member from fetching elsewhere: it is waited for a moment, not
/// for as long as a question to the brokers may take.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_not_answered_holds_up_nothing_and_counts_once_it_is() {
    let name = "a_commit_that_is_not_answered_holds_up_nothing_and_counts_once_it_is";
    let Some(kafka) = kafka_or_skip(name, KafkaOptions::default()) else { return };
    create(&kafka, "late").await;
    fill(&kafka, "late", 10).await;
    let options = SourceOptions {
        session_timeout: Duration::from_mins(2),
        request_timeout: Duration::from_mins(4),
        ..SourceOptions::default()
    };
    let mut source = KafkaSource::join(&open(&kafka), "late", &["late"], options).unwrap();
    let mut generation = None;
    until(&mut source, "the records", |event| {
        if let Event::Assigned { generation: of, .. } = event {
            generation = Some(*of);
        }
        matches!(event, Event::Records { .. })
    });
    let partition = TopicPartition::new("late", 0);
    let position = |watermark| Position { watermark, beyond: Bytes::new() };
    let commit = |watermark| Commit {
        partition: partition.clone(),
        generation: generation.unwrap(),
        position: position(watermark),
    };
    kafka.freeze(1).unwrap();
    let since = Instant::now();
    for watermark in [3, 4, 4] {
        says(&source.commit(&[commit(watermark)]).unwrap_err(), Class::Transient, &["not answered"]);
    }
    assert!(since.elapsed() < PATIENCE, "waited for the whole of `request_timeout`");
    kafka.thaw(1).unwrap();
    let admin = admin(&open(&kafka));
    let committed = async || {
        let committed = admin.committed("late", std::slice::from_ref(&partition)).await.unwrap();
        committed.get(&partition).copied()
    };
    let since = Instant::now();
    while committed().await != Some(3) {
        assert!(since.elapsed() < PATIENCE, "what was under way is never written");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The broker is asked once more, so the answer before is on its way; then only that answer can help.
    committed().await;
    kafka.freeze(1).unwrap();
    source.commit(&[commit(3)]).unwrap();
    kafka.thaw(1).unwrap();
    while source.commit(&[commit(5)]).is_err() {
        assert!(since.elapsed() < PATIENCE, "nothing is taken any more");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(committed().await, Some(5));
}
