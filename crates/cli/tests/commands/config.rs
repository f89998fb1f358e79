//! `config`, `check` and usage: mistakes are told with their place and what would be right.

use crate::tool::{seawall, text};

const MISTAKES: &str = r#"[[topic]]
name = "orders"
partitons = 8

[[pipeline]]
name = "orders"
topics = ["orders"]

[pipeline.push]
url = "http://127.0.0.1:1/"
"#;

#[test]
fn the_schema_has_every_top_level_table_and_the_example_shows_all_defaults() {
    let schema: serde_json::Value = serde_json::from_str(&seawall(&["config", "schema"], "").ok()).unwrap();
    let tables: Vec<_> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(tables, ["admin", "cluster", "data", "ingest", "pipeline", "producer", "topic"]);

    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/orders.toml");
    let shown: serde_json::Value =
        serde_json::from_str(&seawall(&["config", "show", example], "").ok()).unwrap();
    assert_eq!(shown["pipeline"][0]["name"], "orders");
    assert_eq!(shown["ingest"]["body_timeout"], "30s");
    assert_eq!(seawall(&["check", example], "").ok(), "");
}

#[test]
fn a_mistake_has_its_place_and_the_nearest_name_in_check_and_run() {
    let dir = tempfile::tempdir().unwrap();
    let (unknown, value) = (dir.path().join("unknown.toml"), dir.path().join("value.toml"));
    std::fs::write(&unknown, MISTAKES).unwrap();
    std::fs::write(&value, MISTAKES.replace("partitons = 8", "partitions = 0")).unwrap();
    let both = seawall(&["check", text(&unknown), text(&value)], "");
    assert!(both.out.contains("unknown.toml:3:1: topic[0].partitons"), "{both:?}");
    assert!(both.out.contains("did you mean `partitions`?"), "{both:?}");
    assert!(both.out.contains("value.toml:3:"), "{both:?}");
    both.fails(1);
    let finding = seawall(&["check", "--format", "json", text(&unknown)], "");
    let finding: serde_json::Value = serde_json::from_str(&finding.out).unwrap();
    assert_eq!((finding["line"].as_u64(), finding["column"].as_u64()), (Some(3), Some(1)), "{finding}");

    let said = seawall(&["run", text(&unknown)], "").fails(3);
    assert!(said.contains("unknown.toml:3:1") && said.contains("partitions"), "{said}");
    let said = seawall(&["config", "show", text(&unknown)], "").fails(3);
    assert!(said.contains("unknown.toml:3:1"), "{said}");
    let missing = dir.path().join("missing.toml");
    for command in ["run", "check"] {
        assert!(seawall(&[command, text(&missing)], "").fails(3).contains("missing.toml"));
    }
}

#[test]
fn wrong_arguments_are_usage() {
    let wrong: [&[&str]; 8] = [
        &[],
        &["frobnicate"],
        &["produce"],
        &["produce", "orders", "--create", "3"],
        &["produce", "orders", "--data", "x", "--at", "http://127.0.0.1:1"],
        &["up", "--reject", "1.5"],
        &["up", "--ingest", "localhost"],
        &["consume", "orders", "--format", "xml"],
    ];
    for arguments in wrong {
        let said = seawall(arguments, "").fails(2);
        assert!(said.contains("--help") || said.contains("Usage"), "{arguments:?}: {said}");
    }
    assert!(seawall(&["--help"], "").ok().contains("SEAWALL_LOG"));
    for command in ["up", "run", "check", "produce", "consume", "dlq", "wal", "config", "completions"] {
        assert!(seawall(&[command, "--help"], "").ok().contains("Usage: seawall"), "{command}");
    }
}
