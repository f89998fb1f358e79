//! A group that starts at the newest record (`StartAt::Latest`).

use crate::stage::{committed, connection, create, kafka, numbers, options, write};
use crate::{consume, eventually};
use seawall_consumer::Running;
use seawall_core::handler::HandlerFn;
use seawall_core::{Delivery, Offset, Outcome};
use seawall_infra::KafkaCluster;
use seawall_kafka::{KafkaSource, SourceOptions, StartAt};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Seen = Arc<Mutex<Vec<(Arc<str>, Offset)>>>;

/// Starts a member whose handler acknowledges, or never ends.
fn start(kafka: &KafkaCluster, topics: &[&str], ends: bool) -> (Running, Seen) {
    let seen = Seen::default();
    let told = Arc::clone(&seen);
    let handler = HandlerFn(move |delivery: Delivery| {
        told.lock().unwrap().push((Arc::clone(&delivery.origin.topic), delivery.offset));
        async move {
            if !ends {
                std::future::pending::<()>().await;
            }
            Outcome::Ack
        }
    });
    let from_earliest = vec!["latest-retry".to_owned()];
    let options = SourceOptions { start_at: StartAt::Latest, from_earliest, ..options() };
    let source = KafkaSource::join(&connection(kafka), topics[0], topics, options).unwrap();
    (consume(source, handler, 1), seen)
}

#[test]
fn a_record_that_the_first_member_leaves_unfinished_is_delivered_by_the_next() {
    let Some(kafka) = kafka("a_record_that_the_first_member_leaves_unfinished_is_delivered_by_the_next")
    else {
        return;
    };
    create(kafka, "latest", 1);
    write(kafka, "latest", 0, numbers(100));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (first, seen) = start(kafka, &["latest"], false);
        eventually("it is placed", || first.snapshot().partitions.len() == 1).await;
        write(kafka, "latest", 0, numbers(1));
        eventually("its handler runs", || !seen.lock().unwrap().is_empty()).await;
        first.drain(Duration::from_millis(100)).await;
        drop(first);
        // And what came while nobody was there.
        write(kafka, "latest", 0, numbers(1));
        let (next, seen) = start(kafka, &["latest"], true);
        eventually("both are delivered", || seen.lock().unwrap().len() == 2).await;
        let offsets: Vec<Offset> = seen.lock().unwrap().iter().map(|(_, offset)| *offset).collect();
        assert_eq!(offsets, [100, 101]);
        next.drain(Duration::from_secs(10)).await;
    });
    assert_eq!(committed(kafka, "latest", "latest", 0).unwrap().0, 102);
}

#[test]
fn a_retry_topic_is_read_from_its_oldest_record_on() {
    let Some(kafka) = kafka("a_retry_topic_is_read_from_its_oldest_record_on") else { return };
    let topics = ["latest-of-two", "latest-retry"];
    for topic in topics {
        create(kafka, topic, 1);
        write(kafka, topic, 0, numbers(3));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (member, seen) = start(kafka, &topics, true);
        eventually("both are placed", || member.snapshot().partitions.len() == 2).await;
        write(kafka, topics[0], 0, numbers(1));
        eventually("all is delivered", || seen.lock().unwrap().len() == 4).await;
        member.drain(Duration::from_secs(10)).await;
        let mut seen: Vec<_> = seen.lock().unwrap().iter().map(|(t, at)| (t.to_string(), *at)).collect();
        seen.sort();
        let retries = (0..3).map(|offset| (topics[1].to_owned(), offset));
        assert_eq!(seen, [(topics[0].to_owned(), 3)].into_iter().chain(retries).collect::<Vec<_>>());
    });
}
