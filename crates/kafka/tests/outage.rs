//! Brokers that go away, and answers that get lost: tests 9 and 10 of the fault list.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test may panic, waits, and says what it measured"
)]

use bytes::Bytes;
use seawall_consumer::{Consumer, ConsumerOptions, Driver, NoSink, NoStore, Totals};
use seawall_core::handler::HandlerFn;
use seawall_core::token::TOKEN_HEADER;
use seawall_core::{
    Clock, Delivery, Durability, Event, Header, Limit, Outcome, Outgoing, Receipt, Record, Sink, Source,
    SystemClock, TopicPartition,
};
use seawall_guard::{Guard, GuardOptions};
use seawall_infra::{Fault, KafkaOptions, Kind, kafka_behind_proxies_or_skip, kafka_or_skip};
use seawall_kafka::admin::NewTopic;
use seawall_kafka::{Admin, Connection, KafkaSink, KafkaSource, SinkOptions, SourceOptions};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_mins(4);
const KEYS: u64 = 100;

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is() {
        assert!(since.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn create(bootstrap: &str, topic: &str, partitions: u32) -> Admin {
    let admin = Admin::open(&Connection::new([bootstrap]), Duration::from_mins(1)).unwrap();
    admin.create_topic(&NewTopic::new(topic, partitions)).await.unwrap();
    admin
}

/// What arrived for each key, in order, and how often in all.
#[derive(Default)]
struct Arrived {
    by_key: BTreeMap<u64, Vec<u64>>,
    deliveries: usize,
}

/// Test 9: the only broker is killed in the middle and stays away for longer than the consumer's session, which loses
/// its partitions and what it has not committed. It gets them back, and knows what it has done.
#[tokio::test(flavor = "multi_thread")]
async fn brokers_down_for_a_minute_lose_none_of_100_000_messages_and_no_order() {
    const NAME: &str = "brokers_down_for_a_minute_lose_none_of_100_000_messages_and_no_order";
    const MESSAGES: u64 = 100_000;
    let soak = std::env::var_os("SEAWALL_SOAK").is_some();
    let down = Duration::from_secs(if soak { 60 } else { 15 });
    let Some(kafka) = tokio::task::block_in_place(|| kafka_or_skip(NAME, KafkaOptions::default())) else {
        return;
    };
    let topic = "outage";
    let admin = create(&kafka.bootstrap(), topic, 4).await;
    let connection = Connection::new([kafka.bootstrap()]);

    let arrived = Arc::new(Mutex::new(Arrived::default()));
    let running = {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let guard = Arc::new(Guard::new(GuardOptions::default(), Arc::clone(&clock), 1).unwrap());
        let arrived = Arc::clone(&arrived);
        let handler = HandlerFn(move |delivery: Delivery| {
            let value = std::str::from_utf8(&delivery.record.value).unwrap().to_owned();
            let (key, number) = value.split_once(':').unwrap();
            let mut arrived = arrived.lock().unwrap();
            arrived.deliveries += 1;
            arrived.by_key.entry(key.parse().unwrap()).or_default().push(number.parse().unwrap());
            std::future::ready(Outcome::Ack)
        });
        let mut options = ConsumerOptions { dead_letter: None, ..ConsumerOptions::new(topic) };
        // Something is done and not committed whenever the broker dies.
        options.commit.interval = Duration::from_secs(1);
        let source = SourceOptions { session_timeout: Duration::from_secs(10), ..SourceOptions::default() };
        let source =
            tokio::task::block_in_place(|| KafkaSource::join(&connection, topic, &[topic], source)).unwrap();
        let store = None::<Arc<NoStore>>;
        Consumer::start(options, source, handler, store, guard, NoSink, clock, 1, Driver::Thread).unwrap()
    };

    let options = SinkOptions {
        delivery_timeout: Duration::from_mins(5),
        queue_wait: Duration::from_mins(5),
        ..SinkOptions::default()
    };
    let sink = Arc::new(KafkaSink::open(&connection, &options).unwrap());
    let sending = tokio::spawn(async move {
        let (mut open, mut receipts) = (Vec::new(), 0);
        for first in (0..MESSAGES).step_by(KEYS as usize) {
            let number = first / KEYS;
            let records = (0..KEYS).map(|key| Outgoing {
                topic: topic.into(),
                partition: None,
                record: Record::new(Some(Bytes::from(key.to_string())), format!("{key}:{number}")),
            });
            // Not waited for one by one: the order of the calls is the order of each key.
            let (sink, records) = (Arc::clone(&sink), records.collect());
            let mut call = Box::pin(async move { sink.send(records).await });
            match futures_poll(&mut call) {
                Poll::Ready(answers) => receipts += taken(answers),
                Poll::Pending => open.push(call),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for call in open {
            receipts += taken(call.await);
        }
        receipts
    });
    let deliveries = || arrived.lock().unwrap().deliveries as u64;
    until("a tenth has arrived", || deliveries() > MESSAGES / 10).await;
    kafka.kill(1).unwrap();
    let before = deliveries();
    assert!(before < MESSAGES, "it is killed in the middle");
    tokio::time::sleep(down).await;
    tokio::task::block_in_place(|| kafka.start_again(1)).unwrap();
    let receipts = sending.await.unwrap();
    assert_eq!(receipts, MESSAGES, "every message has its receipt");
    let all = || arrived.lock().unwrap().by_key.values().map(|numbers| distinct(numbers)).sum::<u64>();
    until("all have arrived", || all() == MESSAGES).await;
    let report = running.drain(Duration::from_secs(30)).await;
    assert!(report.commit_failed.is_none(), "{report:?}");
    let totals = running.snapshot().totals;

    let partitions: Vec<_> = (0..4).map(|partition| TopicPartition::new(topic, partition)).collect();
    let written: u64 =
        admin.spans(&partitions).await.unwrap().values().map(|span| span.end - span.begin).sum();
    assert_eq!(written, MESSAGES, "an idempotent session writes none twice");
    let arrived = arrived.lock().unwrap();
    for (key, numbers) in &arrived.by_key {
        let in_order = numbers.iter().copied().eq(0..MESSAGES / KEYS);
        assert!(in_order, "key {key}: not each once and in order: {numbers:?}");
    }
    let Totals { voided, skipped, .. } = totals;
    println!(
        "{MESSAGES} messages, broker down for {down:?}: 0 lost, 0 again; {voided} uncommitted, {skipped} known"
    );
    assert!(voided > 0, "the outage was no loss, so the test says nothing");
}

fn taken(answers: Vec<Result<Receipt, seawall_core::Fault>>) -> u64 {
    answers.into_iter().inspect(|answer| assert!(answer.is_ok(), "{answer:?}")).count() as u64
}

fn distinct(numbers: &[u64]) -> u64 {
    numbers.iter().collect::<std::collections::BTreeSet<_>>().len() as u64
}

/// One poll, so that the call is begun now.
fn futures_poll<F: Future + Unpin>(call: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(call).poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

fn order(topic: &str, token: &str) -> Vec<Outgoing> {
    let mut record = Record::new(Some(Bytes::from_static(b"k")), token.to_owned());
    record.headers.push(Header::new(TOKEN_HEADER, token.to_owned()));
    vec![Outgoing { topic: topic.into(), partition: None, record }]
}

/// How often each token stands in partition 0 of `topic`, which holds `records`.
fn tokens(bootstrap: &str, topic: &str, records: usize) -> BTreeMap<String, u32> {
    let options = SourceOptions { session_timeout: Duration::from_secs(6), ..SourceOptions::default() };
    let mut source = KafkaSource::join(&Connection::new([bootstrap]), "reader", &[topic], options).unwrap();
    let (mut found, mut read, since) = (BTreeMap::new(), 0, Instant::now());
    while read < records {
        assert!(since.elapsed() < PATIENCE, "only {found:?}");
        for event in source.poll(Duration::from_millis(100), Limit { records: 100, bytes: 1 << 20 }).unwrap()
        {
            let Event::Records { batch, .. } = event else { continue };
            read += batch.records.len();
            for fetched in batch.records {
                let token = fetched.record.headers.get_str(TOKEN_HEADER).unwrap().to_owned();
                *found.entry(token).or_default() += 1;
            }
        }
    }
    found
}

/// Test 10: the broker has written a record and its acknowledgement is lost on the way back.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_acknowledgement_is_one_record_in_a_session_and_a_known_repeat_after_a_restart() {
    const NAME: &str = "a_lost_acknowledgement_is_one_record_in_a_session_and_a_known_repeat_after_a_restart";
    let started =
        tokio::task::block_in_place(|| kafka_behind_proxies_or_skip(NAME, KafkaOptions::default(), 10));
    let Some((kafka, proxies)) = started else { return };
    let (topic, proxy) = ("lost-ack", &proxies[0]);
    let admin = create(&kafka.bootstrap(), topic, 1).await;
    let at = [TopicPartition::new(topic, 0)];
    let end = async |wanted: u64| {
        let since = Instant::now();
        while admin.spans(&at).await.unwrap()[&at[0]].end < wanted {
            assert!(since.elapsed() < PATIENCE, "never {wanted} records");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        admin.spans(&at).await.unwrap()[&at[0]].end
    };
    let options = SinkOptions { close_within: Duration::from_millis(200), ..SinkOptions::default() };
    let open = || Arc::new(KafkaSink::open(&Connection::new([kafka.bootstrap_proxied()]), &options).unwrap());
    let lost = || proxy.hits().get(&Kind::LoseAnswer).copied().unwrap_or_default();

    let sink = open();
    let receipt = sink.send(order(topic, "first")).await.remove(0).unwrap();
    assert_eq!((receipt.offset, receipt.durability), (0, Durability::Replicated));
    proxy.inject(Fault::LoseAnswer);
    let sending = {
        let sink = Arc::clone(&sink);
        tokio::spawn(async move { sink.send(order(topic, "second")).await.remove(0) })
    };
    assert_eq!(end(2).await, 2);
    until("its answer is lost", || lost() > 0).await;
    assert!(!sending.is_finished(), "a receipt for an answer that nobody got");
    proxy.heal();
    let receipt = sending.await.unwrap().unwrap();
    assert_eq!((receipt.offset, receipt.durability), (1, Durability::Replicated));
    assert_eq!(end(2).await, 2, "the same session writes it once");

    // The next one dies with its process: another session can't know, and the token can.
    let before = lost();
    proxy.inject(Fault::LoseAnswer);
    let dying = {
        let sink = Arc::clone(&sink);
        tokio::spawn(async move { sink.send(order(topic, "third")).await.remove(0) })
    };
    assert_eq!(end(3).await, 3);
    until("its answer is lost", || lost() > before).await;
    dying.abort();
    let _ = dying.await;
    drop(sink);
    proxy.heal();
    let receipt = open().send(order(topic, "third")).await.remove(0).unwrap();
    assert_eq!(receipt.offset, 3);
    assert_eq!(end(4).await, 4);
    let found = tokio::task::spawn_blocking(move || tokens(&kafka.bootstrap(), topic, 4)).await.unwrap();
    let found: Vec<(&str, u32)> = found.iter().map(|(token, times)| (&**token, *times)).collect();
    assert_eq!(found, [("first", 1), ("second", 1), ("third", 2)]);
}
