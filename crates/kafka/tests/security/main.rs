//! TLS, SCRAM and tokens, in a build that has them (`cargo xtask test kafka-tls`).

#![cfg(any(feature = "tls", feature = "tls-vendored"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may panic, and waits"
)]

mod token;

use seawall_core::{Class, Classify, Event, Limit, Outgoing, Record, Sink, Source};
use seawall_infra::{KafkaCluster, KafkaOptions, kafka_or_skip};
use seawall_kafka::admin::NewTopic;
use seawall_kafka::{Admin, Connection, KafkaSink, KafkaSource, SinkOptions, SourceOptions};
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_secs(20);

fn connection(servers: String, settings: &[(&str, &str)]) -> Connection {
    let mut connection = Connection::new([servers]);
    for (name, value) in settings {
        connection.secrets.insert((*name).to_owned(), (*value).to_owned().into());
    }
    connection
}

/// Makes a topic, writes a record and reads it, all over `connection`.
async fn carries(connection: &Connection, topic: &str) {
    let admin = Admin::open(connection, WAIT).unwrap();
    admin.ensure_topic(&NewTopic::new(topic, 1)).await.unwrap();
    sends(&KafkaSink::open(connection, &SinkOptions::default()).unwrap(), topic).await;
    tokio::task::block_in_place(|| receives(connection, topic));
}

async fn sends(sink: &KafkaSink, topic: &str) {
    let outgoing = Outgoing { topic: topic.into(), partition: Some(0), record: Record::new(None, "secret") };
    let sent = sink.send(vec![outgoing]).await.remove(0);
    assert!(sent.is_ok(), "{topic}: {sent:?}");
}

fn receives(connection: &Connection, topic: &str) {
    let mut source = KafkaSource::join(connection, topic, &[topic], SourceOptions::default()).unwrap();
    let since = Instant::now();
    loop {
        assert!(since.elapsed() < Duration::from_mins(1), "{topic}: nothing arrives");
        let events = source.poll(Duration::from_millis(100), Limit { records: 9, bytes: 1 << 20 }).unwrap();
        if events.iter().any(|event| matches!(event, Event::Records { .. })) {
            return;
        }
    }
}

fn kafka(test: &str) -> Option<KafkaCluster> {
    kafka_or_skip(test, KafkaOptions { tls: true, sasl: true, ..KafkaOptions::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_every_mechanism_carry_admin_sink_and_source() {
    let Some(kafka) = kafka("tls_and_every_mechanism_carry_admin_sink_and_source") else { return };
    let ca = kafka.ca_path().display().to_string();
    let tls = [("security.protocol", "ssl"), ("ssl.ca.location", ca.as_str())];
    carries(&connection(kafka.bootstrap_tls(), &tls), "over-tls").await;
    let login = [("sasl.username", "alice"), ("sasl.password", "alice-secret")];
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let open = [("security.protocol", "sasl_plaintext"), ("sasl.mechanism", mechanism)];
        carries(
            &connection(kafka.bootstrap_sasl(), &[&open[..], &login].concat()),
            &format!("open-{mechanism}"),
        )
        .await;
        let sealed = [
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", mechanism),
            ("ssl.ca.location", ca.as_str()),
        ];
        let sealed = connection(kafka.bootstrap_sasl_tls(), &[&sealed[..], &login].concat());
        carries(&sealed, &format!("sealed-{mechanism}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tls_and_scram_refuse_is_named() {
    let Some(kafka) = kafka("what_tls_and_scram_refuse_is_named") else { return };
    let ask = |connection: Connection| async move {
        Admin::open(&connection, Duration::from_secs(5)).unwrap().topics().await.unwrap_err()
    };
    // Nobody vouches for the broker's certificate.
    let stranger = ask(connection(kafka.bootstrap_tls(), &[("security.protocol", "ssl")])).await;
    assert_eq!(stranger.class(), Class::Permanent, "{stranger}");
    assert!(stranger.to_string().contains("certificate"), "{stranger}");
    let wrong = [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "SCRAM-SHA-256"),
        ("sasl.username", "alice"),
        ("sasl.password", "never-to-be-seen"),
    ];
    let wrong = ask(connection(kafka.bootstrap_sasl(), &wrong)).await;
    assert_eq!(wrong.class(), Class::Permanent, "{wrong}");
    assert!(
        wrong.to_string().contains("Authentication") && !format!("{wrong:?}").contains("never-to-be-seen")
    );
}
