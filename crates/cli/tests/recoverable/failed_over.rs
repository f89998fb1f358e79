//! Two clusters: the second takes over, and the first gets its records back once it has stayed.

use crate::acknowledged::Acknowledged;
use crate::clusters::{BOUND, SOON, away, cluster, consumed, producer, until_direct, write};
use crate::house::http::Connection;
use crate::house::seawall::Seawall;
use crate::house::wait_for;
use serde_json::Value;

/// The switches that the producer tells of, and when.
fn switches(shown: &Value) -> Vec<(String, String, u64)> {
    let events = shown["events"].as_array().unwrap().iter();
    let told = events.filter(|event| event["what"] == "switched").map(|event| {
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        (text("from"), text("to"), event["at_ms"].as_u64().unwrap())
    });
    told.collect()
}

#[test]
fn another_cluster_takes_over_and_the_first_comes_back_once_it_has_stayed() {
    let Some(east) = away("over_kafka") else { return };
    let Some(west) = crate::stage::kafka("over_kafka") else { return };
    let dir = tempfile::tempdir().unwrap();
    let clusters = cluster("kafka", &east.bootstrap()) + &cluster("west", &west.bootstrap());
    let more = format!("{SOON}fail_over = [\"west\"]\nfailback_after = \"2s\"\n");
    let file = write(dir.path(), "over", &clusters, &more);
    let mut acknowledged = Acknowledged::new("over");
    let server = Seawall::run(&file);
    let mut connection = Connection::open(server.ingest).unwrap();
    let mut until = |sink: &str| {
        wait_for(&format!("{sink} takes the records"), BOUND, || {
            let posted = acknowledged.post(&mut connection);
            (posted.only("replicated") && posted.sinks.iter().eq([sink])).then_some(())
        });
    };
    let active = |sink: &str| {
        let name = format!("seawall_producer_sink_active{{producer=\"ingest.kafka\",sink={sink:?}}}");
        server.metric(&name)
    };
    until("kafka");
    until_direct(&server);
    assert_eq!((active("kafka"), active("west")), (Some(1.0), Some(0.0)));

    east.leave();
    until("west");
    let shown = producer(&server);
    assert_eq!((&shown["active"], &shown["totals"]["switches"]), (&"west".into(), &1.into()), "{shown}");
    assert_eq!(switches(&shown).len(), 1, "{shown}");
    assert_eq!((active("kafka"), active("west")), (Some(0.0), Some(1.0)));
    assert_eq!(server.metric("seawall_producer_switches_total{"), Some(1.0));

    east.come_back();
    until("kafka");
    until_direct(&server);
    // What the dashboard draws its lines from.
    let shown = server.overview()["producers"][0].clone();
    let told = switches(&shown);
    let names: Vec<_> = told.iter().map(|(from, to, _)| (from.as_str(), to.as_str())).collect();
    assert_eq!(names, [("kafka", "west"), ("west", "kafka")], "{shown}");
    // Not before it was left alone for as long as the configuration says.
    assert!(told[1].2 - told[0].2 >= 1_990, "{told:?}");
    assert_eq!((&shown["active"], &shown["totals"]["switches"]), (&"kafka".into(), &2.into()), "{shown}");
    assert_eq!((active("kafka"), active("west")), (Some(1.0), Some(0.0)));
    assert_eq!(server.metric("seawall_producer_switches_total{"), Some(2.0));
    acknowledged.check(&[east.consumed("over"), consumed(west, "over")]);
    server.stop();
}
