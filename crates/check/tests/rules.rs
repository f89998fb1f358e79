//! Each rule on a file that breaks it and on one that does not, by line.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use seawall_check::{CheckError, check_text};
use std::path::Path;

/// `rule:line` of each finding.
fn found(file: &str, text: &str) -> Vec<String> {
    let findings = check_text(Path::new(file), text).unwrap();
    for finding in &findings {
        assert!(!finding.why.is_empty() && !finding.fix.is_empty() && finding.file == file, "{finding}");
    }
    findings.iter().map(|finding| format!("{}:{}", finding.rule, finding.line)).collect()
}

#[track_caller]
fn expect(file: &str, text: &str, wanted: &[&str]) {
    assert_eq!(found(file, text), wanted, "{text}");
}

const JAVA: &str = "bootstrap.servers=a:9092\n";
const LIBRDKAFKA: &str = "metadata.broker.list=a:9092\nenable.idempotence=true\n";

#[test]
fn java_properties() {
    let cases: &[(&str, &[&str])] = &[
        ("acks=all\nenable.idempotence=true\nmax.in.flight.requests.per.connection=5", &[]),
        ("acks=1", &["kafka/acks:2"]),
        ("acks=0\nmax.in.flight.requests.per.connection=1", &["kafka/acks:2"]),
        ("acks=-1", &[]),
        ("acks=${ACKS}", &[]),
        ("buffer.memory=33554432", &[]),
        ("buffer.memory=4294967296", &["kafka/buffer-memory:2"]),
        ("enable.idempotence=false", &["kafka/in-flight-order:2"]),
        ("enable.idempotence=false\nmax.in.flight.requests.per.connection=1", &[]),
        ("acks=1\nmax.in.flight.requests.per.connection=3", &["kafka/acks:2", "kafka/in-flight-order:3"]),
        ("max.in.flight.requests.per.connection=6", &["kafka/in-flight-order:2"]),
        ("session.timeout.ms=10000", &["kafka/session-timeout:2"]),
        ("session.timeout.ms=45000\nheartbeat.interval.ms=3000", &[]),
        ("session.timeout.ms=45000\nheartbeat.interval.ms=15001", &["kafka/heartbeat-interval:3"]),
        ("heartbeat.interval.ms=4000", &["kafka/heartbeat-interval:2"]),
        (
            "session.timeout.ms=6000\nheartbeat.interval.ms=2500",
            &["kafka/session-timeout:2", "kafka/heartbeat-interval:3"],
        ),
        ("max.poll.interval.ms=60000", &["kafka/poll-interval:2"]),
        ("max.poll.interval.ms=300000", &[]),
        ("group.id=g", &["kafka/auto-commit:2"]),
        ("group.id=g\nenable.auto.commit=true", &["kafka/auto-commit:3"]),
        ("group.id=g\nenable.auto.commit=false", &[]),
        // With the new protocol the broker has the session; the poll interval is still the client's.
        (
            "enable.auto.commit=false\ngroup.protocol=consumer\nmax.poll.interval.ms=1000",
            &["kafka/poll-interval:4"],
        ),
        ("group.protocol=consumer\nsession.timeout.ms=10000", &["kafka/group-protocol:3"]),
        ("group.protocol=consumer\nheartbeat.interval.ms=9000", &["kafka/group-protocol:3"]),
        ("group.protocol=classic\nsession.timeout.ms=10000", &["kafka/session-timeout:3"]),
    ];
    for (text, wanted) in cases {
        expect("client.properties", &format!("{JAVA}{text}\n"), wanted);
    }
    // Prefixes, as Spring and Connect have them, and a later line wins.
    expect("application.properties", "spring.kafka.producer.acks=1\n", &["kafka/acks:1"]);
    expect("client.properties", "acks=1\nacks=all\n", &[]);
}

#[test]
fn librdkafka_properties() {
    let cases: &[(&str, &[&str])] = &[
        ("queue.buffering.max.kbytes=65536", &[]),
        ("queue.buffering.max.kbytes=1048576", &["kafka/buffer-memory:3"]),
        ("queue.buffering.max.messages=0", &["kafka/buffer-memory:3"]),
        ("queue.buffering.max.messages=100000", &[]),
        ("go.delivery.reports=false", &["kafka/delivery-callback:3"]),
        ("request.required.acks=1", &["kafka/acks:3"]),
        ("group.id=g\nenable.auto.commit=true\nenable.auto.offset.store=false", &[]),
        ("group.id=g\nenable.auto.commit=true", &["kafka/auto-commit:4"]),
    ];
    for (text, wanted) in cases {
        expect("client.conf", &format!("{LIBRDKAFKA}{text}\n"), wanted);
    }
    let bare = "metadata.broker.list=a:9092\n";
    expect("client.conf", &format!("{bare}linger.ms=5\n"), &["kafka/in-flight-order:2"]);
    expect("client.conf", &format!("{bare}linger.ms=5\nmax.in.flight=1\n"), &[]);
    expect("client.conf", &format!("{bare}max.in.flight=5\n"), &["kafka/in-flight-order:2"]);
    // Transactions turn idempotence on.
    expect("client.conf", &format!("{bare}transactional.id=x\nmax.in.flight=5\n"), &[]);
    expect(
        "client.conf",
        &format!("{bare}transactional.id=x\nmax.in.flight=6\n"),
        &["kafka/in-flight-order:3"],
    );
    expect("client.conf", &format!("{bare}transactional.id=\n"), &["kafka/in-flight-order:2"]);
}

#[test]
fn yaml_of_the_go_clients_and_of_spring() {
    let sarama = "sarama:\n  Net:\n    MaxOpenRequests: 5\n  Producer:\n    RequiredAcks: WaitForLocal\n    \
                  Idempotent: false\n    Return:\n      Errors: false\n  Consumer:\n    Return:\n      Errors: \
                  false\n    Group:\n      Session:\n        Timeout: 10s\n      Heartbeat:\n        Interval: \
                  5000000000\n";
    let wanted = [
        "kafka/in-flight-order:3",
        "kafka/acks:5",
        "kafka/delivery-callback:8",
        "kafka/session-timeout:14",
        "kafka/heartbeat-interval:16",
    ];
    expect("sarama.yaml", sarama, &wanted);
    let kafka_go = "name: api\nsession_timeout: 30m\nkafka:\n  brokers: [a:9092]\n  RequiredAcks: none\n  Async: \
                    true\n  SessionTimeout: 30s\n";
    expect("app.yml", kafka_go, &["kafka/acks:5", "kafka/delivery-callback:6", "kafka/session-timeout:7"]);
    let franz = "seed_brokers: [a:9092]\nmax_buffered_bytes: 1GiB\nsession_timeout: 45s\ndisable_idempotent_write: \
                 true\nmax_produce_requests_inflight_per_broker: 1\n";
    expect("kgo.yaml", franz, &["kafka/buffer-memory:2"]);
    let spring = "spring:\n  kafka:\n    consumer:\n      enable-auto-commit: true\n      properties:\n        \
                  session.timeout.ms: 10000\n        group.protocol: consumer\n";
    expect("application.yml", spring, &["kafka/auto-commit:4", "kafka/group-protocol:6"]);
    // Each item of a list is a client of its own.
    let two =
        "kafka:\n  - {brokers: a, group.protocol: consumer}\n  - {brokers: b, session.timeout.ms: 9000}\n";
    expect("two.yaml", two, &["kafka/session-timeout:3"]);
}

#[test]
fn each_prefix_is_a_client_of_its_own() {
    let order = "kafka/in-flight-order:4";
    let cases: &[(&str, &[&str])] = &[
        ("mp.messaging.outgoing.orders.acks=1\nmp.messaging.outgoing.audit.acks=all", &["kafka/acks:1"]),
        ("A.producer.acks=1\nB.producer.acks=all", &["kafka/acks:1"]),
        ("A.producer.acks=all\nB.producer.acks=1", &["kafka/acks:2"]),
        ("spring.kafka.producer.acks=1\nspring.kafka.producer.properties.acks=all", &[]),
        // What an outer prefix sets is judged with each inner one, and told once.
        (
            "k.brokers=a\nk.acks=all\nk.x.acks=1\nk.x.max.in.flight.requests.per.connection=3\nk.y.linger.ms=5",
            &["kafka/acks:3", order],
        ),
        (
            "kafka.heartbeat.interval.ms=5000\nkafka.a.max.poll.interval.ms=300000\nkafka.b.acks=all",
            &["kafka/heartbeat-interval:1"],
        ),
        ("bootstrap.servers=a\ngroup.id=g\nconsumer.enable.auto.commit=false\nproducer.acks=all", &[]),
        (
            "kafka.enable.idempotence=false\nkafka.producer.max.in.flight.requests.per.connection=1\n\
             kafka.consumer.group.id=g\nkafka.consumer.enable.auto.commit=false",
            &[],
        ),
        // A consumer has nothing of what is a producer's alone.
        (
            "kafka.statistics.interval.ms=5\nkafka.max.in.flight=5\nkafka.enable.idempotence=true\n\
             kafka.consumer.enable.auto.commit=false",
            &[],
        ),
        // An outer one whose value all inner ones replace is a client itself, as a Connect worker is.
        ("session.timeout.ms=10000\nconsumer.session.timeout.ms=45000", &["kafka/session-timeout:1"]),
    ];
    for (text, wanted) in cases {
        expect("application.properties", &format!("{text}\n"), wanted);
    }
    let yaml = "kafka: {orders: {acks: 1}, audit: {acks: all}}\n";
    expect("app.yaml", yaml, &["kafka/acks:1"]);
    let sarama = "sarama:\n  Net: {MaxOpenRequests: 5}\n  Producer: {Idempotent: true}\n";
    expect("sarama.yaml", sarama, &[]);
    let mixed = "kafka:\n  producer: {queue.buffering.max.ms: 5}\n  consumer: {group.id: g}\n";
    expect("app.yaml", mixed, &["kafka/in-flight-order:2", "kafka/auto-commit:3"]);
}

#[test]
fn only_kafkas_own_consumer_commits_by_default() {
    let worker = "bootstrap.servers=a:9092\ngroup.id=connect-cluster\nconfig.storage.topic=c\n";
    for text in [
        "spring.kafka.consumer.group-id=g\n",
        "mp.messaging.incoming.orders.group.id=g\n",
        "kafka.bootstrap.servers=a:9092\nkafka.group.id=g\n",
        worker,
    ] {
        expect("application.properties", text, &[]);
    }
    expect(
        "worker.properties",
        &format!("{worker}consumer.enable.auto.commit=true\n"),
        &["kafka/auto-commit:4"],
    );
    for text in ["consumer.group.id=g", "group.id=g\nconsumer.heartbeat.interval.ms=3000"] {
        expect("client.properties", &format!("{JAVA}{text}\n"), &["kafka/auto-commit:2"]);
    }
    // What is set is judged, whoever set it.
    let set = "spring.kafka.consumer.group-id=g\nspring.kafka.consumer.enable-auto-commit=true\n";
    expect("application.properties", set, &["kafka/auto-commit:2"]);
}

#[test]
fn settings_of_others_are_no_clients() {
    let others = [
        "server.servlet.session.timeout=20s",
        "quarkus.log.console.async=true",
        "group.consumer.heartbeat.interval.ms=5000",
        "group.min.session.timeout.ms=6000",
        "zookeeper.session.timeout.ms=18000",
    ];
    for other in others {
        let error = check_text(Path::new("a.properties"), other).unwrap_err();
        assert!(matches!(error, CheckError::UnknownKind { .. }), "{other}: {error}");
        expect("a.properties", &format!("{JAVA}{other}\n"), &[]);
    }
    let both =
        "spring.kafka.consumer.properties.session.timeout.ms=10000\nserver.servlet.session.timeout=30m\n";
    expect("application.properties", both, &["kafka/session-timeout:1"]);
    // What names brokers is a client, whatever it is called.
    let named = "orders.bootstrap.servers=a:9092\norders.acks=1\norders.audit.acks=0\n";
    expect("app.properties", named, &["kafka/acks:2", "kafka/acks:3"]);
    expect("app.properties", "kafka.acks=all\nlogging.debug=true\nkafka.linger.ms=5\n", &[]);
}

fn rules(expr: &str) -> String {
    format!("groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: '{expr}'\n")
}

#[test]
fn lag_keeps_its_partition() {
    for expr in [
        "kafka_consumer_lag > 10",
        "max by (group, topic, partition) (kafka_consumer_lag) > 10",
        "sum without (client_id) (kafka_consumergroup_lag)",
        "topk(5, kafka_consumer_lag)",
        "count by (group) (kafka_consumer_lag > 1000)",
        "sum(rate(http_requests_total[5m]))",
        "deriv(kafka_consumer_lag[10m]) > 0",
        "kafka_consumer_lag * on (group) group_left (team) owner",
        "kafka_consumer_lag and on (group) up",
        "up and on (group) kafka_consumer_lag",
        "absent(kafka_consumer_lag)",
        "increase(kafka_consumer_lag_sample_failures_total[5m])",
        "kafka_consumer_lag / ignoring (client_id) other",
    ] {
        expect("rules.yml", &rules(expr), &[]);
    }
    for expr in [
        "sum(kafka_consumer_lag)",
        "sum by (group) (kafka_consumer_lag)",
        "avg by (group, topic) (kafka_consumer_lag_seconds)",
        "max by (group) (kafka_consumer_lag)",
        "sum without (partition) (kafka_consumergroup_lag)",
        "quantile(0.99, kafka_consumer_fetch_manager_records_lag)",
        "histogram_quantile(0.9, sum by (le) (kafka_consumer_lag))",
        "100 * max_over_time(sum by (topic) (kafka_consumer_lag)[5m:1m]) > 5",
        "sum({__name__=\"kafka_consumer_lag\"})",
        "kafka_consumer_lag / on (group) limit_of_group",
        "limit_of_group - ignoring (partition) kafka_consumer_lag",
        "label_replace(kafka_consumer_lag, \"partition\", \"all\", \"\", \"\")",
        "scalar(kafka_consumer_lag)",
        "kafka_consumergroup_lag_sum > 5",
        "up or sum(kafka_consumer_lag)",
    ] {
        expect("rules.yml", &rules(expr), &["prometheus/lag-without-partition:5"]);
    }
    // Once lost, it is told once.
    expect(
        "r.yml",
        &rules("sum(avg by (group) (kafka_consumer_lag))"),
        &["prometheus/lag-without-partition:5"],
    );
    let operator = "kind: PrometheusRule\nspec:\n  groups:\n    - rules:\n        - record: x\n          expr: |\n            \
                    sum(kafka_consumer_lag)\n";
    assert_eq!(found("operator.yaml", operator).len(), 1);
}

#[test]
fn dashboards_are_read_to_their_last_row() {
    let board = "{\"panels\": [\n{\"type\": \"row\", \"panels\": [{\"targets\": [\n{\"expr\": \
                 \"sum(rate(kafka_consumer_lag{group=~\\\"$group\\\"}[$__rate_interval]))\"}]}]},\n{\"targets\": \
                 [{\"expr\": \"max(kafka_consumer_lag{topic=\\\"$topic\\\"}[$window])\"}]}\n]}";
    // A range inside an aggregation is a mistake of the query, told as one.
    let error = check_text(Path::new("board.json"), board).unwrap_err();
    assert!(error.to_string().starts_with("board.json:4: not PromQL"), "{error}");
    let board = board.replace("[$window]", "");
    let rule = "prometheus/lag-without-partition";
    assert_eq!(found("board.json", &board), [format!("{rule}:3"), format!("{rule}:4")]);
}

#[test]
fn what_asks_no_prometheus_is_passed_over() {
    let lag = r#"{"expr": "sum(kafka_consumer_lag)"}"#;
    let lost = |line: usize| format!("prometheus/lag-without-partition:{line}");
    let loki = r#"{"datasource": {"type": "loki"}, "expr": "{app=\"orders\"} |= \"error\""}"#;
    let board = format!("{{\"panels\": [\n{{\"targets\": [{lag}]}},\n{{\"targets\": [{loki}]}}]}}");
    assert_eq!(found("board.json", &board), [lost(2)]);
    // A target without a data source asks its panel's, and one of its own comes first; a row's is nobody's.
    let own = r#"{"datasource": {"type": "prometheus"}, "expr": "max(kafka_consumer_lag)"}"#;
    let mixed = r#""datasource": {"type": "loki"}, "targets": [{"expr": "{app=\"a\"} |= \"b\""},"#;
    let managed = r#""datasource": {"type": "grafana-amazonprometheus-datasource"}"#;
    let board = format!(
        "{{\"panels\": [\n{{{mixed}\n{own}]}},\n{{\"datasource\": {{\"type\": \"datasource\"}}, \"targets\": [], \
         \"panels\": [\n{{\"targets\": [{lag}]}},\n{{{managed}, \"targets\": [{lag}]}}]}}]}}"
    );
    assert_eq!(found("board.json", &board), [lost(3), lost(5), lost(6)]);
}

#[test]
fn variables_are_filled_in_or_passed_over() {
    let board = |expr: &str| format!("{{\"panels\": [{{\"targets\": [{{\"expr\": \"{expr}\"}}]}}]}}");
    for expr in
        ["topk($n, kafka_consumer_lag)", "sum by (${by}) (kafka_consumer_lag)", "$query", "up{a=`\\\\`} > $n"]
    {
        assert_eq!(found("board.json", &board(expr)), [""; 0], "{expr}");
    }
    for expr in [
        "sum(kafka_consumer_lag) / $__interval_ms",
        "sum(delta(kafka_consumer_lag[${__range_s}s])) / $__range_s",
        "sum(delta(kafka_consumer_lag[$__range])) / $__range_ms",
        "sum(rate(kafka_consumer_lag[$__rate_interval])) / ${__rate_interval_ms}",
    ] {
        assert_eq!(found("board.json", &board(expr)), ["prometheus/lag-without-partition:1"], "{expr}");
    }
    // In quotes it is text, and what is filled in cannot be what is wrong.
    for expr in ["up{a='it\\\\'s $x'", "sum(up[$__interval]", "sum(up[$window]"] {
        let error = check_text(Path::new("board.json"), &board(expr)).unwrap_err().to_string();
        assert!(error.starts_with("board.json:1: not PromQL"), "{expr}: {error}");
    }
}

#[test]
fn a_query_that_is_wrong_hides_no_findings() {
    let all = ["sum(", "sum(kafka_consumer_lag)", "max by", "up", "max(kafka_consumer_lag)"];
    let targets: Vec<_> = all.iter().map(|expr| format!("{{\"expr\": \"{expr}\"}}")).collect();
    let board = format!("{{\"panels\": [{{\"targets\": [\n{}]}}]}}", targets.join(",\n"));
    let error = check_text(Path::new("board.json"), &board).unwrap_err();
    let told = error.to_string();
    assert!(
        told.starts_with("board.json:2: not PromQL") && told.contains("\nboard.json:4: not PromQL"),
        "{told}"
    );
    let CheckError::Partly { findings, problems } = error else { panic!("{error}") };
    let places: Vec<_> = findings.iter().map(|finding| (finding.file.as_str(), finding.line)).collect();
    assert_eq!((places, problems.len()), (vec![("board.json", 3), ("board.json", 6)], 2));
}

#[test]
fn a_file_of_no_known_kind_is_no_clean_bill() {
    let error = |file: &str, text: &str| check_text(Path::new(file), text).unwrap_err();
    for (file, text) in [
        ("log4j.properties", "rootLogger=INFO\n"),
        ("deployment.yaml", "kind: Deployment\nspec: {replicas: 3}\n"),
        ("package.json", "{\"name\": \"x\"}"),
        ("notes", "Dear all,\n"),
        ("empty.yaml", ""),
    ] {
        let error = error(file, text);
        assert!(matches!(error, CheckError::UnknownKind { .. }), "{file}: {error}");
        assert!(error.to_string().contains(file) && error.to_string().contains("dashboards"), "{error}");
    }
    assert!(error("a.yaml", "a: [1\n").to_string().starts_with("a.yaml:"));
    assert!(error("rules.yml", &rules("sum(")).to_string().starts_with("rules.yml:5: not PromQL"));
    let missing = seawall_check::check(Path::new("/no/such/file.yaml")).unwrap_err();
    assert!(matches!(missing, CheckError::Read { .. }), "{missing}");
    // Without an ending the content tells.
    assert_eq!(found("consumer", "bootstrap.servers=a\nacks=1\n"), ["kafka/acks:2"]);
    assert_eq!(found("rules", &rules("sum(kafka_consumer_lag)")).len(), 1);
}
