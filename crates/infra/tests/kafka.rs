//! Real brokers, spoken to with Kafka's own tools.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use seawall_infra::{Captured, KafkaCluster, KafkaError, KafkaOptions, Mechanism, kafka_or_skip};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const VERSIONS: &str = "org.apache.kafka.tools.BrokerApiVersionsCommand";

fn good(said: Captured) -> String {
    assert!(said.ok(), "{}", said.story());
    said.stdout
}

fn create(kafka: &KafkaCluster, topic: &str) {
    let servers = kafka.bootstrap();
    good(kafka.tool(TOPICS, &["--bootstrap-server", &servers, "--create", "--topic", topic]).unwrap());
}

fn produce(kafka: &KafkaCluster, topic: &str, lines: &str) {
    let args = ["--bootstrap-server", &kafka.bootstrap(), "--topic", topic];
    good(kafka.tool_with_input(PRODUCER, &args, lines.as_bytes()).unwrap());
}

fn consume(kafka: &KafkaCluster, topic: &str, records: usize) -> String {
    let servers = kafka.bootstrap();
    let records = records.to_string();
    let args = ["--bootstrap-server", &servers, "--topic", topic, "--from-beginning"];
    let bounds = ["--max-messages", &records, "--timeout-ms", "60000"];
    good(kafka.tool(CONSUMER, &[&args[..], &bounds[..]].concat()).unwrap())
}

/// A killed process is gone once its entry in /proc is, or only waits to be reaped.
fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn until_dead(pids: &[u32]) {
    for _ in 0..600 {
        if !pids.iter().copied().any(alive) {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("still alive: {pids:?}");
}

#[test]
fn one_broker_keeps_what_was_written_through_a_kill_and_leaves_nothing() {
    let name = "one_broker_keeps_what_was_written_through_a_kill_and_leaves_nothing";
    let Some(kafka) = kafka_or_skip(name, KafkaOptions::default()) else { return };
    create(&kafka, "orders");
    produce(&kafka, "orders", "one\ntwo\nthree\n");
    assert_eq!(consume(&kafka, "orders", 3), "one\ntwo\nthree\n");

    let first = kafka.pids();
    kafka.kill(1).unwrap();
    until_dead(&first);
    assert!(matches!(kafka.kill(1), Err(KafkaError::State { broker: 1, .. })));
    assert!(matches!(kafka.stop(2), Err(KafkaError::NoSuchBroker { broker: 2, brokers: 1 })));
    kafka.start_again(1).unwrap();
    assert!(matches!(kafka.start_again(1), Err(KafkaError::State { broker: 1, .. })));
    assert_eq!(consume(&kafka, "orders", 3), "one\ntwo\nthree\n");

    kafka.stop(1).unwrap();
    kafka.start_again(1).unwrap();
    produce(&kafka, "orders", "four\n");
    assert_eq!(consume(&kafka, "orders", 4), "one\ntwo\nthree\nfour\n");

    let (pids, folder) = (kafka.pids(), kafka.folder().to_owned());
    assert!(pids.iter().copied().all(alive) && pids != first && folder.is_dir());
    drop(kafka);
    assert!(!pids.iter().copied().any(alive), "a JVM is left of {pids:?}");
    assert!(!folder.exists());
}

#[test]
fn three_brokers_hold_three_copies_and_outlive_a_frozen_one() {
    let name = "three_brokers_hold_three_copies_and_outlive_a_frozen_one";
    let Some(kafka) = kafka_or_skip(name, KafkaOptions { brokers: 3, ..KafkaOptions::default() }) else {
        return;
    };
    create(&kafka, "orders");
    let servers = kafka.bootstrap();
    let described = good(
        kafka.tool(TOPICS, &["--bootstrap-server", &servers, "--describe", "--topic", "orders"]).unwrap(),
    );
    assert!(described.contains("ReplicationFactor: 3"), "{described}");
    kafka.freeze(3).unwrap();
    produce(&kafka, "orders", "one\n");
    kafka.thaw(3).unwrap();
    kafka.until_ready(3).unwrap();
    kafka.kill(2).unwrap();
    assert_eq!(consume(&kafka, "orders", 1), "one\n");
    kafka.start_again(2).unwrap();
    assert_eq!(kafka.pids().len(), 3);
}

#[test]
fn guarded_listeners_let_in_who_may_and_nobody_else() {
    let name = "guarded_listeners_let_in_who_may_and_nobody_else";
    let options = KafkaOptions { tls: true, sasl: true, acls: true, ..KafkaOptions::default() };
    let Some(kafka) = kafka_or_skip(name, options) else { return };
    create(&kafka, "orders");
    let ask = |servers: &str, config: &Path, class: &str, rest: &[&str]| {
        let config = config.display().to_string();
        let args = ["--bootstrap-server", servers, "--command-config", &config];
        kafka.tool(class, &[&args[..], rest].concat()).unwrap()
    };
    let alice = &kafka.users()[0];
    let tls = kafka.client_config(true, None).unwrap();
    good(ask(&kafka.bootstrap_tls(), &tls, VERSIONS, &[]));
    for mechanism in [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512] {
        let config = kafka.client_config(true, Some((alice, mechanism))).unwrap();
        // She is let in, and without an ACL she sees no topic.
        assert_eq!(good(ask(&kafka.bootstrap_sasl_tls(), &config, TOPICS, &["--list"])).trim(), "");
    }
    let plain = kafka.client_config(false, Some((alice, Mechanism::ScramSha256))).unwrap();
    let servers = kafka.bootstrap();
    let grant = ["--bootstrap-server", &servers, "--add", "--allow-principal", "User:alice"];
    let what = ["--operation", "Describe", "--topic", "orders"];
    good(kafka.tool("org.apache.kafka.tools.AclCommand", &[&grant[..], &what[..]].concat()).unwrap());
    assert_eq!(good(ask(&kafka.bootstrap_sasl(), &plain, TOPICS, &["--list"])).trim(), "orders");

    // The way librdkafka's `enable.sasl.oauthbearer.unsecure.jwt` goes: a token that nobody signed.
    let token = kafka.folder().join("token.properties");
    let login = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required";
    let text = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=OAUTHBEARER\nsasl.jaas.config=";
    let text = format!("{text}{login} unsecuredLoginStringClaim_sub=\"alice\";\n");
    std::fs::write(&token, text).unwrap();
    assert_eq!(good(ask(&kafka.bootstrap_sasl(), &token, TOPICS, &["--list"])).trim(), "orders");

    let mut stranger = alice.clone();
    stranger.password.push('x');
    let wrong = kafka.client_config(false, Some((&stranger, Mechanism::ScramSha256))).unwrap();
    let refused = ask(&kafka.bootstrap_sasl(), &wrong, TOPICS, &["--list"]);
    assert!(!refused.ok(), "{}", refused.story());
    assert!(refused.story().contains("SaslAuthenticationException"), "{}", refused.story());
}

const CHILD: &str = "SEAWALL_INFRA_CHILD";

/// Not a test of its own: it is the process that the next one kills.
#[test]
fn child_that_is_killed() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let kafka = KafkaCluster::start(KafkaOptions::default()).unwrap();
    let path = std::env::var(CHILD).unwrap();
    std::fs::write(format!("{path}.new"), kafka.pids()[0].to_string()).unwrap();
    std::fs::rename(format!("{path}.new"), path).unwrap();
    thread::sleep(Duration::from_mins(10));
}

#[test]
fn brokers_die_with_a_killed_process() {
    // Java and Maven are there, and Kafka is fetched.
    let name = "brokers_die_with_a_killed_process";
    let Some(kafka) = kafka_or_skip(name, KafkaOptions::default()) else { return };
    let said = kafka.folder().join("pid");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_is_killed"])
        .env(CHILD, &said)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut pid = None;
    for _ in 0..2400 {
        pid = std::fs::read_to_string(&said).ok().and_then(|text| text.parse::<u32>().ok());
        if pid.is_some() || child.try_wait().unwrap().is_some() {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    let pid = pid.expect("the child's broker came up");
    assert!(alive(pid));
    child.kill().unwrap();
    child.wait().unwrap();
    until_dead(&[pid]);
}

/// Passes connections on, counting them.
fn forward(from: TcpListener, to: SocketAddr, count: Arc<AtomicU32>) {
    for client in from.incoming() {
        let (client, server) = (client.unwrap(), TcpStream::connect(to).unwrap());
        count.fetch_add(1, Ordering::SeqCst);
        for (mut from, mut to) in
            [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
        {
            thread::spawn(move || {
                // Either side may hang up at any moment.
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
    }
}

#[test]
fn clients_of_a_proxy_are_told_to_stay_with_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = listener.local_addr().unwrap();
    let options = KafkaOptions { proxied: vec![proxy], ..KafkaOptions::default() };
    let Some(kafka) = kafka_or_skip("clients_of_a_proxy_are_told_to_stay_with_it", options) else { return };
    let (upstream, count) = (kafka.upstream(1).unwrap(), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&count);
    thread::spawn(move || forward(listener, upstream, counted));
    let said = good(kafka.tool(VERSIONS, &["--bootstrap-server", &proxy.to_string()]).unwrap());
    assert!(said.contains(&format!("{proxy} (id: 1")), "{said}");
    // One to learn the brokers' addresses, one to the broker itself.
    assert!(count.load(Ordering::SeqCst) >= 2);
}
