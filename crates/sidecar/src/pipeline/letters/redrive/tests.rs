use super::*;
use crate::destination::Destination;
use crate::pipeline::letters::LetterId;
use seawall_core::{Clock, Fetched, Limit, SystemClock, Token, TopicPartition, WallMs};
use seawall_log::{Broker, BrokerOptions, Driver, TopicOptions};
use seawall_wal::RealDisk;

/// When the records of these tests were written first.
const WRITTEN: WallMs = WallMs(1_700_000_000_000);

struct House {
    letters: Arc<Letters>,
    broker: Broker,
    clock: Arc<SystemClock>,
    _dir: tempfile::TempDir,
}

impl House {
    /// A log with so many letters.
    async fn with(count: u64) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Arc::new(SystemClock::new());
        let options = BrokerOptions::new(dir.path());
        let (broker, _) = Broker::open(RealDisk, options, clock.clone(), Driver::Thread).expect("open");
        for topic in ["orders", "orders.dlq"] {
            broker.create_topic(topic, TopicOptions::partitions(1)).expect("made");
        }
        let place = Destination::Log(broker.clone());
        let letters = Letters::open(&place, "orders", "orders.dlq", clock.clone()).expect("open");
        let house = Self { letters, broker, clock, _dir: dir };
        for offset in 0..count {
            house.bury(offset).await;
        }
        house
    }

    async fn bury(&self, offset: u64) {
        let mut record = Record { timestamp: WRITTEN, ..Record::new(None, "order") };
        let story = Provenance {
            error: "never".into(),
            class: Class::Permanent,
            attempts: 1,
            first_failed: WRITTEN,
            last_failed: WRITTEN,
            origin: TopicPartition::new("orders", 0),
            offset,
            token: token(offset),
            pipeline: "orders".into(),
        };
        story.bury(&mut record, self.clock.wall());
        let sent =
            self.broker.send(vec![Outgoing { topic: "orders.dlq".into(), partition: Some(0), record }]);
        assert!(sent.await.iter().all(Result::is_ok));
    }

    fn redriven(&self) -> Vec<Fetched> {
        self.broker.fetch("orders", 0, 0, Limit { records: 100, bytes: 1 << 20 }).expect("read").records
    }

    async fn redrive(&self, choice: Choice) -> Progress {
        self.letters.redrive(choice, 1_000).expect("none is under way");
        while self.letters.progress().running {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.letters.progress()
    }
}

fn token(offset: u64) -> Token {
    Token::of_origin("orders", 0, offset, WRITTEN)
}

fn id(offset: u64) -> LetterId {
    LetterId { partition: 0, offset }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redriven_record_is_of_now_and_the_same_event() {
    let house = House::with(1).await;
    let before = house.clock.wall();
    assert_eq!(house.redrive(Choice::All).await.redriven, 1);
    let redriven = house.redriven();
    let record = &redriven[0].record;
    assert!(record.timestamp >= before, "or the topic takes it for too old to be kept: {}", record.timestamp);
    assert_eq!(record.headers.get_str(TIME), Some("2023-11-14T22:13:20Z"));
    assert_eq!(record.headers.get_str(TOKEN_HEADER), Some(token(0).as_str()));
    assert!(record.headers.iter().all(|header| !header.name().starts_with("seawall-dlq-")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_that_is_purged_while_it_waits_is_not_sent_back() {
    let house = House::with(3).await;
    let waiting = [0, 1, 2].map(|n| house.letters.get(id(n)).expect("read").expect("there")).to_vec();
    assert_eq!(house.letters.purge(&Choice::Ids(vec![id(1)])).expect("purged"), 1);
    house.letters.send_back(waiting).await.expect("sent");
    let redriven = house.redriven();
    let tokens: Vec<_> = redriven.iter().map(|f| f.record.headers.get_str(TOKEN_HEADER).unwrap()).collect();
    assert_eq!(tokens, [token(0).as_str(), token(2).as_str()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_that_is_named_twice_is_sent_back_once() {
    let house = House::with(2).await;
    let progress = house.redrive(Choice::Ids(vec![id(1), id(0), id(1)])).await;
    assert_eq!((progress.count, progress.redriven, progress.failed), (2, 2, 0));
    assert_eq!(house.redriven().len(), 2);
}

#[tokio::test]
async fn a_pace_that_was_held_up_does_not_hurry() {
    let (mut pace, per_tick) = pace(20);
    assert_eq!(per_tick, 2);
    pace.tick().await;
    tokio::time::sleep(TICK * 4).await;
    let late = tokio::time::Instant::now();
    pace.tick().await;
    pace.tick().await;
    assert!(late.elapsed() >= TICK, "{:?}", late.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_that_broke_off_says_so() {
    let house = House::with(2).await;
    let whole = house.redrive(Choice::Ids(vec![id(0)])).await;
    assert_eq!((whole.ended_early, whole.error), (false, None));
    house.broker.close().expect("closed");
    let broken = house.redrive(Choice::All).await;
    assert!(broken.ended_early && broken.error.is_some(), "{broken:?}");
}
