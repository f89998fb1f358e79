//! Long pauses in a topic of the cluster.

use crate::house::seawall::Seawall;
use crate::house::{self, http, wait_for};
use crate::stage::{House, Service, create, kafka, open};
use std::time::Duration;

const BOUND: Duration = Duration::from_mins(1);
const RECORDS: u64 = 200;

#[test]
fn a_failed_record_waits_in_a_retry_topic_and_a_kill_loses_none() {
    let Some(kafka) = kafka("retry_topics_kafka") else { return };
    create(kafka, "payments", 2);
    let service = Service::start(500);
    let dir = tempfile::tempdir().unwrap();
    let more = "ordering = \"unordered\"\nmember = { instance_id = \"r\", session_timeout = \"10s\" }\n\
                retry_topic = [{ after = \"1s\", topic = \"payments.later\", partitions = 3 }]";
    let cluster = open(&kafka.bootstrap());
    let file = House { name: "payments", cluster, service: service.addr, more }.write_patient(dir.path());

    let server = Seawall::run(&file);
    let mut client = http::Connection::open(server.ingest).unwrap();
    for n in 0..RECORDS {
        let key = format!("customer-{n:03}");
        let path = "/v1/topics/payments/records";
        assert_eq!(client.send("POST", path, &[("seawall-key", &key)], b"payment").unwrap().status, 201);
    }
    let parked = |pipeline: &serde_json::Value, topic: &str| -> u64 {
        let partitions = pipeline["partitions"].as_array().unwrap().iter();
        partitions.filter(|p| p["topic"] == topic).map(|p| p["parked"].as_u64().unwrap()).sum()
    };
    wait_for("all wait in the retry topic", BOUND, || {
        let pipeline = &server.overview()["pipelines"][0];
        let there =
            pipeline["totals"]["deferred"].as_u64()? >= RECORDS && parked(pipeline, "payments.later") > 0;
        assert_eq!(parked(pipeline, "payments"), 0, "{pipeline}");
        there.then_some(())
    });
    server.kill();

    let arguments = ["--bootstrap-server", &kafka.bootstrap(), "--describe", "--topic", "payments.later"];
    let described = kafka.tool("org.apache.kafka.tools.TopicCommand", &arguments).unwrap().stdout;
    for set in ["PartitionCount: 3", "retention.ms=608400000"] {
        assert!(described.contains(set), "{described}");
    }
    let server = Seawall::run(&file);
    service.answer(200);
    wait_for("every effect stands", BOUND, || (service.effects() == RECORDS).then_some(()));
    house::idle(&server);
    server.stop();
}
