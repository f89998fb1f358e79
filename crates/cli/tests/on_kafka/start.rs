//! The start and its obstacles; a member that is thrown out; secrets.

use crate::house::seawall::Seawall;
use crate::house::{http, wait_for};
use crate::stage::{self, House, PASSWORD, Service, create, create_with, kafka, state};
use crate::tool::{seawall, text};
use seawall_infra::{KafkaOptions, kafka_or_skip};
use std::time::Duration;

const BOUND: Duration = Duration::from_mins(1);

#[test]
fn a_login_works_and_its_password_shows_nowhere() {
    let Some(kafka) = kafka("login_kafka") else { return };
    create(kafka, "login", 1);
    let service = Service::start(200);
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    std::fs::write(&password, format!("{PASSWORD}\n")).unwrap();
    let cluster = stage::guarded(kafka, &password);
    let file = House { name: "login", cluster, service: service.addr, more: "" }.write(dir.path());

    let server = Seawall::run(&file);
    let posted = http::once(server.ingest, "POST", "/v1/topics/login/records", &[], b"o").unwrap();
    assert_eq!(posted.status, 201, "{}", posted.text());
    wait_for("its delivery", BOUND, || (service.seen() == 1).then_some(()));
    let unknown = http::once(server.ingest, "POST", "/v1/topics/logni/records", &[], b"o").unwrap();
    assert_eq!((unknown.status, &unknown.json()["nearest"]), (404, &"login".into()), "{}", unknown.text());
    let read = http::get(server.ingest, "/v1/topics/login/records");
    assert!(read.status == 501 && read.text().contains("--bootstrap"), "{}", read.text());
    let mut shown = seawall(&["config", "show", text(&file)], "").ok();
    for page in ["/metrics", "/v1/overview", "/v1/pipelines/orders", "/readyz"] {
        shown += &http::get(server.admin, page).text();
    }
    shown.extend(server.said.lock().unwrap().iter().cloned());
    assert!(shown.contains("sasl.password") && shown.contains("kafka_consumer_lag{"), "{shown}");
    assert!(!shown.contains(PASSWORD), "the password shows");
    server.stop();

    std::fs::write(&password, "wrong-canary").unwrap();
    let refused = seawall(&["run", text(&file), "--ingest", "127.0.0.1:0", "--admin", "127.0.0.1:0"], "");
    let said = refused.fails(4);
    assert!(said.contains("check the user name") && !said.contains("canary"), "{said}");
    std::fs::remove_file(&password).unwrap();
    let refused = seawall(&["run", text(&file), "--ingest", "127.0.0.1:0", "--admin", "127.0.0.1:0"], "");
    assert!(refused.fails(3).contains("cluster[0].secrets.sasl.password"));
}

#[test]
fn a_topic_that_is_not_there_ends_the_start_with_its_name() {
    let Some(kafka) = kafka("missing_kafka") else { return };
    let dir = tempfile::tempdir().unwrap();
    let cluster = stage::open(&kafka.bootstrap());
    let service = ([127, 0, 0, 1], 9).into();
    let file = House { name: "missing", cluster, service, more: "" }.write(dir.path());
    let refused = seawall(&["run", text(&file), "--ingest", "127.0.0.1:0", "--admin", "127.0.0.1:0"], "");
    let said = refused.fails(4);
    assert!(said.contains("missing") && said.contains("[[topic]]"), "{said}");
}

#[test]
fn a_topic_that_would_throw_waiting_records_away_ends_the_start_with_its_setting() {
    let Some(kafka) = kafka("unfit_kafka") else { return };
    for topic in ["unfit", "buried"] {
        create(kafka, topic, 1);
    }
    create_with(kafka, "unfit.compacted", 1, &["cleanup.policy=compact"]);
    create_with(kafka, "unfit.short", 1, &["retention.ms=60000"]);
    create_with(kafka, "unfit.bounded", 1, &["retention.bytes=1000000"]);
    create_with(kafka, "buried.dlq", 1, &["cleanup.policy=compact"]);
    let service = Service::start(200);
    let written = |dir: &std::path::Path, name: &str, more: &str| {
        let cluster = stage::open(&kafka.bootstrap());
        House { name, cluster, service: service.addr, more }.write_patient(dir)
    };
    let refused = |name: &str, more: &str| {
        let dir = tempfile::tempdir().unwrap();
        let file = written(dir.path(), name, more);
        let run = ["run", text(&file), "--ingest", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        seawall(&run, "").fails(3)
    };
    let retry = |topic: &str| {
        format!("ordering = \"unordered\"\nretry_topic = [{{ after = \"1s\", topic = \"{topic}\" }}]")
    };
    let said = refused("unfit", &retry("unfit.compacted"));
    assert!(said.contains("\"unfit.compacted\" has cleanup.policy = \"compact\""), "{said}");
    let said = refused("unfit", &retry("unfit.short"));
    assert!(said.contains("retention.ms = \"60000\"") && said.contains("set it to at least"), "{said}");
    let said = refused("buried", "");
    assert!(said.contains("\"buried.dlq\" has cleanup.policy"), "{said}");

    let dir = tempfile::tempdir().unwrap();
    let server = Seawall::run(&written(dir.path(), "unfit", &retry("unfit.bounded")));
    wait_for("it runs", BOUND, || (state(&server, 0).0 == "running").then_some(()));
    let said: Vec<String> = server.said.lock().unwrap().iter().cloned().collect();
    let told = |line: &String| line.contains("unfit.bounded") && line.contains("retention.bytes = ");
    assert!(said.iter().any(told), "{said:?}");
    server.stop();
}

#[test]
fn a_cluster_that_is_away_at_the_start_is_waited_for() {
    // A group waits so long for more members before it takes the first one in.
    let settings = vec![("group.initial.rebalance.delay.ms".to_owned(), "3000".to_owned())];
    let options = KafkaOptions { settings, ..KafkaOptions::default() };
    let Some(kafka) = kafka_or_skip("away_kafka", options) else { return };
    kafka.stop(1).unwrap();
    let service = Service::start(200);
    let dir = tempfile::tempdir().unwrap();
    let cluster = stage::open(&kafka.bootstrap())
        + "[[topic]]\nname = \"away\"\ncluster = \"kafka\"\npartitions = 2\nreplication = 1\n";
    let file = House { name: "away", cluster, service: service.addr, more: "" }.write(dir.path());
    let server = Seawall::run(&file);
    let (state_then, why) = state(&server, 0);
    assert_eq!(state_then, "joining");
    assert!(why.contains("\"kafka\" does not answer") && why.contains("bootstrap"), "{why}");
    let ready = http::get(server.admin, "/readyz");
    assert!(ready.status == 503 && ready.text().contains("does not answer"), "{}", ready.text());
    let posted = http::once(server.ingest, "POST", "/v1/topics/away/records", &[], b"o").unwrap();
    assert_eq!(posted.status, 503, "{}", posted.text());
    assert!(posted.headers.iter().any(|(name, _)| name == "retry-after"), "{posted:?}");

    kafka.start_again(1).unwrap();
    wait_for("its group is asked", BOUND, || {
        let (state, why) = state(&server, 0);
        assert_eq!(state, "joining", "{why}");
        why.contains("group \"away\" of cluster \"kafka\" has not taken it in").then_some(())
    });
    assert_eq!(http::get(server.admin, "/readyz").status, 503);
    wait_for("ready", BOUND, || (http::get(server.admin, "/readyz").status == 200).then_some(()));
    wait_for("a receipt", BOUND, || {
        let posted = http::once(server.ingest, "POST", "/v1/topics/away/records", &[], b"o").unwrap();
        (posted.status == 201).then_some(())
    });
    wait_for("its delivery", BOUND, || (service.seen() == 1).then_some(()));
    assert_eq!(state(&server, 0), ("running".to_owned(), String::new()));
    server.stop();
}

#[test]
fn a_member_that_is_thrown_out_stops_with_its_reason_and_takes_no_other_down() {
    let Some(kafka) = kafka("fenced_kafka") else { return };
    create(kafka, "fenced", 1);
    let service = Service::start(200);
    let other = format!(
        "member.instance_id = \"same\"\n[[pipeline]]\nname = \"other\"\ntopics = [\"other\"]\npush.url = \"http://{}/\"\n",
        service.addr
    );
    let run = |dir: &std::path::Path, more: &str| {
        let cluster = stage::open(&kafka.bootstrap());
        let file = House { name: "fenced", cluster, service: service.addr, more }.write(dir);
        let server = Seawall::run(&file);
        wait_for("its partition", BOUND, || {
            let overview = server.overview();
            (!overview["pipelines"][0]["partitions"].as_array()?.is_empty()).then_some(())
        });
        server
    };
    let (old_dir, new_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let old = run(old_dir.path(), &other);
    let new = run(new_dir.path(), "member.instance_id = \"same\"");
    wait_for("the old one stops", BOUND, || (state(&old, 0).0 == "failed").then_some(()));
    let (_, why) = state(&old, 0);
    assert!(why.to_lowercase().contains("fenced"), "{why}");
    let ready = http::get(old.admin, "/readyz");
    assert!(ready.status == 503 && ready.text().contains("orders"), "{}", ready.text());
    assert_eq!(state(&old, 1).0, "running", "the other pipeline goes on");
    assert_eq!(state(&new, 0).0, "running");
    new.stop();
}
