//! One real broker for all tests of this program, and members of its groups.

use super::diary::Diary;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use seawall_consumer::{Consumer, ConsumerOptions, DrainReport, Driver, NoStore, Running, Snapshot};
use seawall_core::handler::HandlerFn;
use seawall_core::{Clock, Delivery, Offset, Outcome, SystemClock, TopicPartition};
use seawall_guard::{ConcurrencyOptions, Guard, GuardOptions};
use seawall_infra::{FaultProxy, KafkaCluster, KafkaOptions, kafka_behind_proxies_or_skip};
use seawall_kafka::admin::NewTopic;
use seawall_kafka::{Admin, Connection, KafkaSink, KafkaSource, SinkOptions, SourceOptions};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long anything is waited for on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
/// The shortest that a group allows by Kafka's defaults.
pub(crate) const SESSION: Duration = Duration::from_secs(6);

/// The shared broker and the proxy in front of it; it dies with the process.
fn kafka(test: &str) -> Option<&'static (KafkaCluster, Vec<FaultProxy>)> {
    static CLUSTER: OnceLock<Option<(KafkaCluster, Vec<FaultProxy>)>> = OnceLock::new();
    let start = || {
        // What members say; by default their errors.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
        kafka_behind_proxies_or_skip(test, KafkaOptions::default(), 1)
    };
    let cluster = CLUSTER.get_or_init(start).as_ref();
    if cluster.is_none() {
        println!("SKIP {test}: no Kafka: java or mvn is missing");
    }
    cluster
}

/// The proxy and the address by which a member stays behind it. One test uses it.
pub(crate) fn proxied() -> (&'static FaultProxy, String) {
    let (kafka, proxies) = kafka("proxied").unwrap();
    (&proxies[0], kafka.bootstrap_proxied())
}

/// How a member differs from the others.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) consumer: ConsumerOptions,
    pub(crate) source: SourceOptions,
    /// Handlers at once.
    pub(crate) limit: u32,
    pub(crate) bootstrap: String,
}

impl Setup {
    /// How a test reads a topic by itself.
    pub(crate) fn reader() -> SourceOptions {
        SourceOptions { session_timeout: SESSION, ..SourceOptions::default() }
    }
}

/// A topic, a group of its name, and what happened there.
pub(crate) struct Place {
    pub(crate) name: &'static str,
    pub(crate) diary: Diary,
    bootstrap: String,
    admin: Admin,
    seeds: AtomicU64,
}

impl Place {
    /// A topic called `name`; none where the machine has no Kafka.
    pub(crate) async fn new(name: &'static str, partitions: u32) -> Option<Self> {
        let (kafka, _) = tokio::task::block_in_place(|| kafka(name))?;
        let place = Self::existing(name, &kafka.bootstrap());
        place.admin.create_topic(&NewTopic::new(name, partitions)).await.unwrap();
        Some(place)
    }

    /// The same in another process than its broker's.
    pub(crate) fn existing(name: &'static str, bootstrap: &str) -> Self {
        let admin = Admin::open(&Connection::new([bootstrap]), Duration::from_mins(1)).unwrap();
        let (bootstrap, seeds) = (bootstrap.to_owned(), AtomicU64::new(1));
        Self { name, diary: Diary::default(), bootstrap, admin, seeds }
    }

    pub(crate) async fn create(&self, topic: &str) {
        self.admin.create_topic(&NewTopic::new(topic, 1)).await.unwrap();
    }

    pub(crate) fn setup(&self) -> Setup {
        let consumer = ConsumerOptions { workers: 2, dead_letter: None, ..ConsumerOptions::new(self.name) };
        let source = SourceOptions { session_timeout: SESSION, ..SourceOptions::default() };
        Setup { consumer, source, limit: 64, bootstrap: self.bootstrap.clone() }
    }

    /// Writes records with the keys given to one partition.
    pub(crate) fn write<'a>(&self, partition: u32, keys: impl IntoIterator<Item = &'a str>) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap.clone());
        let producer: BaseProducer =
            config.set("enable.idempotence", "true").set("linger.ms", "5").create().unwrap();
        for key in keys {
            let record = BaseRecord::<str, str>::to(self.name).partition(partition as i32).key(key);
            producer.send(record.payload("value")).unwrap();
            producer.poll(Duration::ZERO);
        }
        producer.flush(Duration::from_mins(1)).unwrap();
    }

    /// `count` records over seven keys to each of the first `partitions`.
    pub(crate) fn fill(&self, partitions: u32, count: usize) {
        for partition in 0..partitions {
            self.write(partition, ["a", "b", "c", "d", "e", "f", "g"].into_iter().cycle().take(count));
        }
    }

    /// A member of the group whose handlers do `behave` and say so in the diary.
    pub(crate) fn join<F, Fut>(&self, member: u32, setup: Setup, behave: F) -> Member
    where
        F: Fn(Delivery) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send,
    {
        let seed = self.seeds.fetch_add(1, Ordering::SeqCst);
        let mut connection = Connection::new([setup.bootstrap]);
        connection.properties.insert("heartbeat.interval.ms".to_owned(), "500".to_owned());
        let source = tokio::task::block_in_place(|| {
            KafkaSource::join(&connection, self.name, &[self.name], setup.source).unwrap()
        });
        let letters = KafkaSink::open(&connection_to_sink(&connection), &SinkOptions::default()).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let concurrency = ConcurrencyOptions { limit: setup.limit, ..ConcurrencyOptions::default() };
        let guard = GuardOptions { concurrency, ..GuardOptions::default() };
        let guard = Arc::new(Guard::new(guard, Arc::clone(&clock), seed).unwrap());
        let diary = self.diary.clone();
        let behave = Arc::new(behave);
        let handler = HandlerFn(move |delivery: Delivery| {
            let open = diary.begin(member, &delivery);
            let behave = Arc::clone(&behave);
            async move {
                let outcome = behave(delivery).await;
                open.end(&outcome);
                outcome
            }
        });
        let store = None::<Arc<NoStore>>;
        let driver = Driver::Thread;
        let running =
            Consumer::start(setup.consumer, source, handler, store, guard, letters, clock, seed, driver);
        Member { number: member, running: running.unwrap() }
    }

    /// What the group has committed for a partition.
    pub(crate) async fn committed(&self, partition: u32) -> Option<Offset> {
        self.position(partition).await.map(|(offset, _)| offset)
    }

    /// The same with its metadata.
    pub(crate) async fn position(&self, partition: u32) -> Option<(Offset, String)> {
        let kafka = self.bootstrap.clone();
        let (topic, group) = (self.name, self.name);
        tokio::task::spawn_blocking(move || {
            use rdkafka::consumer::{BaseConsumer, Consumer};
            let mut config = ClientConfig::new();
            let reader: BaseConsumer =
                config.set("bootstrap.servers", kafka).set("group.id", group).create().unwrap();
            let mut list = rdkafka::TopicPartitionList::new();
            list.add_partition(topic, partition as i32);
            let list = reader.committed_offsets(list, Duration::from_mins(1)).unwrap();
            let element = &list.elements()[0];
            match element.offset() {
                rdkafka::Offset::Offset(at) => Some((at as u64, element.metadata().to_owned())),
                _ => None,
            }
        })
        .await
        .unwrap()
    }

    /// Waits until the group has committed `offset` for each of the first `partitions`.
    pub(crate) async fn until_committed(&self, partitions: u32, offset: Offset) {
        let since = Instant::now();
        for partition in 0..partitions {
            while self.committed(partition).await != Some(offset) {
                let found = self.committed(partition).await;
                assert!(since.elapsed() < PATIENCE, "partition {partition} is at {found:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    pub(crate) fn bootstrap(&self) -> String {
        self.bootstrap.clone()
    }
}

/// A producer refuses what only consumers know.
fn connection_to_sink(connection: &Connection) -> Connection {
    Connection::new(connection.bootstrap.clone())
}

/// A running member.
pub(crate) struct Member {
    pub(crate) number: u32,
    pub(crate) running: Running,
}

impl Member {
    pub(crate) fn snapshot(&self) -> Snapshot {
        let snapshot = self.running.snapshot();
        for partition in &snapshot.partitions {
            assert_eq!(partition.ledger.imbalance(), 0, "member {}: {:?}", self.number, partition.ledger);
        }
        snapshot
    }

    /// Partitions and the generations under which they are held.
    pub(crate) fn holds(&self) -> Vec<(u32, u64)> {
        self.snapshot().partitions.iter().map(|held| (held.partition.partition, held.generation.0)).collect()
    }

    pub(crate) async fn until_holds(&self, count: usize) -> Vec<u32> {
        let what = format!("member {} holds {count} partitions", self.number);
        until(&what, || {
            let snapshot = self.snapshot();
            snapshot.partitions.len() == count && snapshot.partitions.iter().all(|held| !held.revoking)
        })
        .await;
        self.holds().into_iter().map(|(partition, _)| partition).collect()
    }

    /// Drains it within `bound`, which is to commit.
    pub(crate) async fn leave(self, bound: Duration) -> DrainReport {
        let report = self.running.drain(bound).await;
        assert!(report.commit_failed.is_none(), "member {}: {:?}", self.number, report.commit_failed);
        report
    }
}

/// A partition of `place`.
pub(crate) fn partition(place: &Place, number: u32) -> TopicPartition {
    TopicPartition::new(place.name, number)
}

/// Waits until `is` says so.
pub(crate) async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is() {
        assert!(since.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) async fn ms(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
