//! `produce` and `consume` with a cluster's own address.

use crate::stage::{create, kafka};
use crate::tool::seawall;

#[test]
fn lines_go_into_a_cluster_and_come_out_of_it() {
    let Some(kafka) = kafka("lines_kafka") else { return };
    create(kafka, "lines", 3);
    let brokers = kafka.bootstrap();
    let lines: Vec<String> = (0..500).map(|n| format!("k{}:v{n}", n % 17)).collect();
    let lines = lines.join("\n");
    let produce =
        |topic: &str| seawall(&["produce", topic, "--bootstrap", &brokers, "--key-separator", ":"], &lines);
    assert!(produce("lines").err.contains("500 records written to lines"));
    assert!(produce("line").fails(3).contains("line"), "an unknown topic is refused, not made");

    let consume = |more: &[&str]| {
        seawall(&[&["consume", "lines", "--bootstrap", &brokers, "--exit-at-end"], more].concat(), "")
    };
    let records = consume(&["--from-start", "--format", "json"]).json();
    assert_eq!(records.len(), 500);
    for key in 0..17 {
        let key = format!("k{key}");
        let of_key = records.iter().filter(|record| record["key"] == key.as_str());
        let values: Vec<u64> =
            of_key.map(|record| record["value"].as_str().unwrap()[1..].parse().unwrap()).collect();
        assert!(values.is_sorted() && values.len() >= 29, "{key}: {values:?}");
    }
    assert_eq!(consume(&[]).ok(), "", "after the newest there is nothing");
    let one = consume(&["--from-start", "--partition", "1"]).ok().lines().count();
    assert!(one > 0 && one < 500, "{one}");
    assert!(consume(&["--partition", "7"]).fails(3).contains("0 to 2"));
}

#[test]
fn a_cluster_that_is_not_there_is_told_by_its_address() {
    let gone = ["consume", "lines", "--bootstrap", "127.0.0.1:9", "--exit-at-end"];
    let said = seawall(&gone, "").fails(4);
    // The client logs lines of its own, with some of the same words.
    let ours = said.lines().find(|line| line.starts_with("seawall: ")).unwrap();
    assert!(ours.contains("lines") && ours.contains("check the bootstrap addresses"), "{said}");
}
