//! Who one is, and what one may.

use super::stage::{
    PATIENCE, admin, assigned, commit_half, create, create_narrow, deny, fill, grant, kafka, open, plain,
    record, says, send, sink, source, until, written,
};
use seawall_core::{Class, Commit, Event, Limit, Position, Sink, Source, SystemClock, TopicPartition};
use seawall_kafka::admin::NewTopic;
use seawall_kafka::lag::{Filter, LagMonitor, LagOptions};
use seawall_kafka::{Bookmark, Connection, KafkaError, Reader};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_bootstrap_is_named_and_waited_for() {
    let nowhere = Connection::new(["127.0.0.1:1"]);
    let error = admin(&nowhere).topics().await.unwrap_err();
    says(&error, Class::Transient, &["listing topics", "bootstrap addresses"]);
    let error = tokio::task::block_in_place(|| source(&nowhere, "g", "t")).unwrap_err();
    says(&error, Class::Transient, &["looking for topic t", "bootstrap addresses"]);
    let fault = send(&sink(&nowhere), "t", "v").await.unwrap_err();
    says(&fault, Class::Transient, &["a record for t/0", "too late"]);
    let error = admin(&Connection::new(["no-such-host.invalid:9092"])).topics().await.unwrap_err();
    says(&error, Class::Transient, &["bootstrap addresses"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_end_it_with_the_brokers_words_and_without_the_password() {
    const PASSWORD: &str = "never-to-be-seen";
    let Some(kafka) = kafka("wrong_credentials_end_it") else { return };
    create(kafka, "credentials").await;
    let wrong = plain(kafka, "alice", PASSWORD);
    let words = ["Authentication", "Invalid username or password", "check the user name, the password"];
    let admin = admin(&wrong);
    let listing = admin.topics().await.unwrap_err();
    let making = admin.create_topic(&NewTopic::new("x", 1)).await.unwrap_err();
    let groups = admin.groups().await.unwrap_err();
    let committed = admin.committed("g", &[TopicPartition::new("credentials", 0)]).await.unwrap_err();
    let joining = tokio::task::block_in_place(|| source(&wrong, "g", "credentials")).unwrap_err();
    for (error, doing) in [
        (listing, "listing topics"),
        (making, "creating topic x"),
        (groups, "listing groups"),
        (committed, "the committed offsets of group g"),
        (joining, "looking for topic credentials"),
    ] {
        says(&error, Class::Permanent, &[doing]);
        says(&error, Class::Permanent, &words);
        assert!(!format!("{error} {error:?}").contains(PASSWORD));
    }
    let fault = send(&sink(&wrong), "credentials", "v").await.unwrap_err();
    says(&fault, Class::Permanent, &["a record for credentials/0"]);
    says(&fault, Class::Permanent, &words);
    assert!(!format!("{wrong:?} {fault} {fault:?}").contains(PASSWORD));
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_without_tls_carries_admin_sink_and_source() {
    let Some(kafka) = kafka("plain_without_tls_carries_admin_sink_and_source") else { return };
    create(kafka, "alices").await;
    for operation in ["Read", "Write", "Describe"] {
        grant(kafka, "alice", operation, &["--topic", "alices"]);
    }
    grant(kafka, "alice", "Read", &["--group", "alices"]);
    let alice = plain(kafka, "alice", "alice-secret");
    let seen = admin(&alice).topics().await.unwrap();
    assert_eq!(seen.iter().map(|topic| &*topic.name).collect::<Vec<_>>(), ["alices"]);
    written(&sink(&alice), "alices", "hers").await;
    tokio::task::block_in_place(|| {
        let mut source = source(&alice, "alices", "alices").unwrap();
        until(&mut source, "her record arrives", |event| match event {
            Event::Records { batch, .. } => &batch.records[0].record.value[..] == b"hers",
            _ => false,
        });
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_named_and_nothing_waits_for_it() {
    let Some(kafka) = kafka("a_missing_topic_is_named_and_nothing_waits_for_it") else { return };
    let mut connection = open(kafka);
    connection.properties.insert("topic.metadata.propagation.max.ms".to_owned(), "500".to_owned());
    let fault = send(&sink(&connection), "no-such-topic", "v").await.unwrap_err();
    says(&fault, Class::Permanent, &["no-such-topic", "create it"]);
    let error = tokio::task::block_in_place(|| source(&open(kafka), "g", "no-such-topic")).unwrap_err();
    says(&error, Class::Permanent, &["looking for topic no-such-topic", "create it"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_missing_acl_is_named_with_what_it_is_for() {
    let Some(kafka) = kafka("each_missing_acl_is_named_with_what_it_is_for") else { return };
    create(kafka, "guarded").await;
    fill(kafka, "guarded", 3).await;
    let bob = plain(kafka, "bob", "bob-secret");
    let join = |group: &'static str| {
        let bob = bob.clone();
        tokio::task::block_in_place(move || source(&bob, group, "guarded"))
    };
    says(
        &join("bobs").unwrap_err(),
        Class::Permanent,
        &["looking for topic guarded", "TopicAuthorizationFailed", "ACL it needs on the topic"],
    );
    let error = admin(&bob).create_topic(&NewTopic::new("bobs", 1)).await.unwrap_err();
    says(
        &error,
        Class::Permanent,
        &["creating topic bobs", "AuthorizationFailed", "grant this user the ACL"],
    );

    grant(kafka, "bob", "Read", &["--topic", "guarded"]);
    // Who may write nowhere gets no number for an idempotent producer.
    let bobs = sink(&bob);
    let fault = send(&bobs, "guarded", "v").await.unwrap_err();
    says(&fault, Class::Permanent, &["guarded", "ClusterAuthorizationFailed", "IdempotentWrite", "Write on"]);
    grant(kafka, "bob", "Write", &["--topic", "elsewhere"]);
    // Its client failed for good; the sink has another one.
    let fault = send(&bobs, "guarded", "v").await.unwrap_err();
    says(&fault, Class::Permanent, &["guarded", "TopicAuthorizationFailed", "Write"]);

    let error = admin(&bob).topic_settings("guarded").await.unwrap_err();
    let doing = "reading the settings of topic guarded";
    says(&error, Class::Permanent, &[doing, "TopicAuthorizationFailed", "DescribeConfigs"]);
    grant(kafka, "bob", "DescribeConfigs", &["--topic", "guarded"]);
    let settings = admin(&bob).topic_settings("guarded").await.unwrap();
    assert_eq!(settings.get("cleanup.policy").map(String::as_str), Some("delete"), "{settings:?}");

    tokio::task::block_in_place(|| {
        let mut source = join("bobs").unwrap();
        let since = Instant::now();
        let fault = loop {
            assert!(since.elapsed() < PATIENCE, "the missing ACL on the group is never told");
            match source.poll(Duration::from_millis(100), super::stage::LIMIT) {
                Err(fault) => break fault,
                Ok(events) => assert!(events.is_empty(), "{events:?}"),
            }
        };
        says(
            &fault,
            Class::Permanent,
            &["group bobs", "GroupAuthorizationFailed", "ACL Read on the consumer group"],
        );
    });
    grant(kafka, "bob", "Read", &["--group", "bobs"]);
    tokio::task::block_in_place(|| {
        let mut source = join("bobs").unwrap();
        until(&mut source, "with all rights records arrive", |event| matches!(event, Event::Records { .. }));
    });
}

/// Its client looks for the coordinator of a group all the same, and is told that it may not.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_needs_no_right_on_any_group() {
    let Some(kafka) = kafka("a_reader_needs_no_right_on_any_group") else { return };
    admin(&open(kafka)).create_topic(&NewTopic::new("read-only", 2)).await.unwrap();
    let writer = sink(&open(kafka));
    for partition in 0..2 {
        let mut one = record("read-only", "v");
        one.partition = Some(partition);
        assert!(writer.send(vec![one.clone(), one]).await.iter().all(Result::is_ok));
    }
    for operation in ["Read", "Describe"] {
        grant(kafka, "carol", operation, &["--topic", "read-only"]);
    }
    let carol = plain(kafka, "carol", "carol-secret");
    tokio::task::block_in_place(|| {
        let mut reader = Reader::open(&carol, PATIENCE);
        let limit = Limit { records: 1, ..super::stage::LIMIT };
        for (partition, from) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            let read = reader.read(&TopicPartition::new("read-only", partition), from, 2, limit).unwrap();
            assert_eq!(super::stage::offsets(&read), [from], "partition {partition}");
            // Long enough for the answer about the group.
            std::thread::sleep(Duration::from_millis(700));
        }
    });
}

/// A topic that may be described and not read never answers, and comes first by its name.
#[tokio::test(flavor = "multi_thread")]
async fn the_lag_in_seconds_of_a_topic_is_known_although_another_may_not_be_read() {
    let Some(kafka) = kafka("the_lag_in_seconds_of_a_topic_is_known_although_another_may_not_be_read") else {
        return;
    };
    let topics = ["lag-closed", "lag-open"];
    for topic in topics {
        create(kafka, topic).await;
        fill(kafka, topic, 3).await;
        grant(kafka, "carol", "Describe", &["--topic", topic]);
    }
    grant(kafka, "carol", "Read", &["--topic", "lag-open"]);
    grant(kafka, "carol", "Describe", &["--group", "lagging"]);
    tokio::task::block_in_place(|| {
        let position =
            |topic| (TopicPartition::new(topic, 0), Position { watermark: 1, ..Position::default() });
        let mut bookmark = Bookmark::open(&open(kafka), "lagging", PATIENCE).unwrap();
        bookmark.write(&topics.map(position)).unwrap();
        let options =
            LagOptions { groups: Filter::new("group", "lagging").unwrap(), ..LagOptions::default() };
        let mut monitor = LagMonitor::open(&plain(kafka, "carol", "carol-secret"), options).unwrap();
        for _ in 0..2 {
            let sample = monitor.sample(&SystemClock::new()).unwrap();
            let known: Vec<_> =
                sample.partitions.iter().map(|row| (&*row.topic, row.lag, row.seconds.is_some())).collect();
            assert_eq!(known, [("lag-closed", 2, false), ("lag-open", 2, true)]);
        }
    });
}

/// What is settled beyond the committed offset has nowhere to go; the offset itself has.
#[tokio::test(flavor = "multi_thread")]
async fn without_rights_on_the_topic_of_positions_the_offset_is_committed_alone() {
    let name = "without_rights_on_the_topic_of_positions_the_offset_is_committed_alone";
    let Some(kafka) = kafka(name) else { return };
    create(kafka, "halves").await;
    for operation in ["Read", "Describe"] {
        grant(kafka, "carol", operation, &["--topic", "halves"]);
    }
    grant(kafka, "carol", "Read", &["--group", "halves"]);
    fill(kafka, "halves", 10).await;
    let carol = plain(kafka, "carol", "carol-secret");
    let position = tokio::task::block_in_place(|| commit_half(&carol, "halves", 30_000)).unwrap();
    assert!(position.beyond.len() > 3_100, "it would fit into the metadata");
    let halves = [TopicPartition::new("halves", 0)];
    let committed = admin(&open(kafka)).committed("halves", &halves).await.unwrap();
    assert_eq!(committed.get(&halves[0]), Some(&5), "{committed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_broker_takes_less_metadata_the_offset_is_committed_alone() {
    let Some(kafka) = kafka("where_the_broker_takes_less_metadata_the_offset_is_committed_alone") else {
        return;
    };
    create(kafka, "short").await;
    let position = tokio::task::block_in_place(|| commit_half(&open(kafka), "short", 20_000)).unwrap();
    assert!((1_600..3_000).contains(&position.beyond.len()), "{}", position.beyond.len());
    let short = [TopicPartition::new("short", 0)];
    let committed = admin(&open(kafka)).committed("short", &short).await.unwrap();
    assert_eq!(committed.get(&short[0]), Some(&5), "{committed:?}");
}

/// Rights that are taken away while a member commits: nobody took its partition, and no commit will be taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_refused_for_good_ends_the_source_and_says_why() {
    let Some(kafka) = kafka("a_commit_that_is_refused_for_good_ends_the_source_and_says_why") else { return };
    create(kafka, "taken").await;
    for operation in ["Read", "Describe"] {
        grant(kafka, "carol", operation, &["--topic", "taken"]);
    }
    grant(kafka, "carol", "Read", &["--group", "taken"]);
    fill(kafka, "taken", 10).await;
    let partition = TopicPartition::new("taken", 0);
    let carol = plain(kafka, "carol", "carol-secret");
    tokio::task::block_in_place(|| {
        let mut source = source(&carol, "taken", "taken").unwrap();
        let generation = assigned(&mut source);
        deny(kafka, "carol", "Read", &["--topic", "taken"]);
        let position = Position { watermark: 3, ..Position::default() };
        let commit = Commit { partition, generation, position };
        let since = Instant::now();
        let refused = loop {
            assert!(since.elapsed() < PATIENCE, "the commit is taken without rights");
            match source.commit(std::slice::from_ref(&commit)) {
                Err(fault) if fault.class() == Class::Permanent => break fault,
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        let words = ["committing 1 positions of group taken", "TopicAuthorizationFailed", "ACL it needs"];
        says(&refused, Class::Permanent, &words);
        let polled = source.poll(Duration::ZERO, super::stage::LIMIT).unwrap_err();
        says(&polled, Class::Permanent, &words);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_over_the_size_limit_fails_alone() {
    let Some(kafka) = kafka("a_record_over_the_size_limit_fails_alone") else { return };
    create_narrow(kafka, "small", 2_000).await;
    let sink = sink(&open(kafka));
    let large: String = (0..5_000).map(|_| fastrand::alphanumeric()).collect();
    // The broker takes or refuses whole batches: alone in its batch it harms nobody.
    let fault = send(&sink, "small", &large).await.unwrap_err();
    says(&fault, Class::Permanent, &["small/0", "MessageSizeTooLarge", "max.message.bytes"]);
    written(&sink, "small", "fits").await;
    let huge = vec![b'x'; 2 << 20];
    let answers = sink.send(vec![record("small", huge), record("small", "fits, too")]).await;
    says(answers[0].as_ref().unwrap_err(), Class::Permanent, &["small", "make the record smaller"]);
    assert!(answers[1].is_ok(), "{answers:?}");
}

#[test]
fn settings_that_this_build_cannot_do_are_refused_by_name_and_secrets_stay_hidden() {
    let with = |settings: &[(&str, &str)]| {
        let mut connection = Connection::new(["127.0.0.1:1"]);
        for (name, value) in settings {
            connection.secrets.insert((*name).to_owned(), (*value).to_owned().into());
        }
        seawall_kafka::Admin::open(&connection, Duration::from_secs(1)).err()
    };
    let login = [("sasl.username", "u"), ("sasl.password", "p")];
    let plain = [("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "PLAIN")];
    assert!(with(&[plain, login].concat()).is_none());
    let tls = cfg!(any(feature = "tls", feature = "tls-vendored"));
    for settings in [
        &[("security.protocol", "SSL")][..],
        &[("security.protocol", "sasl_ssl"), ("sasl.mechanism", "PLAIN")],
        &[("security.protocol", "sasl_plaintext"), ("sasl.mechanisms", "SCRAM-SHA-512")],
    ] {
        let error = with(&[settings, &login].concat());
        assert_eq!(error.is_none(), tls, "{settings:?}: {error:?}");
        if let Some(error) = error {
            assert!(matches!(error, KafkaError::WithoutTls { .. }), "{error:?}");
            says(&error, Class::Permanent, &["--features tls", "which needs TLS"]);
        }
    }
    for settings in [&[("security.protocol", "sasl_plaintext")][..], &[("sasl.mechanism", "GSSAPI")]] {
        says(&with(settings).unwrap(), Class::Permanent, &["PLAIN, SCRAM-SHA-256", "OAUTHBEARER"]);
    }
    let url = "sasl.oauthbearer.token.endpoint.url";
    for more in [
        None,
        Some((url, "https://idp/token")),
        Some((url, "/token")),
        Some(("sasl.oauthbearer.method", "oidc")),
        Some(("enable.sasl.oauthbearer.unsecure.jwt", "true")),
    ] {
        let bearer = [("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "OAUTHBEARER")];
        let settings: Vec<_> = bearer.into_iter().chain(more).collect();
        let words = if tls { ["file:///var/run", url] } else { ["--features tls", "OAUTHBEARER"] };
        says(&with(&settings).unwrap(), Class::Permanent, &words);
    }
    // A line out of a Java client's file: its value holds a password, and the client does not know its name.
    let jaas = [("sasl.jaas.config", "PlainLoginModule required password=\"never-to-be-seen\";")];
    let error = with(&jaas).unwrap();
    says(&error, Class::Permanent, &["sasl.jaas.config", "not shown"]);
    assert!(!format!("{error} {error:?}").contains("never-to-be-seen"));
}
