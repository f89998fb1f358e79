//! Long waits in a topic of their own.

use crate::stage::broker::Broker;
use crate::stage::{Stage, TokioClock, keyed, options, orders};
use crate::transient;
use seawall_consumer::dead_letter::Provenance;
use seawall_consumer::{ConsumerOptions, NoStore, Ordering, RetryTopic, retry};
use seawall_core::handler::HandlerFn;
use seawall_core::{Class, Clock, Delivery, Fault, Handler, Outcome, TopicPartition};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LOCK: &str = "no panic under this lock";

/// Waits of half a minute at least go to the topic `later`; the first one is 30 to 60 s, the second twice that.
fn with_retry_topic() -> ConsumerOptions {
    let mut options = ConsumerOptions { ordering: Ordering::Unordered, ..options() };
    (options.retry.base, options.retry.max) = (Duration::from_mins(1), Duration::from_mins(10));
    (options.retry.attempts_max, options.retry.total_max) = (5, None);
    options.retry_topics = vec![RetryTopic { after: Duration::from_secs(30), topic: Arc::from("later") }];
    options
}

fn later() -> TopicPartition {
    TopicPartition::new("later", 0)
}

/// A call of the handler: of which record, which attempt, with which token, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    origin: (TopicPartition, u64),
    attempt: u32,
    token: String,
    second: u64,
}

#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<Call>>>);

impl Calls {
    fn all(&self) -> Vec<Call> {
        self.0.lock().expect(LOCK).clone()
    }

    /// A handler that fails the record `bad` until its attempt `good_from`, and tells of its calls.
    fn handler(&self, good_from: u32, fault: fn() -> Fault, clock: &Arc<dyn Clock>) -> impl Handler + use<> {
        let (calls, clock) = (self.clone(), Arc::clone(clock));
        HandlerFn(move |delivery: Delivery| {
            let bad = &delivery.record.value[..] == b"bad";
            if bad {
                calls.0.lock().expect(LOCK).push(Call {
                    origin: (delivery.origin.clone(), delivery.offset),
                    attempt: delivery.attempt,
                    token: delivery.token().to_string(),
                    second: clock.now().0 / 1_000_000_000,
                });
            }
            let outcome =
                if bad && delivery.attempt < good_from { Outcome::Retry(fault()) } else { Outcome::Ack };
            async { outcome }
        })
    }
}

fn start(broker: &Broker, handler: impl Handler, clock: &Arc<dyn Clock>, options: ConsumerOptions) -> Stage {
    Stage::start_at(options, broker, handler, None::<Arc<NoStore>>, 100, 7, Arc::clone(clock))
}

/// Ten records of which the fifth is bad.
fn filled() -> Broker {
    let broker = Broker::default();
    for n in 0..10 {
        broker.produce(&orders(), keyed(format!("k{n}"), if n == 4 { "bad" } else { "good" }));
    }
    broker
}

/// Hands what was sent to `later` to its partition. How many records that were.
fn deliver(stage: &Stage) -> usize {
    let mut taken = stage.letters.taken.lock().expect(LOCK);
    let (sent, kept) = taken.drain(..).partition::<Vec<_>, _>(|sent| *sent.topic == *"later");
    *taken = kept;
    let count = sent.len();
    for sent in sent {
        stage.broker.produce(&later(), sent.record);
    }
    count
}

#[tokio::test(start_paused = true)]
async fn a_long_wait_frees_the_partition_and_the_record_comes_back_when_it_is_due() {
    let (broker, calls, clock) = (filled(), Calls::default(), TokioClock::shared());
    let stage = start(&broker, calls.handler(3, transient, &clock), &clock, with_retry_topic());
    broker.assign(&orders());
    broker.assign(&later());
    let deferred = |count| move |snapshot: &seawall_consumer::Snapshot| snapshot.totals.deferred == count;
    let snapshot = stage.until("deferred", deferred(1)).await;
    let ledger = snapshot.partitions.iter().find(|p| p.partition == orders()).unwrap().ledger;
    assert_eq!((ledger.acked, ledger.deferred, ledger.parked), (9, 1, 0));
    stage.until("committed", |_| stage.committed(&orders()) == 10).await;

    assert_eq!(deliver(&stage), 1);
    stage.until("parked", |snapshot| snapshot.lanes.parked == 1).await;
    stage.until("deferred again", deferred(2)).await;
    assert_eq!(deliver(&stage), 1);
    stage.until_done().await;

    let calls = calls.all();
    assert_eq!(calls.iter().map(|call| call.attempt).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(
        calls.iter().all(|call| call.origin == (orders(), 4) && call.token == calls[0].token),
        "{calls:?}"
    );
    let waits = [calls[1].second - calls[0].second, calls[2].second - calls[1].second];
    assert!((30..=60).contains(&waits[0]) && (60..=120).contains(&waits[1]), "{waits:?}");
    let totals = stage.running.snapshot().totals;
    assert_eq!((totals.fetched, totals.acked, totals.deferred, totals.dead_lettered), (12, 10, 2, 0));
    let last = &broker.state().topics[&later()].log[&1];
    assert!(last.headers.get(retry::DUE_MS).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_out_of_a_retry_topic_tells_where_it_came_from_first() {
    let (broker, calls, clock) = (filled(), Calls::default(), TokioClock::shared());
    let mut options = with_retry_topic();
    options.retry.attempts_max = 2;
    let stage = start(&broker, calls.handler(9, transient, &clock), &clock, options);
    broker.assign(&orders());
    broker.assign(&later());
    stage.until("deferred", |snapshot| snapshot.totals.deferred == 1).await;
    deliver(&stage);
    stage.until("dead", |snapshot| snapshot.totals.dead_lettered == 1).await;
    let letters = stage.letters.taken.lock().unwrap();
    let record = &letters[0].record;
    let story = Provenance::from_record(record).unwrap();
    assert_eq!((story.origin, story.offset, story.attempts), (orders(), 4, 2));
    assert!(
        story.last_failed.0 - story.first_failed.0 >= 30_000,
        "{} {}",
        story.first_failed,
        story.last_failed
    );
    assert!(record.headers.get(retry::DUE_MS).is_none());
    assert_eq!(story.token.to_string(), calls.all()[0].token);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_the_retry_topic_does_not_take_waits_where_it_is() {
    let (broker, calls, clock) = (filled(), Calls::default(), TokioClock::shared());
    let stage = start(&broker, calls.handler(2, transient, &clock), &clock, with_retry_topic());
    stage.letters.refuse.store(1, SeqCst);
    broker.assign(&orders());
    let snapshot = stage.until("parked", |snapshot| snapshot.lanes.parked == 1).await;
    assert_eq!((snapshot.totals.acked, snapshot.totals.deferred), (9, 0));
    stage.until_done().await;
    let calls = calls.all();
    assert_eq!((calls.len(), calls[1].attempt), (2, 2));
    assert!((30..=60).contains(&(calls[1].second - calls[0].second)), "{calls:?}");
    assert_eq!(stage.running.snapshot().totals.deferred, 0);
}

/// The test 19 of the fault list, for a record that has left its handler and is not yet in the other topic.
#[tokio::test(start_paused = true)]
async fn test_19_what_is_on_its_way_to_a_retry_topic_is_waited_for() {
    let (broker, calls, clock) = (filled(), Calls::default(), TokioClock::shared());
    let stage = start(&broker, calls.handler(2, transient, &clock), &clock, with_retry_topic());
    stage.letters.delay.store(5_000, SeqCst);
    broker.assign(&orders());
    stage.until("handled", |snapshot| snapshot.totals.acked == 9 && snapshot.handlers == 0).await;
    broker.revoke(&orders());
    stage.until("released", |snapshot| snapshot.partitions.is_empty()).await;
    assert_eq!((stage.committed(&orders()), deliver(&stage)), (10, 1), "it is settled and committed");

    broker.assign(&orders());
    broker.assign(&later());
    stage.until_done().await;
    let attempts: Vec<_> = calls.all().iter().map(|call| call.attempt).collect();
    assert_eq!(attempts, [1, 2], "it comes from the retry topic alone");
}

/// The same where the other topic takes longer than a drain may.
#[tokio::test(start_paused = true)]
async fn test_19_what_a_retry_topic_takes_too_late_is_handled_again_and_settles_nothing() {
    let (broker, calls, clock) = (filled(), Calls::default(), TokioClock::shared());
    let stage = start(&broker, calls.handler(2, transient, &clock), &clock, with_retry_topic());
    let bound = with_retry_topic().revoke_bound;
    stage.letters.delay.store(2 * bound.as_millis() as u64, SeqCst);
    broker.assign(&orders());
    stage.until("handled", |snapshot| snapshot.totals.acked == 9 && snapshot.handlers == 0).await;
    broker.revoke(&orders());
    let since = clock.now();
    stage.until("released", |snapshot| snapshot.partitions.is_empty()).await;
    assert!(clock.now().since(since) <= bound + Duration::from_secs(1), "the group does not wait longer");
    assert_eq!(stage.committed(&orders()), 4, "what is not confirmed is not committed");

    // The next owner handles it again, and again it takes the way to the retry topic; the first answer comes meanwhile.
    broker.assign(&orders());
    stage.until("handled again", |_| calls.all().len() == 2).await;
    stage.until("the first is there", |_| stage.letters.taken.lock().expect(LOCK).len() == 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let snapshot = stage.running.snapshot();
    assert_eq!(
        (snapshot.totals.deferred, stage.committed(&orders())),
        (0, 4),
        "an end that came too late is none"
    );
    stage.until("deferred", |snapshot| snapshot.totals.deferred == 1).await;
    stage.until("committed", |_| stage.committed(&orders()) == 10).await;
    assert_eq!(deliver(&stage), 2);
    broker.assign(&later());
    stage.until("both", |snapshot| snapshot.partitions.len() == 2).await;
    stage.until_done().await;
    let calls = calls.all();
    let known = |call: &Call| call.origin == (orders(), 4) && call.token == calls[0].token;
    assert!(calls.iter().all(known), "every repeat is recognised: {calls:?}");
    assert_eq!(calls.iter().map(|call| call.attempt).collect::<Vec<_>>(), [1, 1, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn overload_waits_in_its_partition_however_long() {
    let overloaded = || Fault::new(Class::Overload, "busy").after(Duration::from_mins(5));
    let (broker, calls, clock) = (filled(), Calls::default(), TokioClock::shared());
    let stage = start(&broker, calls.handler(2, overloaded, &clock), &clock, with_retry_topic());
    broker.assign(&orders());
    stage.until("parked", |snapshot| snapshot.lanes.parked == 1).await;
    tokio::time::sleep(Duration::from_mins(4)).await;
    let snapshot = stage.running.snapshot();
    assert_eq!((snapshot.totals.acked, snapshot.totals.deferred, snapshot.lanes.parked), (9, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_restart_shortens_no_wait_and_forgets_no_attempt() {
    let (broker, calls, clock) = (filled(), Calls::default(), TokioClock::shared());
    let first = start(&broker, calls.handler(2, transient, &clock), &clock, with_retry_topic());
    broker.assign(&orders());
    broker.assign(&later());
    first.until("deferred", |snapshot| snapshot.totals.deferred == 1).await;
    deliver(&first);
    first.until("parked", |snapshot| snapshot.lanes.parked == 1).await;
    let report = first.running.drain(Duration::from_secs(1)).await;
    assert_eq!(report.left.iter().map(|left| left.parked).sum::<u64>(), 1, "{report:?}");

    let second = start(&broker, calls.handler(2, transient, &clock), &clock, with_retry_topic());
    broker.assign(&orders());
    broker.assign(&later());
    second.until_done().await;
    let calls = calls.all();
    assert_eq!(calls.iter().map(|call| call.attempt).collect::<Vec<_>>(), [1, 2]);
    assert!((30..=60).contains(&(calls[1].second - calls[0].second)), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_somebody_else_put_into_a_retry_topic_is_handled_at_once() {
    let (broker, calls, clock) = (Broker::default(), Calls::default(), TokioClock::shared());
    let stage = start(&broker, calls.handler(1, transient, &clock), &clock, with_retry_topic());
    broker.produce(&later(), keyed("k", "bad"));
    let mut unreadable = keyed("k", "bad");
    unreadable.headers.push(seawall_core::Header::new(retry::DUE_MS, "soon"));
    broker.produce(&later(), unreadable);
    broker.assign(&later());
    stage.until_done().await;
    let calls = calls.all();
    let seen = calls.iter().map(|call| (call.origin.clone(), call.attempt, call.second)).collect::<Vec<_>>();
    assert_eq!(seen, [((later(), 0), 1, 0), ((later(), 1), 1, 0)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_long_due_comes_back_as_fast_as_the_retry_budget_allows() {
    let (broker, calls, clock) = (Broker::default(), Calls::default(), TokioClock::shared());
    for n in 0..12 {
        broker.produce(&orders(), keyed(format!("k{n}"), "bad"));
    }
    let first = start(&broker, calls.handler(2, transient, &clock), &clock, with_retry_topic());
    broker.assign(&orders());
    first.until("deferred", |snapshot| snapshot.totals.deferred == 12).await;
    deliver(&first);
    first.running.drain(Duration::from_secs(1)).await;
    tokio::time::sleep(Duration::from_hours(1)).await;

    let mut options = with_retry_topic();
    options.retry.budget = Some(seawall_guard::RetryBudgetOptions {
        ratio: 0.0,
        per_second_min: 2,
        window: Duration::from_secs(1),
    });
    options.retry.base = Duration::from_millis(100);
    let second = start(&broker, calls.handler(2, transient, &clock), &clock, options);
    broker.assign(&later());
    second.until("all is done", |snapshot| snapshot.totals.acked == 12).await;
    let again: Vec<u64> =
        calls.all().iter().filter(|call| call.attempt == 2).map(|call| call.second).collect();
    let took = again.last().unwrap() - again.first().unwrap();
    assert!((2..=10).contains(&took), "{again:?}");
}
