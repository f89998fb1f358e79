//! Topics, appends, reads: what a caller sees.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod harness;

use bytes::Bytes;
use harness::{HandClock, block_on, contents, log_error, open, outgoing, send};
use seawall_core::{Class, Durability, Limit, Outgoing, Record, Sink, SystemClock, TopicPartition};
use seawall_log::partition::hash::partition_of;
use seawall_log::{Broker, BrokerOptions, Driver, LogError, SourceOptions, TopicOptions};
use seawall_wal::RealDisk;
use seawall_wal::disk::SimDisk;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

fn real(dir: &std::path::Path) -> Broker {
    let clock = Arc::new(SystemClock::new());
    Broker::open(RealDisk, BrokerOptions::new(dir), clock, Driver::Thread).unwrap().0
}

#[test]
fn receipts_are_synced_keys_stay_together_and_all_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let broker = real(dir.path());
    broker.create_topic("orders", TopicOptions::partitions(4)).unwrap();
    let batch: Vec<Outgoing> =
        (0..200).map(|n| outgoing("orders", &format!("key-{}", n % 10), format!("v{n}"))).collect();
    let receipts = send(&broker, batch);
    for (n, receipt) in receipts.iter().enumerate() {
        let receipt = receipt.as_ref().unwrap();
        assert_eq!(receipt.durability, Durability::Synced);
        assert_eq!(receipt.partition.partition, partition_of(format!("key-{}", n % 10).as_bytes(), 4));
    }
    broker.close().unwrap();
    let after = send(&broker, vec![outgoing("orders", "k", "late")]);
    assert!(matches!(log_error(after[0].as_ref().unwrap_err()), LogError::Closed));

    let again = real(dir.path());
    let mut held = 0;
    for partition in 0..4 {
        let contents = contents(&again, "orders", partition);
        assert!(contents.iter().enumerate().all(|(at, (offset, _))| at as u64 == *offset));
        held += contents.len();
    }
    assert_eq!(held, 200);
    for (n, receipt) in receipts.iter().enumerate() {
        let receipt = receipt.as_ref().unwrap();
        let limit = Limit { records: 1, bytes: 1 };
        let batch = again.fetch("orders", receipt.partition.partition, receipt.offset, limit).unwrap();
        assert_eq!(batch.records[0].record.value, format!("v{n}"));
    }
}

#[test]
fn many_senders_share_rounds() {
    let dir = tempfile::tempdir().unwrap();
    let broker = real(dir.path());
    broker.create_topic("t", TopicOptions::partitions(2)).unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..64)
            .map(|task| {
                let broker = broker.clone();
                tokio::spawn(async move {
                    for n in 0..20 {
                        let receipts = broker
                            .send(vec![outgoing("t", &format!("k{task}"), format!("{task}/{n}"))])
                            .await;
                        receipts[0].as_ref().unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let counters = broker.counters();
    assert_eq!(counters.records, 64 * 20);
    assert!(counters.rounds < counters.records, "no round served two senders: {counters:?}");
    // The order of each key is the order of its sends.
    for partition in 0..2 {
        let mut next = vec![0; 64];
        for (_, value) in contents(&broker, "t", partition) {
            let text = String::from_utf8(value.to_vec()).unwrap();
            let (task, n) = text.split_once('/').unwrap();
            let (task, n): (usize, usize) = (task.parse().unwrap(), n.parse().unwrap());
            assert_eq!(n, next[task]);
            next[task] += 1;
        }
    }
}

#[test]
fn bad_input_is_refused_by_name_and_harms_no_neighbour() {
    let (broker, _) = open(&SimDisk::new(1), &Arc::new(HandClock::default()), Driver::Inline);
    broker.create_topic("orders", TopicOptions::partitions(2)).unwrap();
    let big = Record::new(Bytes::from_static(b"k"), vec![0; 17 << 20]);
    let answers = send(
        &broker,
        vec![
            outgoing("oders", "k", "v"),
            Outgoing { topic: "orders".into(), partition: Some(2), record: Record::default() },
            Outgoing { topic: "orders".into(), partition: None, record: big },
            outgoing("orders", "k", "fine"),
        ],
    );
    let errors: Vec<String> = answers[..3].iter().map(|a| a.as_ref().unwrap_err().to_string()).collect();
    assert_eq!(errors[0], "no topic \"oders\"; did you mean orders?");
    assert_eq!(errors[1], "topic \"orders\" has partitions 0 to 1, not 2");
    assert!(errors[2].starts_with("record value has 17825792 bytes"), "{}", errors[2]);
    assert!(answers[..3].iter().all(|a| a.as_ref().unwrap_err().class() == Class::Permanent));
    assert!(answers[3].is_ok());

    for bad in ["", "..", "../escape", "a/b", &"x".repeat(250)] {
        assert!(matches!(broker.create_topic(bad, TopicOptions::partitions(1)), Err(LogError::Name(_))));
    }
    for partitions in [0, 1025] {
        let error = broker.create_topic("p", TopicOptions::partitions(partitions)).unwrap_err().to_string();
        assert!(error.contains("1 to 1024 are accepted"), "{error}");
    }
    assert!(matches!(
        broker.create_topic("orders", TopicOptions::partitions(3)),
        Err(LogError::TopicExists { partitions: 2, .. })
    ));
    assert!(!broker.create_topic("orders", TopicOptions::partitions(2)).unwrap());
    assert!(broker.source("g/../h", &["orders"], SourceOptions::default()).is_err());
}

#[test]
fn a_large_call_goes_in_several_rounds_in_order() {
    let disk = SimDisk::new(2);
    let options =
        BrokerOptions { queue_records_max: 8, queue_bytes_max: 64 * 1024, ..harness::small("/data") };
    let (broker, _) = Broker::open(disk, options, Arc::new(HandClock::default()), Driver::Inline).unwrap();
    broker.create_topic("t", TopicOptions::partitions(1)).unwrap();
    let batch = (0..100).map(|n| outgoing("t", "k", vec![n as u8; 1000])).collect();
    let offsets: Vec<u64> = send(&broker, batch).into_iter().map(|r| r.unwrap().offset).collect();
    assert_eq!(offsets, (0..100).collect::<Vec<_>>());
    assert_eq!(contents(&broker, "t", 0).len(), 100);
}

#[test]
fn a_full_queue_refuses_after_its_wait() {
    let disk = SimDisk::new(3);
    let options = BrokerOptions {
        queue_records_max: 4,
        queue_wait_max: Duration::from_millis(20),
        ..harness::small("/data")
    };
    let (broker, _) = Broker::open(disk, options, Arc::new(HandClock::default()), Driver::Turns).unwrap();
    broker.create_topic("t", TopicOptions::partitions(1)).unwrap();
    block_on(async {
        let waiting: Vec<_> = (0..4)
            .map(|n| {
                let broker = broker.clone();
                async move { broker.send(vec![outgoing("t", "k", format!("{n}"))]).await }
            })
            .collect();
        let mut waiting: Vec<_> = waiting.into_iter().map(Box::pin).collect();
        for future in &mut waiting {
            assert!(futures_poll_once(future.as_mut()).await.is_none(), "no turn was taken yet");
        }
        let refused = broker.send(vec![outgoing("t", "k", "fifth")]).await;
        let fault = refused[0].as_ref().unwrap_err();
        assert_eq!(fault.class(), Class::Overload);
        assert!(matches!(log_error(fault), LogError::Overload { records_max: 4, .. }), "{fault}");
        assert!(broker.turn());
        for future in waiting {
            future.await[0].as_ref().unwrap();
        }
        let room = broker.clone();
        let mut sixth = Box::pin(async move { room.send(vec![outgoing("t", "k", "sixth")]).await });
        assert!(futures_poll_once(sixth.as_mut()).await.is_none());
        broker.turn();
        assert_eq!(sixth.await[0].as_ref().unwrap().offset, 4);
    });
}

async fn futures_poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[test]
fn the_tail_can_be_awaited_and_a_close_ends_the_wait() {
    let dir = tempfile::tempdir().unwrap();
    let broker = real(dir.path());
    broker.create_topic("t", TopicOptions::partitions(1)).unwrap();
    block_on(async {
        let tp = TopicPartition::new("t", 0);
        let (waiter, tail) = (broker.clone(), tp.clone());
        let waiting = tokio::spawn(async move { waiter.await_beyond(&tail, 0).await });
        let _ = broker.send(vec![outgoing("t", "k", "v")]).await;
        assert_eq!(waiting.await.unwrap().unwrap(), 1);
        let (waiter, tail) = (broker.clone(), tp);
        let waiting = tokio::spawn(async move { waiter.await_beyond(&tail, 1).await });
        tokio::task::yield_now().await;
        broker.close().unwrap();
        assert!(matches!(waiting.await.unwrap(), Err(LogError::Closed)));
    });
}

#[test]
fn the_data_directory_is_private_and_holds_no_names_of_callers() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let broker = real(&data);
    broker.create_topic("my-secret-topic", TopicOptions::partitions(1)).unwrap();
    let _ = send(&broker, vec![outgoing("my-secret-topic", "k", "v")]);
    let mode = std::fs::metadata(&data).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    for entry in std::fs::read_dir(&data).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.contains("secret"), "{name}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing lies outside");
}

#[test]
fn a_damaged_or_newer_catalog_is_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let broker = real(dir.path());
    broker.create_topic("t", TopicOptions::partitions(1)).unwrap();
    drop(broker);
    let path = dir.path().join("catalog");
    let good = std::fs::read(&path).unwrap();
    let newer = String::from_utf8(good.clone()).unwrap().replacen("v1", "v2", 1).into_bytes();
    let mut damaged = good.clone();
    let last = damaged.len() - 5;
    damaged[last] ^= 1;
    for (bytes, expected) in [(newer, "version 2"), (damaged, "crc32c"), (b"hello\n".to_vec(), "line 1")] {
        std::fs::write(&path, &bytes).unwrap();
        let options = BrokerOptions::new(dir.path());
        let error =
            Broker::open(RealDisk, options, Arc::new(SystemClock::new()), Driver::Inline).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(error.to_string().ends_with("catalog") && source.contains(expected), "{error}: {source}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
    std::fs::write(&path, good).unwrap();
    assert!(real(dir.path()).topic_exists("t"));
}
