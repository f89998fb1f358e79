//! What is being tried again when partitions move.

use super::diary::What;
use super::stage::{Place, SESSION, ms, until};
use seawall_consumer::RetryOptions;
use seawall_consumer::dead_letter::headers;
use seawall_core::record::KEY_BYTES_MAX;
use seawall_core::{Class, Delivery, Event, Fault, Limit, Outcome, Source};
use seawall_kafka::{Connection, KafkaSource};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Fails the records of key `bad` until it is healed.
#[derive(Clone, Default)]
struct Service(Arc<AtomicBool>);

impl Service {
    fn heal(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn handler(&self) -> impl Fn(Delivery) -> std::future::Ready<Outcome> + Send + Sync + use<> {
        let healed = Arc::clone(&self.0);
        move |delivery| {
            let bad = delivery.record.key.as_deref() == Some(b"bad");
            std::future::ready(if bad && !healed.load(Ordering::SeqCst) {
                Outcome::Retry(Fault::new(Class::Transient, "the service is down"))
            } else {
                Outcome::Ack
            })
        }
    }
}

/// For ever, at most so far apart.
fn patient(base: u64, max: u64) -> RetryOptions {
    RetryOptions {
        attempts_max: u32::MAX,
        total_max: None,
        base: Duration::from_millis(base),
        max: Duration::from_millis(max),
        ..RetryOptions::default()
    }
}

/// Elsewhere two members retry one message at once, since the loop does not notice that its partition has gone
/// (dapr/components-contrib #4577).
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_loop_ends_with_its_assignment() {
    let Some(place) = Place::new("a_retry_loop_ends_with_its_assignment", 2).await else { return };
    (0..2).for_each(|partition| place.write(partition, ["bad", "good", "bad"]));
    let service = Service::default();
    let mut setup = place.setup();
    setup.consumer.retry = patient(20, 100);
    let first = place.join(1, setup.clone(), service.handler());
    let tried = |member: u32| place.diary.count(|line| line.member == member && line.what == What::Failed);
    until("the first retries", || tried(1) > 20).await;
    let second = place.join(2, setup, service.handler());
    let moved = second.until_holds(1).await[0];
    until("the second retries", || tried(2) > 20).await;
    service.heal();
    until("all is done", || place.diary.acked().len() == 6).await;
    for member in [first, second] {
        member.leave(Duration::from_secs(10)).await;
    }
    let members: Vec<u32> = {
        let lines = place.diary.lines();
        lines.iter().filter(|line| line.place == (moved, 0)).map(|line| line.member).collect()
    };
    assert!(members.is_sorted(), "after the handover the first tried on");
    place.diary.assert_each_once(2, 3);
    place.diary.assert_order();
}

/// Elsewhere one failing message gets its member thrown out, and with the partition bounces between the members
/// for hours (dapr/components-contrib #4580).
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_record_stays_with_its_member() {
    let Some(place) = Place::new("a_failing_record_stays_with_its_member", 2).await else { return };
    let service = Service::default();
    let mut setup = place.setup();
    setup.consumer.retry = patient(50, 500);
    setup.source.poll_interval_max = SESSION;
    let members = [place.join(1, setup.clone(), service.handler()), place.join(2, setup, service.handler())];
    for member in &members {
        member.until_holds(1).await;
    }
    let before: Vec<_> = members.iter().map(super::stage::Member::holds).collect();
    (0..2).for_each(|partition| place.write(partition, ["bad", "good", "bad", "good"]));
    // Twice the time after which a silent member is thrown out.
    ms(2 * SESSION.as_millis() as u64 + 1_000).await;
    let after: Vec<_> = members.iter().map(super::stage::Member::holds).collect();
    assert_eq!(before, after, "nobody's partitions moved");
    assert_eq!(place.diary.acked().len(), 4, "other keys went on");
    service.heal();
    until("all is done", || place.diary.acked().len() == 8).await;
    for member in members {
        member.leave(Duration::from_secs(10)).await;
    }
    for partition in 0..2 {
        let lines = place.diary.lines();
        let mut members: Vec<u32> =
            lines.iter().filter(|line| line.place.0 == partition).map(|line| line.member).collect();
        members.dedup();
        assert_eq!(members.len(), 1, "partition {partition}");
    }
}

/// Elsewhere a message whose retry is interrupted by a rebalance is never delivered again (dapr/dapr #8796).
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_dropped_in_the_middle_of_a_retry() {
    let Some(place) = Place::new("nothing_is_dropped_in_the_middle_of_a_retry", 2).await else { return };
    let keys = ["bad", "x", "bad", "y", "bad", "z"];
    (0..2).for_each(|partition| place.write(partition, keys.into_iter().cycle().take(60)));
    let service = Service::default();
    let mut setup = place.setup();
    // The partitions move while the records wait for a back-off that nobody will see the end of.
    setup.consumer.retry = patient(60_000, 60_000);
    let first = place.join(1, setup.clone(), service.handler());
    until("all others are done, the bad ones parked", || place.diary.acked().len() == 60).await;
    let second = place.join(2, setup, service.handler());
    second.until_holds(1).await;
    until("the second has parked it too", || {
        place.diary.count(|line| line.member == 2 && line.what == What::Failed) > 0
    })
    .await;
    assert!(
        place.diary.count(|line| line.what == What::Acked && line.key == b"bad") == 0
            && place.diary.count(|line| line.member == 2 && line.what == What::Acked) == 0,
        "what the first had done is not done again"
    );
    first.leave(Duration::from_secs(10)).await;
    service.heal();
    second.until_holds(2).await;
    second.leave(Duration::from_secs(10)).await;
    let third = place.join(3, place.setup(), service.handler());
    until("all is done", || place.diary.acked().len() == 120).await;
    third.leave(Duration::from_secs(10)).await;
    place.diary.assert_each_once(2, 60);
    place.diary.assert_order();
    place.until_committed(2, 60).await;
}

/// Elsewhere a poison record is tried for ever, and what stands behind it waits for ever
/// (parallel-consumer #310, #196).
#[tokio::test(flavor = "multi_thread")]
async fn a_poison_record_is_tried_so_often_and_then_a_dead_letter() {
    const NAME: &str = "a_poison_record_is_tried_so_often_and_then_a_dead_letter";
    let Some(place) = Place::new(NAME, 1).await else { return };
    let topic = "poison.dlq";
    place.create(topic).await;
    place.write(0, ["fails", "ok", "panics", "ok", "refuses", "fails", "panics", "refuses", "ok"]);
    let mut setup = place.setup();
    setup.consumer.dead_letter = Some(topic.into());
    setup.consumer.retry =
        RetryOptions { attempts_max: 3, base: Duration::from_millis(20), ..patient(1, 20) };
    let member = place.join(1, setup, |delivery: Delivery| async move {
        match delivery.record.key.as_deref() {
            // The first of its key alone: what follows it must get its turn.
            Some(b"fails") if delivery.offset == 0 => {
                Outcome::Retry(Fault::new(Class::Transient, "poison that fails"))
            }
            Some(b"panics") if delivery.offset == 2 => panic!("poison that panics"),
            Some(b"refuses") if delivery.offset == 4 => {
                Outcome::DeadLetter(Fault::new(Class::Permanent, "poison that refuses"))
            }
            _ => Outcome::Ack,
        }
    });
    place.until_committed(1, 9).await;
    let totals = member.snapshot().totals;
    assert_eq!((totals.acked, totals.dead_lettered, totals.panics), (6, 3, 3));
    member.leave(Duration::from_secs(10)).await;
    for (offset, attempts) in [(0, 3), (2, 3), (4, 1)] {
        let tried = place.diary.count(|line| line.place == (0, offset) && line.what == What::Began);
        assert_eq!(tried, attempts, "offset {offset}");
    }
    let mut stories = letters(place.bootstrap(), topic, 3);
    stories.sort();
    let expected = [
        ("0", "3", "poison that fails"),
        ("2", "3", "poison that panics"),
        ("4", "1", "poison that refuses"),
    ];
    for ((offset, attempts, error), (at, tried, said)) in stories.iter().zip(expected) {
        assert_eq!((&**offset, &**attempts), (at, tried));
        assert!(error.contains(said), "{error}");
    }
}

/// Whatever a cluster took once: these are over the bounds that hold for new records.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_with_a_large_key_becomes_a_dead_letter() {
    const NAME: &str = "a_record_with_a_large_key_becomes_a_dead_letter";
    let Some(place) = Place::new(NAME, 1).await else { return };
    let topic = "large.dlq";
    place.create(topic).await;
    let large = "k".repeat(20 << 10);
    assert!(large.len() > KEY_BYTES_MAX);
    place.write(0, [large.as_str(), "ok", large.as_str()]);
    let mut setup = place.setup();
    setup.consumer.dead_letter = Some(topic.into());
    let member = place.join(1, setup, |delivery: Delivery| async move {
        match delivery.record.key.as_deref() {
            Some(b"ok") => Outcome::Ack,
            _ => Outcome::DeadLetter(Fault::new(Class::Permanent, "not with such a key")),
        }
    });
    place.until_committed(1, 3).await;
    let totals = member.snapshot().totals;
    assert_eq!((totals.acked, totals.dead_lettered), (1, 2));
    member.leave(Duration::from_secs(10)).await;
    let stories = letters(place.bootstrap(), topic, 2);
    assert_eq!(stories.iter().map(|(offset, ..)| &**offset).collect::<Vec<_>>(), ["0", "2"]);
}

/// Origin's offset, attempts and error of the first `count` records of a dead-letter topic.
fn letters(bootstrap: String, topic: &str, count: usize) -> Vec<(String, String, String)> {
    let connection = Connection::new([bootstrap]);
    let mut source =
        KafkaSource::join(&connection, "reader", &[topic], super::stage::Setup::reader()).unwrap();
    let mut stories = Vec::new();
    let since = Instant::now();
    while stories.len() < count {
        assert!(since.elapsed() < super::stage::PATIENCE, "only {stories:?}");
        let limit = Limit { records: 100, bytes: 1 << 20 };
        for event in source.poll(Duration::from_millis(100), limit).unwrap() {
            let Event::Records { batch, .. } = event else { continue };
            stories.extend(batch.records.iter().map(|fetched| {
                let of = |name| fetched.record.headers.get_str(name).unwrap().to_owned();
                (of(headers::ORIGIN_OFFSET), of(headers::ATTEMPTS), of(headers::ERROR))
            }));
        }
    }
    stories
}
