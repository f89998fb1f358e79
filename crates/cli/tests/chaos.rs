//! Three real brokers, four real `seawall run` processes, and everything that goes wrong: brokers and members killed,
//! frozen and restarted, connections cut, delayed, swallowed and robbed of answers, partitions added, the group never
//! at rest. What is checked is what Jepsen's Kafka workload checks: no acknowledged write is lost, a key's order is
//! kept, polls go forward, and a record that is delivered twice was in flight at a fault, or finished and not yet
//! committed by the brokers' own log, and carries the token of the first time.
//!
//! Two minutes; ten with `SEAWALL_SOAK=1`. The seed is printed and `SEAWALL_SEED=n` plays the same faults again, as
//! far as real brokers and processes allow. A kind of fault that hit nothing fails the test: it would say nothing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test may panic, waits, and says what it measured"
)]
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "the house is shared by test binaries, not published"
)]

#[path = "chaos/checker.rs"]
mod checker;
#[path = "chaos/commits.rs"]
mod commits;
#[path = "chaos/faults.rs"]
mod faults;
mod house;
#[path = "chaos/load.rs"]
mod load;
#[path = "chaos/member.rs"]
mod member;
#[path = "chaos/service.rs"]
mod service;

use checker::Checker;
use faults::Plan;
use member::Place;
use seawall_core::TopicPartition;
use seawall_infra::{KafkaOptions, kafka_behind_proxies_or_skip};
use seawall_kafka::admin::NewTopic;
use seawall_kafka::{Admin, Connection};
use service::Service;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TOPIC: &str = "chaos";
const GROUP: &str = "chaos";
const PARTITIONS: u32 = 4;
/// How long the group may need after the last fault.
const SETTLE: Duration = Duration::from_mins(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn brokers_and_members_die_and_no_record_is_lost() {
    const NAME: &str = "brokers_and_members_die_and_no_record_is_lost";
    let soak = std::env::var_os("SEAWALL_SOAK").is_some();
    let length = Duration::from_mins(if soak { 10 } else { 2 });
    let seed =
        std::env::var("SEAWALL_SEED").ok().map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("chaos for {length:?}: SEAWALL_SEED={seed}");
    let options = KafkaOptions { brokers: 3, ..KafkaOptions::default() };
    let started = tokio::task::block_in_place(|| kafka_behind_proxies_or_skip(NAME, options, seed));
    let Some((kafka, proxies)) = started else { return };
    let (kafka, proxies) = (Arc::new(kafka), Arc::new(proxies));
    let admin = Admin::open(&Connection::new([kafka.bootstrap()]), Duration::from_mins(1)).unwrap();
    admin.create_topic(&NewTopic::new(TOPIC, PARTITIONS)).await.unwrap();

    let service = Service::start(seed).await;
    let load = load::start(kafka.bootstrap_proxied());
    let homes = tempfile::tempdir().unwrap();
    let place = Place { bootstrap: kafka.bootstrap_proxied(), service: service.address() };
    let plan =
        Plan::new(seed, length, Arc::clone(&kafka), Arc::clone(&proxies), place, homes.path().to_owned());
    let (mut members, events) = tokio::task::spawn_blocking(move || plan.play()).await.unwrap();
    println!("faults: {events}");
    let written = load.stop().await;

    let total = admin.topic(TOPIC).await.unwrap().unwrap().partitions.len() as u32;
    let partitions: Vec<_> = (0..total).map(|number| TopicPartition::new(TOPIC, number)).collect();
    let since = Instant::now();
    loop {
        let spans = admin.spans(&partitions).await.unwrap();
        let committed = admin.committed(GROUP, &partitions).await.unwrap();
        let behind = |at: &&TopicPartition| spans[*at].end > committed.get(*at).copied().unwrap_or_default();
        let behind: Vec<_> = partitions.iter().filter(behind).collect();
        if behind.is_empty() {
            break;
        }
        assert!(since.elapsed() < SETTLE, "stuck: {behind:?} at {committed:?} of {spans:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let settled = since.elapsed();
    tokio::task::block_in_place(|| members.stop_all());
    let commits = tokio::task::block_in_place(|| commits::read(&kafka.bootstrap()));
    let verdict = Checker::new(&written, &service.deliveries(), &events, &commits).check();
    println!("{} acknowledged writes, settled after {settled:.1?}: {verdict}", written.acked.len());
    verdict.assert_good(seed);
    events.assert_all_hit(&proxies);
}
