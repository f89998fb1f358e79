//! OAUTHBEARER: a token that lies in a file.

use super::{WAIT, connection, receives, sends};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use seawall_core::{Class, Classify, Clock, Limit, SystemClock, TopicPartition};
use seawall_infra::{KafkaCluster, KafkaOptions, kafka_or_skip};
use seawall_kafka::admin::NewTopic;
use seawall_kafka::lag::{LagMonitor, LagOptions};
use seawall_kafka::{Admin, Bookmark, Connection, KafkaError, KafkaSink, Reader, SinkOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A broker whose sessions end with their token.
fn kafka(test: &str) -> Option<KafkaCluster> {
    let ends = ("listener.name.sasl.oauthbearer.connections.max.reauth.ms".to_owned(), "3600000".to_owned());
    kafka_or_skip(test, KafkaOptions { sasl: true, settings: vec![ends], ..KafkaOptions::default() })
}

fn login(servers: String, file: &Path) -> Connection {
    let url = format!("file://{}", file.display());
    connection(
        servers,
        &[
            ("security.protocol", "sasl_plaintext"),
            ("sasl.mechanism", "OAUTHBEARER"),
            ("sasl.oauthbearer.token.endpoint.url", &url),
        ],
    )
}

/// A token for `sub` that ends `seconds` from now; the brokers of tests take those that nobody signed.
fn jwt(algorithm: &str, sub: &str, seconds: i64) -> String {
    let part = |json: String| BASE64_URL_SAFE_NO_PAD.encode(json);
    let now = SystemClock::new().wall().0 / 1000;
    let header = part(format!(r#"{{"alg":"{algorithm}"}}"#));
    let claims = part(format!(r#"{{"sub":"{sub}","iat":{now},"exp":{}}}"#, now + seconds));
    let signature = if algorithm == "none" { String::new() } else { part("never-to-be-seen".to_owned()) };
    format!("{header}.{claims}.{signature}")
}

/// Replaces the file whole, as those do that keep tokens.
fn hand_over(file: &Path, token: &str) {
    let mut next = tempfile::NamedTempFile::new_in(file.parent().unwrap()).unwrap();
    next.write_all(token.as_bytes()).unwrap();
    next.persist(file).unwrap();
}

async fn topic(kafka: &KafkaCluster, name: &str) {
    let admin = Admin::open(&Connection::new([kafka.bootstrap()]), WAIT).unwrap();
    admin.ensure_topic(&NewTopic::new(name, 1)).await.unwrap();
}

/// All that this program logs, of every level, the client's own words among them.
fn logged() -> Arc<Mutex<Vec<u8>>> {
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&log);
    let lines = move || Log(Arc::clone(&lines));
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(lines).init();
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_carries_every_client_and_shows_nowhere() {
    let Some(kafka) = kafka("a_token_carries_every_client_and_shows_nowhere") else { return };
    let log = logged();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let mut connection = login(kafka.bootstrap_sasl(), &file);
    connection.properties.insert("debug".to_owned(), "all".to_owned());
    topic(&kafka, "t").await;

    let missing = Admin::open(&connection, WAIT).unwrap().topics().await.unwrap_err();
    assert!(matches!(missing, KafkaError::Token(_)) && missing.class() == Class::Transient, "{missing}");

    let token = jwt("none", "alice", 600);
    hand_over(&file, &token);
    let admin = Admin::open(&connection, WAIT).unwrap();
    assert_eq!(admin.ensure_topic(&NewTopic::new("t", 1)).await.unwrap().partitions.len(), 1);
    let making = admin.create_topic(&NewTopic::new("new", 1)).await.unwrap_err();
    assert!(matches!(making, KafkaError::ChangeWithToken { .. }), "{making}");
    let sink = KafkaSink::open(&connection, &SinkOptions::default()).unwrap();
    sends(&sink, "t").await;
    tokio::task::block_in_place(|| {
        receives(&connection, "t");
        let at = TopicPartition::new("t", 0);
        let mut bookmark = Bookmark::open(&connection, "marks", WAIT).unwrap();
        assert!(bookmark.read(std::slice::from_ref(&at)).unwrap().is_empty());
        let mut reader = Reader::open(&connection, WAIT);
        let read = reader.read(&at, 0, 1, Limit { records: 1, bytes: 1 << 20 }).unwrap();
        assert_eq!(read.records.len(), 1);
        let mut lag = LagMonitor::open(&connection, LagOptions::default()).unwrap();
        assert!(lag.sample(&SystemClock::new()).unwrap().unread.is_empty());
    });

    // The broker of a test refuses what is signed. The client says so once, among whatever else it says.
    let refused = jwt("HS256", "alice", 600);
    hand_over(&file, &refused);
    connection.properties.remove("debug");
    let asking = Admin::open(&connection, Duration::from_secs(5)).unwrap();
    let refusal = asking.topics().await.unwrap_err();
    assert_eq!(refusal.class(), Class::Permanent, "{refusal}");
    assert!(refusal.to_string().contains("Authentication"), "{refusal}");

    let shown = format!("{connection:?} {missing:?} {making:?} {refusal} {refusal:?} {sink:?}");
    let log = String::from_utf8_lossy(&log.lock().unwrap()).into_owned();
    assert!(log.contains("OAUTHBEARER"), "the client's own words are there");
    for token in [token, refused] {
        let claims = token.split('.').nth(1).unwrap();
        assert!(!shown.contains(claims), "{shown}");
        assert!(!log.contains(claims), "{:?}", log.lines().find(|line| line.contains(claims)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_read_again_before_it_ends() {
    let Some(kafka) = kafka("a_token_is_read_again_before_it_ends") else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let clock = SystemClock::new();
    topic(&kafka, "t").await;
    hand_over(&file, &jwt("none", "alice", 8));
    let over = clock.wall().0 + 9_000;
    let connection = login(kafka.bootstrap_sasl(), &file);
    let sink = KafkaSink::open(&connection, &SinkOptions::default()).unwrap();
    // It is asked at both ends, and hears nothing between.
    let admin = Admin::open(&connection, WAIT).unwrap();
    assert_eq!(admin.topics().await.unwrap().len(), 1);
    sends(&sink, "t").await;
    hand_over(&file, &jwt("none", "alice", 600));
    while clock.wall().0 < over {
        sends(&sink, "t").await;
    }
    assert_eq!(admin.topics().await.unwrap().len(), 1);
    tokio::task::block_in_place(|| receives(&connection, "t"));
}
