//! `seawall check` on files that others wrote.

use crate::tool::{seawall, text};
use serde_json::Value;

#[test]
fn findings_have_rule_place_reason_and_fix_in_both_formats() {
    let dir = tempfile::tempdir().unwrap();
    let (client, rules) = (dir.path().join("client.properties"), dir.path().join("rules.yml"));
    std::fs::write(&client, "bootstrap.servers=a:9092\nacks=1\n").unwrap();
    let expr = "groups:\n  - rules:\n      - alert: A\n        expr: sum(kafka_consumer_lag) > 5\n";
    std::fs::write(&rules, expr).unwrap();
    let said = seawall(&["check", text(&client), text(&rules)], "");
    assert!(said.out.contains("client.properties:2: kafka/acks: `acks` is 1\n    why: "), "{said:?}");
    assert!(said.out.contains("rules.yml:4: prometheus/lag-without-partition: "), "{said:?}");
    assert!(said.fails(1).contains("2 findings"));

    let said = seawall(&["check", "--format", "json", text(&client), text(&rules)], "");
    let found: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((found.len(), &found[0]["rule"], &found[0]["line"]), (2, &"kafka/acks".into(), &2.into()));
    assert!(
        found.iter().all(|one| one["why"].is_string() && one["fix"].is_string() && one["file"].is_string())
    );
    said.fails(1);
}

#[test]
fn what_cannot_be_read_is_told_beside_the_findings_of_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let (client, unknown) = (dir.path().join("client.properties"), dir.path().join("deployment.yaml"));
    std::fs::write(&client, "bootstrap.servers=a:9092\nacks=1\n").unwrap();
    std::fs::write(&unknown, "kind: Deployment\n").unwrap();
    let said = seawall(&["check", text(&unknown), text(&client)], "");
    assert!(said.out.contains("kafka/acks"), "{said:?}");
    let said = said.fails(3);
    assert!(said.contains("deployment.yaml: ") && said.contains("Grafana dashboards"), "{said}");
    let missing = dir.path().join("missing.yaml");
    assert!(seawall(&["check", text(&missing)], "").fails(3).contains("missing.yaml"));
}
