//! Batches that a broker refuses for their size, of records that it would take.

use super::stage::{create_narrow, kafka, open, says, sink, source, until};
use bytes::Bytes;
use seawall_core::{Class, Event, Fault, Outgoing, Receipt, Record, Sink};
use seawall_kafka::KafkaSink;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Key of seven, and its place among all.
fn record(topic: &str, number: usize, bytes: usize) -> Outgoing {
    let mut value = format!("{number}:");
    value.extend((value.len()..bytes).map(|_| fastrand::alphanumeric()));
    let key = Bytes::from(format!("key-{}", number % 7));
    Outgoing { topic: topic.into(), partition: Some(0), record: Record::new(key, value) }
}

/// Sends `records`, tells what is refused for good, and returns what is to be sent again.
async fn sent(
    sink: &KafkaSink,
    records: Vec<Outgoing>,
    mut refused: impl FnMut(&Outgoing, &Fault),
) -> Vec<Outgoing> {
    let answers = sink.send(records.clone()).await;
    let again = |(outgoing, answer): (Outgoing, Result<Receipt, Fault>)| {
        let fault = answer.err()?;
        if fault.class() != Class::Permanent {
            return Some(outgoing);
        }
        refused(&outgoing, &fault);
        None
    };
    records.into_iter().zip(answers).filter_map(again).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_fit_are_written_in_order_where_their_batch_does_not() {
    let name = "records_that_fit_are_written_in_order_where_their_batch_does_not";
    let Some(kafka) = kafka(name) else { return };
    create_narrow(kafka, "low", 20_000).await;
    let sink = sink(&open(kafka));
    let large = 150;
    let size = |number| if number == large { 50_000 } else { 1_000 };
    let mut left: Vec<_> = (0..600).map(|number| record("low", number, size(number))).collect();
    let (mut rounds, mut refused) = (0, 0);
    while !left.is_empty() {
        assert!(rounds < 10, "{} are never written", left.len());
        rounds += 1;
        left = sent(&sink, left, |outgoing, fault| {
            says(fault, Class::Permanent, &["low/0", "MessageSizeTooLarge", "max.message.bytes"]);
            assert_eq!(outgoing.record.value.len(), 50_000, "it would fit");
            refused += 1;
        })
        .await;
    }
    assert_eq!(refused, 1, "the large one");
    // What is known of a topic stays known: the next batches are small at once.
    let more = (600..700).map(|number| record("low", number, 1_000)).collect();
    assert!(sink.send(more).await.iter().all(Result::is_ok));

    let mut source = source(&open(kafka), "low", "low").unwrap();
    let mut last: BTreeMap<Bytes, Vec<usize>> = BTreeMap::new();
    until(&mut source, "the last record", |event| {
        let Event::Records { batch, .. } = event else { return false };
        for fetched in &batch.records {
            let text = String::from_utf8_lossy(&fetched.record.value);
            let number = text.split(':').next().unwrap().parse().unwrap();
            let seen = last.entry(fetched.record.key.clone().unwrap()).or_default();
            // Written again, it stands behind what was before it.
            seen.retain(|earlier| *earlier != number);
            seen.push(number);
        }
        last.values().flatten().any(|number| *number == 699)
    });
    assert_eq!(last.values().map(Vec::len).sum::<usize>(), 699, "all but the large one");
    for (key, seen) in last {
        assert!(seen.is_sorted(), "{key:?}: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_too_large_for_the_company_in_its_batch() {
    let Some(kafka) = kafka("nobody_is_too_large_for_the_company_in_its_batch") else { return };
    create_narrow(kafka, "company", 20_000).await;
    for _ in 0..3 {
        // A new sink knows nothing of the topic.
        let sink = Arc::new(sink(&open(kafka)));
        let caller = |caller: usize| {
            let sink = Arc::clone(&sink);
            tokio::spawn(async move {
                for call in 0..8 {
                    let records = if caller < 4 { 1 } else { 60 };
                    let mut left: Vec<_> =
                        (0..records).map(|_| record("company", caller * 7 + call, 1_000)).collect();
                    while !left.is_empty() {
                        left = sent(&sink, left, |_, fault| panic!("{fault}")).await;
                    }
                }
            })
        };
        for called in (0..8).map(caller).collect::<Vec<_>>() {
            called.await.unwrap();
        }
    }
}
