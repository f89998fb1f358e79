//! The sink against real brokers, its records read by Kafka's own tools.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use bytes::Bytes;
use rdkafka::error::RDKafkaErrorCode as Code;
use seawall_core::{Class, Durability, Fault, Header, Outgoing, Receipt, Record, Sink};
use seawall_infra::{KafkaCluster, KafkaOptions, kafka_or_skip};
use seawall_kafka::admin::NewTopic;
use seawall_kafka::sink::{SinkError, TransactionalSink};
use seawall_kafka::{Admin, Connection, KafkaError, KafkaSink, SinkOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";

fn connection(kafka: &KafkaCluster) -> Connection {
    let mut connection = Connection::new([kafka.bootstrap()]);
    // A missing topic is believed after this long.
    connection.properties.insert("topic.metadata.propagation.max.ms".to_owned(), "1000".to_owned());
    connection
}

async fn create(kafka: &KafkaCluster, topic: &str, partitions: u32) {
    let admin = Admin::open(&Connection::new([kafka.bootstrap()]), Duration::from_mins(1)).unwrap();
    admin.create_topic(&NewTopic::new(topic, partitions)).await.unwrap();
}

fn outgoing(topic: &str, key: Option<String>, value: impl Into<Bytes>) -> Outgoing {
    Outgoing { topic: topic.into(), partition: None, record: Record::new(key.map(Bytes::from), value) }
}

/// Records of `topic`, as tab-separated lines of what `print` names.
fn read(kafka: &KafkaCluster, topic: &str, records: usize, print: &[&str], more: &[&str]) -> Vec<String> {
    let (servers, records) = (kafka.bootstrap(), records.to_string());
    let mut args = vec!["--bootstrap-server", &servers, "--topic", topic, "--from-beginning"];
    args.extend(["--max-messages", &records, "--timeout-ms", "8000"]);
    let print: Vec<String> = print.iter().map(|what| format!("print.{what}=true")).collect();
    for property in &print {
        args.extend(["--formatter-property", property]);
    }
    args.extend(more);
    let said = kafka.tool(CONSUMER, &args).unwrap();
    assert!(said.ok(), "{}", said.story());
    said.stdout.lines().map(ToOwned::to_owned).collect()
}

fn refusal(answer: &Result<Receipt, Fault>) -> (Class, Option<Code>) {
    let fault = answer.as_ref().unwrap_err();
    let code = match fault.error().downcast_ref::<KafkaError>() {
        Some(KafkaError::Refused { code, .. }) => Some(*code),
        _ => None,
    };
    (fault.class(), code)
}

#[tokio::test(flavor = "multi_thread")]
async fn kafkas_own_tools_read_what_the_sink_writes_where_they_would_have_put_it() {
    let name = "kafkas_own_tools_read_what_the_sink_writes_where_they_would_have_put_it";
    let Some(kafka) = kafka_or_skip(name, KafkaOptions::default()) else { return };
    create(&kafka, "ours", 7).await;
    create(&kafka, "theirs", 7).await;
    let keys: Vec<String> = (0..200).map(|number| format!("customer-{number}")).collect();
    let lines = keys.iter().map(|key| format!("{key}\tv\n")).collect::<Vec<_>>().concat();
    let servers = kafka.bootstrap();
    let args = ["--bootstrap-server", &servers, "--topic", "theirs", "--reader-property", "parse.key=true"];
    let said = kafka.tool_with_input(PRODUCER, &args, lines.as_bytes()).unwrap();
    assert!(said.ok(), "{}", said.story());

    let sink = KafkaSink::open(&connection(&kafka), &SinkOptions::default()).unwrap();
    let records = keys.iter().map(|key| outgoing("ours", Some(key.clone()), "v")).collect();
    for answer in sink.send(records).await {
        assert_eq!(answer.unwrap().durability, Durability::Replicated);
    }
    let mut ours = read(&kafka, "ours", 200, &["key", "partition"], &[]);
    let mut theirs = read(&kafka, "theirs", 200, &["key", "partition"], &[]);
    ours.sort();
    theirs.sort();
    assert_eq!(ours.len(), 200);
    assert_eq!(ours, theirs);

    create(&kafka, "whole", 3).await;
    let mut whole = outgoing("whole", Some("k".to_owned()), "value");
    whole.partition = Some(2);
    whole.record.timestamp = seawall_core::WallMs(1_700_000_000_123);
    whole.record.headers = [Header::new("a", "1"), Header::new("b", "two")].into_iter().collect();
    let receipt = sink.send(vec![whole]).await.remove(0).unwrap();
    assert_eq!((receipt.partition.to_string().as_str(), receipt.offset), ("whole/2", 0));
    let lines = read(&kafka, "whole", 1, &["timestamp", "partition", "offset", "headers", "key"], &[]);
    assert_eq!(lines, ["CreateTime:1700000000123\tPartition:2\tOffset:0\ta:1,b:two\tk\tvalue"]);
}

/// What was acknowledged of key k is `0..per_key`, each once and in order.
fn in_order_once(lines: &[String], keys: usize, per_key: usize) {
    let mut next: BTreeMap<&str, usize> = BTreeMap::new();
    for line in lines {
        let (key, value) = line.split_once('\t').unwrap();
        let expected = next.entry(key).or_default();
        assert_eq!(value.trim_end_matches('.').parse(), Ok(*expected), "key {key}");
        *expected += 1;
    }
    assert_eq!(next.len(), keys);
    assert!(next.values().all(|count| *count == per_key), "{next:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_records_keep_the_order_of_their_keys() {
    let name = "twenty_thousand_records_keep_the_order_of_their_keys";
    let Some(kafka) = kafka_or_skip(name, KafkaOptions::default()) else { return };
    create(&kafka, "orders", 4).await;
    let sink = KafkaSink::open(&connection(&kafka), &SinkOptions::default()).unwrap();
    for part in 0..4 {
        let records = (0..5_000).map(|nth| {
            outgoing("orders", Some(format!("k{}", nth % 100)), (part * 50 + nth / 100).to_string())
        });
        let answers = sink.send(records.collect()).await;
        assert!(answers.iter().all(Result::is_ok), "{:?}", answers.iter().find(|answer| answer.is_err()));
        let places: BTreeSet<_> =
            answers.into_iter().flatten().map(|receipt| (receipt.partition, receipt.offset)).collect();
        assert_eq!(places.len(), 5_000);
    }
    in_order_once(&read(&kafka, "orders", 20_000, &["key"], &[]), 100, 200);
}

/// Test 10 of the reliability list: acknowledgements are lost with the broker that dies.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_in_the_middle_doubles_nothing_and_loses_nothing() {
    let name = "a_broker_killed_in_the_middle_doubles_nothing_and_loses_nothing";
    let Some(kafka) = kafka_or_skip(name, KafkaOptions::default()) else { return };
    let kafka = Arc::new(kafka);
    create(&kafka, "orders", 4).await;
    let options = SinkOptions { delivery_timeout: Duration::from_mins(3), ..SinkOptions::default() };
    let sink = Arc::new(KafkaSink::open(&connection(&kafka), &options).unwrap());
    let writer = tokio::spawn({
        let sink = Arc::clone(&sink);
        async move {
            let mut acknowledged = 0;
            for part in 0..40 {
                let records = (0..500).map(|nth| {
                    outgoing(
                        "orders",
                        Some(format!("k{}", nth % 100)),
                        format!("{:.<1000}", part * 5 + nth / 100),
                    )
                });
                for answer in sink.send(records.collect()).await {
                    let _receipt = answer.unwrap();
                    acknowledged += 1;
                }
            }
            acknowledged
        }
    });
    // Something is on the way when the broker dies.
    while sink.in_flight() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let broker = Arc::clone(&kafka);
    tokio::task::spawn_blocking(move || {
        broker.kill(1).unwrap();
        broker.start_again(1).unwrap();
    })
    .await
    .unwrap();
    assert_eq!(writer.await.unwrap(), 20_000);
    in_order_once(&read(&kafka, "orders", 20_001, &["key"], &[]), 100, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_has_its_name_and_stops_nobody_else() {
    let name = "each_refusal_has_its_name_and_stops_nobody_else";
    let Some(kafka) = kafka_or_skip(name, KafkaOptions::default()) else { return };
    create(&kafka, "orders", 1).await;
    let options = SinkOptions { record_bytes_max: 10_000, ..SinkOptions::default() };
    let sink = KafkaSink::open(&connection(&kafka), &options).unwrap();
    let mut nowhere = outgoing("orders", None, "v");
    nowhere.partition = Some(7);
    let mut beyond = outgoing("orders", None, "v");
    beyond.partition = Some(u32::MAX);
    let mut laden = outgoing("orders", None, "v");
    laden.record.headers.push(Header::new("h", vec![b'x'; 20_000]));
    let key = || Some("k".to_owned());
    let answers = sink
        .send(vec![
            outgoing("orders", key(), vec![b'x'; 20_000]),
            outgoing("orders", key(), "v"),
            outgoing("missing", key(), "v"),
            nowhere,
            beyond,
            outgoing("orders", Some("k".repeat(20_000)), "v"),
            laden,
        ])
        .await;
    assert_eq!(refusal(&answers[0]), (Class::Permanent, Some(Code::MessageSizeTooLarge)));
    assert_eq!(answers[1].as_ref().unwrap().offset, 0);
    let (class, code) = refusal(&answers[2]);
    assert_eq!(class, Class::Permanent);
    assert!(matches!(code, Some(Code::UnknownTopic | Code::UnknownTopicOrPartition)), "{code:?}");
    assert_eq!(refusal(&answers[3]), (Class::Permanent, Some(Code::UnknownPartition)));
    assert_eq!(refusal(&answers[4]).0, Class::Permanent);
    assert_eq!(refusal(&answers[5]), (Class::Permanent, Some(Code::MessageSizeTooLarge)));
    assert_eq!(refusal(&answers[6]), (Class::Permanent, Some(Code::MessageSizeTooLarge)));
    sink.close().unwrap();
    let closed = sink.send(vec![outgoing("orders", None, "v")]).await.remove(0).unwrap_err();
    assert!(matches!(closed.error().downcast_ref(), Some(KafkaError::Closed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_overload_and_drains_when_the_broker_is_back() {
    let name = "a_full_queue_is_overload_and_drains_when_the_broker_is_back";
    let Some(kafka) = kafka_or_skip(name, KafkaOptions::default()) else { return };
    create(&kafka, "orders", 1).await;
    let options = SinkOptions {
        queue_records: 100,
        queue_wait: Duration::from_millis(200),
        delivery_timeout: Duration::from_mins(3),
        ..SinkOptions::default()
    };
    let sink = Arc::new(KafkaSink::open(&connection(&kafka), &options).unwrap());
    let one = || outgoing("orders", Some("k".to_owned()), "v");
    assert!(sink.send(vec![one()]).await.remove(0).is_ok());
    kafka.freeze(1).unwrap();
    let taken = tokio::spawn({
        let sink = Arc::clone(&sink);
        async move { sink.send((0..100).map(|_| one()).collect()).await }
    });
    while sink.in_flight() < 100 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let refused = sink.send((0..3).map(|_| one()).collect()).await;
    for answer in refused {
        let fault = answer.unwrap_err();
        assert_eq!(fault.class(), Class::Overload, "{fault}");
        assert!(matches!(fault.error().downcast_ref(), Some(SinkError::Full { .. })), "{fault:?}");
    }
    kafka.thaw(1).unwrap();
    assert!(taken.await.unwrap().iter().all(Result::is_ok));
    assert!(sink.send(vec![one()]).await.remove(0).is_ok());
}

/// What ran out of time is not thrown out of the middle of a queue, and is not queued a second time meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn records_whose_call_was_given_up_keep_their_place_before_later_ones() {
    let name = "records_whose_call_was_given_up_keep_their_place_before_later_ones";
    let Some(kafka) = kafka_or_skip(name, KafkaOptions::default()) else { return };
    create(&kafka, "orders", 1).await;
    let options = SinkOptions { delivery_timeout: Duration::from_secs(2), ..SinkOptions::default() };
    let sink = KafkaSink::open(&connection(&kafka), &options).unwrap();
    let key = |key: &str| Some(key.to_owned());
    let both = || vec![outgoing("orders", key("k"), "first"), outgoing("orders", key("k"), "second")];
    assert!(sink.send(vec![outgoing("orders", key("k"), "before")]).await.remove(0).is_ok());
    kafka.freeze(1).unwrap();
    for answer in sink.send(both()).await {
        assert_eq!(refusal(&answer), (Class::Transient, Some(Code::MessageTimedOut)));
    }
    let in_flight = sink.in_flight();
    for answer in sink.send(both()).await {
        assert_eq!(refusal(&answer), (Class::Transient, Some(Code::MessageTimedOut)));
    }
    assert_eq!(sink.in_flight(), in_flight, "no copies are queued");
    kafka.thaw(1).unwrap();
    while sink.send(both()).await.iter().any(Result::is_err) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let lines = read(&kafka, "orders", 6, &[], &[]);
    assert_eq!(lines, ["before", "first", "second", "first", "second"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_seen_whole_or_not_at_all_and_a_fenced_producer_is_told() {
    let name = "a_transaction_is_seen_whole_or_not_at_all_and_a_fenced_producer_is_told";
    let Some(kafka) = kafka_or_skip(name, KafkaOptions::default()) else { return };
    create(&kafka, "orders", 1).await;
    let options = SinkOptions::default();
    let mut first = TransactionalSink::open(&connection(&kafka), &options, "t").await.unwrap();
    let one = |value: &'static str| [outgoing("orders", Some("k".to_owned()), value)];
    for (value, fate) in [("kept", true), ("aborted", false), ("dropped", false), ("kept too", true)] {
        let mut transaction = first.begin().await.unwrap();
        transaction.send(&one(value)).await.unwrap();
        match (fate, value) {
            (true, _) => assert_eq!(transaction.commit().await.unwrap().len(), 1),
            (false, "aborted") => transaction.abort().await.unwrap(),
            _ => drop(transaction),
        }
    }
    let committed = ["--isolation-level", "read_committed"];
    assert_eq!(read(&kafka, "orders", 9, &[], &committed), ["kept", "kept too"]);
    assert_eq!(read(&kafka, "orders", 9, &[], &[]).len(), 4);

    let mut second = TransactionalSink::open(&connection(&kafka), &options, "t").await.unwrap();
    let late = async {
        let mut transaction = first.begin().await?;
        transaction.send(&one("zombie")).await?;
        transaction.commit().await
    };
    let fenced = late.await.unwrap_err();
    assert_eq!(fenced.class(), Class::Permanent, "{fenced}");
    assert!(matches!(fenced.error().downcast_ref(), Some(SinkError::Fenced { .. })), "{fenced:?}");
    let mut transaction = second.begin().await.unwrap();
    transaction.send(&one("second")).await.unwrap();
    let _receipts = transaction.commit().await.unwrap();
    assert_eq!(read(&kafka, "orders", 9, &[], &committed), ["kept", "kept too", "second"]);
}
