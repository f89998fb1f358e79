//! `produce` and `consume`: what goes in as lines comes out as lines.

use crate::house::{self, seawall::Seawall};
use crate::tool::{seawall, text, up};
use serde_json::{Value, json};

const ORDERS: &str = concat!(
    r#"{"key":"a","value":"one","headers":{"x-kind":"plain","x-raw":{"base64":"gP8="}}}"#,
    "\n",
    r#"{"key_base64":"/wA=","value_base64":"/v8A"}"#,
    "\n",
    r#"{"key":"b","value":{"n":18446744073709551616.10},"headers":[["x","1"],["x","2"]],"timestamp_ms":5}"#,
    "\n",
    r#"{"value":"no key, \"quotes\", a tab \t and ö"}"#,
    "\n",
);

/// Key, value and headers, without the place and the time; Seawall's own token left out.
fn content(line: &Value) -> String {
    let mut line = line.clone();
    let fields = line.as_object_mut().unwrap();
    for place in ["topic", "partition", "offset", "timestamp_ms"] {
        fields.remove(place);
    }
    if let Some(headers) = fields.get_mut("headers").and_then(Value::as_object_mut) {
        headers.remove("ce-id");
    }
    if let Some(headers) = fields.get_mut("headers").and_then(Value::as_array_mut) {
        headers.retain(|pair| pair[0] != "ce-id");
    }
    fields.retain(|_, value| *value != json!({}) && *value != json!([]));
    line.to_string()
}

fn contents(lines: &[Value]) -> Vec<String> {
    let mut all: Vec<String> = lines.iter().map(content).collect();
    all.sort();
    all
}

#[test]
fn raw_lines_with_keys_keep_the_order_of_each_key() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = text(&data);
    seawall(&["produce", "orders", "--data", data], "x\n").fails(3);
    let lines: Vec<_> = (0..300).map(|n| format!("k{}=>{n}=>\n", n % 7)).collect();
    let produce = ["produce", "orders", "--data", data, "--create", "3", "--key-separator", "=>"];
    seawall(&produce, &lines.concat()).ok();

    let read = seawall(&["consume", "orders", "--data", data, "--from-start", "--format", "json"], "").json();
    assert_eq!(read.len(), 300);
    for k in 0..7 {
        let key = format!("k{k}");
        let values: Vec<_> = read.iter().filter(|r| r["key"] == key).map(|r| r["value"].clone()).collect();
        let expected: Vec<_> = (k..300).step_by(7).map(|n| json!(format!("{n}=>"))).collect();
        assert_eq!(values, expected, "{key}");
    }
    let partitions: std::collections::BTreeSet<_> =
        read.iter().map(|r| r["partition"].as_u64().unwrap()).collect();
    assert!(partitions.len() > 1 && partitions.iter().all(|p| *p < 3), "{partitions:?}");
    let values = seawall(&["consume", "orders", "--data", data, "--from-start"], "").ok();
    assert_eq!(values.lines().count(), 300);
    assert_eq!(seawall(&["consume", "orders", "--data", data], "").ok(), values, "always from the start");
    let refused = seawall(&["consume", "orders", "--data", data, "--partition", "3"], "").fails(3);
    assert!(refused.contains("0 to 2"), "{refused}");
}

#[test]
fn json_lines_carry_whole_records_from_one_log_to_another() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let produce = |data: &str, lines: &str| {
        seawall(&["produce", "orders", "--data", data, "--create", "2", "--lines", "json"], lines).ok()
    };
    let consume = |data: &str| {
        seawall(&["consume", "orders", "--data", data, "--from-start", "--format", "json"], "").ok()
    };
    produce(text(&one), ORDERS);
    let first = consume(text(&one));
    produce(text(&two), &first);
    let read: Vec<Value> = first.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected: Vec<Value> = [
        json!({"key": "a", "value": "one", "headers": {"x-kind": "plain", "x-raw": {"base64": "gP8="}}}),
        json!({"key_base64": "/wA=", "value_base64": "/v8A"}),
        json!({"key": "b", "value": "{\"n\":18446744073709551616.10}", "headers": [["x", "1"], ["x", "2"]]}),
        json!({"value": "no key, \"quotes\", a tab \t and ö"}),
    ]
    .into();
    assert_eq!(contents(&read), contents(&expected));
    assert!(read.iter().any(|r| r["timestamp_ms"] == 5), "a given time stands: {read:#?}");
    let second: Vec<Value> = consume(text(&two)).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(contents(&second), contents(&expected));
}

#[test]
fn a_bad_line_is_named_by_file_and_line_and_what_stands_before_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("orders.ndjson"));
    std::fs::write(&file, "{\"value\":1}\n{\"vlaue\":2}\n{\"value\":3}\n").unwrap();
    let said = seawall(
        &["produce", "orders", text(&file), "--data", text(&data), "--create", "1", "--lines", "json"],
        "",
    )
    .fails(3);
    assert!(said.contains("orders.ndjson:2: ") && said.contains("vlaue"), "{said}");
    assert_eq!(seawall(&["consume", "orders", "--data", text(&data), "--from-start"], "").ok(), "1\n");
}

#[test]
fn what_create_cannot_do_is_refused_or_told() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let create = |n| seawall(&["produce", "orders", "--data", text(&data), "--create", n], "");
    for n in ["0", "1025"] {
        create(n).fails(2);
    }
    assert!(!create("2").err.contains("--create"));
    let other = create("3");
    assert!(other.err.contains("--create 3: orders is there already, with 2 partitions"), "{other:?}");
    other.ok();
}

#[test]
fn a_separator_of_keys_in_json_lines_is_refused() {
    let json = ["produce", "orders", "--at", "http://127.0.0.1:1", "--lines", "json", "--key-separator", ":"];
    assert!(seawall(&json, "{\"value\":1}\n").fails(3).contains("the field `key`"));
}

#[test]
fn a_bound_of_the_spill_is_told_by_its_flag() {
    let dir = tempfile::tempdir().unwrap();
    let spill = ["produce", "orders", "--bootstrap", "127.0.0.1:1", "--spill", text(dir.path())];
    let says = |flag: &str, value: &str| seawall(&[&spill[..], &[flag, value]].concat(), "").fails(3);
    let said = says("--spill-max", "1MiB");
    assert!(said.contains("--spill-max is 1048576 bytes: it must be"), "{said}");
    let said = says("--record-max", "1GiB");
    assert!(said.contains("--record-max is 1073741824 bytes: it must be 1 to 16777216"), "{said}");
}

/// A second run would write again what was written, under other ids.
#[test]
fn lines_that_are_not_taken_are_named_and_the_others_counted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lines.txt");
    let lines = |large: usize| {
        let line = |n: usize| if n == large { "x".repeat(17 << 20) } else { n.to_string() };
        (1..=7).map(|n| line(n) + "\n").collect::<String>()
    };
    std::fs::write(&file, lines(4)).unwrap();
    let data = dir.path().join("data");
    let produce =
        |file| seawall(&["produce", "orders", file, "--data", text(&data), "--create", "1"], "").fails(3);
    let said = produce("gone.txt");
    assert!(
        said.contains("gone.txt: ") && said.contains("0 records written to orders; nothing was read"),
        "{said}"
    );
    let said = produce(text(&file));
    assert!(said.contains("lines.txt:4: ") && said.contains("3 records written to orders"), "{said}");
    assert!(said.contains("nothing behind ") && said.trim_end().ends_with("lines.txt:4 was read"), "{said}");
}

/// The cluster is away, so that what is taken lies in the spill.
#[test]
fn a_line_that_a_running_seawall_refuses_is_named_and_the_others_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (config, file) = (dir.path().join("edge.toml"), dir.path().join("lines.txt"));
    let edge = format!(
        "[data]\ndir = {:?}\n[ingest]\nsink = \"away\"\n[[cluster]]\nname = \"away\"\nbootstrap = [\"127.0.0.1:1\"]\n\
         [producer]\nrecord_max = \"10KiB\"\ndurability = \"synced\"\n[[topic]]\nname = \"orders\"\ncluster = \"away\"\n",
        dir.path().join("data")
    );
    std::fs::write(&config, edge).unwrap();
    let lines = (1..=7).map(|n| if n == 4 { "x".repeat(20_000) } else { n.to_string() } + "\n");
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    let server = Seawall::run(&config);
    let at = format!("http://{}", server.ingest);
    let said = seawall(&["produce", "orders", text(&file), "--at", &at], "").fails(3);
    assert_eq!(said.matches("lines.txt:").count(), 2, "the line, and where it stopped: {said}");
    assert!(
        said.contains("lines.txt:4: 413 ") && said.contains("the bound of producer.record_max"),
        "{said}"
    );
    assert!(said.contains("6 records written to orders; nothing behind "), "{said}");
    server.kill();
}

#[test]
fn what_a_running_seawall_gives_can_be_piped_back_into_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = up(&dir.path().join("data"), "0");
    let at = format!("http://{}", server.ingest);
    let consume = || {
        let all = ["consume", "orders", "--at", &at, "--from-start", "--exit-at-end", "--format", "json"];
        seawall(&all, "").ok()
    };
    let produce = ["produce", "orders", "--at", &at, "--lines", "json"];
    seawall(&produce, ORDERS).ok();
    let once = consume();
    assert_eq!(once.lines().count(), 4, "{once}");
    seawall(&produce, &once).ok();
    let read =
        |lines: &str| -> Vec<Value> { lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect() };
    let (once, twice) = (read(&once), read(&consume()));
    assert_eq!(contents(&twice), contents(&[&once[..], &once[..]].concat()));
    house::idle(&server);

    for command in ["produce", "consume"] {
        let said = seawall(&[command, "order", "--at", &at], "x\n").fails(3);
        assert!(said.contains(r#"did you mean "orders"?"#), "{said}");
    }
    server.stop();
    let said = seawall(&["produce", "orders", "--at", &at], "x\n").fails(4);
    assert!(said.contains("no Seawall answers at"), "{said}");
}

#[test]
fn a_seawall_with_a_rate_limit_is_waited_for_and_each_line_arrives_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("orders.toml");
    let config = house::config(dir.path(), ([127, 0, 0, 1], 9).into(), &house::ground::Ground::Log);
    let limited = config.replacen("[ingest]", "[ingest]\nrate = 1000\nburst = 150", 1);
    std::fs::write(&file, limited).unwrap();
    let server = Seawall::run(&file);
    let at = format!("http://{}", server.ingest);
    let lines: Vec<_> = (0..500).map(|n| format!("k{}:{n}\n", n % 5)).collect();
    seawall(&["produce", "orders", "--at", &at, "--key-separator", ":"], &lines.concat()).ok();
    let all = ["consume", "orders", "--at", &at, "--from-start", "--exit-at-end", "--format", "json"];
    let read = seawall(&all, "").json();
    assert_eq!(read.len(), 500);
    for k in 0..5 {
        let key = format!("k{k}");
        let values: Vec<_> = read.iter().filter(|r| r["key"] == key).map(|r| r["value"].clone()).collect();
        let expected: Vec<_> = (k..500).step_by(5).map(|n| json!(n.to_string())).collect();
        assert_eq!(values, expected, "{key}");
    }
    server.kill();
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    // More than a pipe and every buffer on the way hold.
    let lines = format!("{}\n", "x".repeat(1_000)).repeat(4_000);
    seawall(&["produce", "orders", "--data", text(&data), "--create", "1"], &lines).ok();
    let mut head = Seawall::command(&["consume", "orders", "--data", text(&data), "--from-start"]);
    let mut head = head.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(head.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let mut said = String::new();
    head.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((head.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}
