//! The recoverable producer before a real broker that goes away and comes back, under load.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test may panic, waits, and says what it measured"
)]

use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use seawall_core::token::TOKEN_HEADER;
use seawall_core::{Outgoing, Record};
use seawall_infra::{KafkaCluster, KafkaOptions, kafka_or_skip};
use seawall_kafka::admin::NewTopic;
use seawall_kafka::{Admin, Connection, KafkaSink, SinkOptions};
use seawall_producer::{Producer, ProducerOptions, Replicated, SpillOptions, State, Synced, Target};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const TOPIC: &str = "behind";
const PARTITIONS: i32 = 4;
const KEYS: u64 = 200;
/// Each sender has its own keys, and sends one record of each with every beat.
const SENDERS: u64 = 20;
/// 200 records each: 20,000 a second.
const BEAT: Duration = Duration::from_millis(10);
const VALUE_BYTES: usize = 1024;
/// What the process may grow by, from the moment that the broker went away: the producer's 16 MiB, as much read ahead, and the
/// client's queue of 64, with what the allocator adds. Two minutes spill 2.5 GB.
const GROWTH_KIB_MAX: u64 = 192 << 10;
/// And while it is away, when nothing is read ahead and the client's queue holds what it took before it was found out.
const GROWTH_DOWN_KIB_MAX: u64 = 96 << 10;
/// Keys that are sent only during the replay.
const LIVE_KEYS: u64 = 8;
const LIVE_RECORDS: u64 = 20;
const PATIENCE: Duration = Duration::from_mins(4);

fn outgoing(key: &str, number: u64) -> Outgoing {
    let mut value = format!("{number}:").into_bytes();
    value.resize(VALUE_BYTES, b'x');
    let record = Record::new(Some(Bytes::from(key.to_owned())), value);
    Outgoing { topic: TOPIC.into(), partition: None, record }
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is() {
        assert!(since.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a sender sent: the numbers below this one of each of its keys, and which of them got no receipt. A list of all
/// receipts would be the larger part of what the process grows by.
struct Sent {
    keys: Vec<u64>,
    numbers: u64,
    refused: BTreeSet<(u64, u64)>,
}

impl Sent {
    fn acked(&self) -> impl Iterator<Item = (u64, u64)> {
        let all = self.keys.iter().flat_map(|key| (0..self.numbers).map(|number| (*key, number)));
        all.filter(|record| !self.refused.contains(record))
    }
}

/// Sends a record of each of its keys with every beat.
async fn load(producer: Producer, nth: u64, stop: Arc<AtomicBool>, sent: Arc<AtomicU64>) -> Sent {
    let keys: Vec<u64> = (0..KEYS).filter(|key| key % SENDERS == nth).collect();
    let (mut refused, mut number) = (BTreeSet::new(), 0);
    let mut beat = tokio::time::interval(BEAT);
    while !stop.load(Relaxed) {
        beat.tick().await;
        let records = keys.iter().map(|key| outgoing(&format!("key-{key}"), number)).collect();
        let answers = producer.send_all::<Synced>(records).await;
        sent.fetch_add(answers.len() as u64, Relaxed);
        let failed = keys.iter().zip(answers).filter(|(_, answer)| answer.is_err());
        refused.extend(failed.map(|(key, _)| (*key, number)));
        number += 1;
    }
    Sent { keys, numbers: number, refused }
}

/// Sends records of a key that has nothing on disk, one after the other; receipts that came while there was a backlog.
/// One that a slow call put on disk waits behind that, so not every send ends well.
async fn live(producer: Producer, key: u64) -> u64 {
    let (mut number, mut beside) = (0, 0);
    while number < LIVE_RECORDS && producer.snapshot().backlog_records > 0 {
        let receipt = producer.send::<Replicated>(outgoing(&format!("live-{key}"), number)).await;
        number += 1;
        beside += u64::from(receipt.is_ok() && producer.snapshot().backlog_records > 0);
    }
    beside
}

/// What lies in the topic: for each key its numbers in order, with their ids.
fn read(kafka: &KafkaCluster) -> BTreeMap<String, Vec<(u64, String)>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap())
        .set("group.id", "judge")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "false")
        .create()
        .unwrap();
    let (mut assigned, mut left) = (TopicPartitionList::new(), BTreeMap::new());
    for partition in 0..PARTITIONS {
        assigned.add_partition_offset(TOPIC, partition, Offset::Beginning).unwrap();
        let (_, end) = consumer.fetch_watermarks(TOPIC, partition, Duration::from_secs(30)).unwrap();
        left.insert(partition, end);
    }
    consumer.assign(&assigned).unwrap();
    let mut found: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
    left.retain(|_, end| *end > 0);
    let since = Instant::now();
    while !left.is_empty() {
        assert!(since.elapsed() < PATIENCE, "the topic is not read to its end: {left:?}");
        let Some(message) = consumer.poll(Duration::from_millis(200)) else { continue };
        let message = message.unwrap();
        let text = std::str::from_utf8(message.payload().unwrap()).unwrap();
        let id = message.headers().unwrap().iter().find(|header| header.key == TOKEN_HEADER).unwrap();
        let id = String::from_utf8(id.value.unwrap().to_vec()).unwrap();
        let key = String::from_utf8(message.key().unwrap().to_vec()).unwrap();
        found.entry(key).or_default().push((text.split_once(':').unwrap().0.parse().unwrap(), id));
        if left.get(&message.partition()).is_some_and(|end| message.offset() + 1 >= *end) {
            left.remove(&message.partition());
        }
    }
    found
}

/// First deliveries in order, last deliveries in order, one id for each record; how many came again.
fn judge(key: &str, came: &[(u64, String)]) -> usize {
    let (mut ids, mut last) = (BTreeMap::new(), BTreeMap::new());
    let mut highest = None;
    for (at, (number, id)) in came.iter().enumerate() {
        assert_eq!(ids.entry(*number).or_insert_with(|| id.clone()), id, "{key}: {number} under two ids");
        if last.insert(*number, at).is_none() {
            assert!(highest < Some(*number), "{key}: {number} came first after {highest:?}");
            highest = Some(*number);
        }
    }
    assert!(last.values().is_sorted(), "{key} ends out of order");
    came.len() - last.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_down_for_minutes_costs_no_record_no_order_and_no_memory() {
    const NAME: &str = "a_broker_that_is_down_for_minutes_costs_no_record_no_order_and_no_memory";
    let soak = std::env::var_os("SEAWALL_SOAK").is_some();
    let down = Duration::from_secs(if soak { 120 } else { 10 });
    let Some(kafka) = tokio::task::block_in_place(|| kafka_or_skip(NAME, KafkaOptions::default())) else {
        return;
    };
    let connection = Connection::new([kafka.bootstrap()]);
    let admin = Admin::open(&connection, Duration::from_mins(1)).unwrap();
    admin.create_topic(&NewTopic::new(TOPIC, PARTITIONS as u32)).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    // The producer keeps what the client gives up on, so the client need not be patient.
    let sink = SinkOptions { delivery_timeout: Duration::from_secs(5), ..SinkOptions::default() };
    let sink = KafkaSink::open(&connection, &sink).unwrap();
    let spill = SpillOptions { disk_bytes_max: 8 << 30, ..SpillOptions::new(dir.path().join("spill"), NAME) };
    let options = ProducerOptions {
        memory_bytes_max: 16 << 20,
        patience: Duration::from_secs(2),
        spill: Some(spill),
        ..ProducerOptions::default()
    };
    let producer = Producer::open(options, vec![Target::new("kafka", sink)]).unwrap();

    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let senders: Vec<_> = (0..SENDERS)
        .map(|nth| tokio::spawn(load(producer.clone(), nth, Arc::clone(&stop), Arc::clone(&sent))))
        .collect();
    until("the load runs", || sent.load(Relaxed) > 20_000).await;
    let before = peak_kib();
    kafka.kill(1).unwrap();
    let at_kill = sent.load(Relaxed);
    tokio::time::sleep(down).await;
    let while_down = sent.load(Relaxed) - at_kill;
    let grown_down = peak_kib() - before;
    let backlog = producer.snapshot().backlog_records;
    tokio::task::block_in_place(|| kafka.start_again(1)).unwrap();
    until("the replay begins", || producer.snapshot().state == State::Replaying).await;
    // Keys that have nothing on disk get a broker's word while the replay is under way.
    let alive = (0..LIVE_KEYS).map(|key| tokio::spawn(live(producer.clone(), key)));
    let alive: Vec<_> = alive.collect();
    let mut beside = Vec::new();
    for key in alive {
        beside.push(key.await.unwrap());
    }
    stop.store(true, Relaxed);
    let mut all = Vec::new();
    for sender in senders {
        all.push(sender.await.unwrap());
    }
    let (offered, ran) = (sent.load(Relaxed), began.elapsed());
    until("all of it is delivered", || producer.snapshot().backlog_records == 0).await;
    let grown = peak_kib() - before;
    producer.close(Duration::from_secs(30)).await;

    let found = tokio::task::block_in_place(|| read(&kafka));
    let again: usize = found.iter().map(|(key, came)| judge(key, came)).sum();
    let came: BTreeMap<&str, BTreeSet<u64>> =
        found.iter().map(|(key, came)| (key.as_str(), came.iter().map(|(n, _)| *n).collect())).collect();
    let is_there = |(key, n): &(u64, u64)| came.get(&*format!("key-{key}")).is_some_and(|of| of.contains(n));
    let acked = all.iter().flat_map(Sent::acked).count();
    let lost = all.iter().flat_map(Sent::acked).filter(|record| !is_there(record)).count();
    println!(
        "{offered} records in {ran:?} ({while_down} of them while the broker was down for {down:?}, {backlog} on disk), \
         {acked} receipts, {lost} lost, {again} again, {beside:?} live receipts beside the replay, {} MiB grown, \
         {} of them while the broker was down",
        grown >> 10,
        grown_down >> 10
    );
    assert_eq!(lost, 0, "had a receipt and never came");
    assert_eq!(acked as u64, offered, "nothing was refused");
    assert!(while_down > 0 && backlog > 0, "nothing was sent while the broker was down");
    let answered = beside.iter().filter(|receipts| **receipts > 0).count() as u64;
    assert!(answered > LIVE_KEYS / 2, "live records waited for the replay: {beside:?}");
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB");
    assert!(grown_down < GROWTH_DOWN_KIB_MAX, "{grown_down} KiB while it was down");
}
