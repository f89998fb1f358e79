//! The sender chooses the receipt. No cluster answers here: what each choice means shows by that.

use crate::clusters::{SOON, cluster, write};
use crate::house::http::{self, Answer};
use crate::house::seawall::Seawall;
use crate::tool::{seawall, text};
use serde_json::Value;

/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:9";

fn post(server: &Seawall, headers: &[(&str, &str)]) -> Answer {
    let headers = [&[("seawall-key", "k")], headers].concat();
    http::once(server.ingest, "POST", "/v1/topics/chosen/records", &headers, b"order").unwrap()
}

#[test]
fn each_request_and_each_call_of_produce_chooses_its_receipt() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "chosen", &cluster("kafka", NOWHERE), &format!("{SOON}timeout = \"2s\"\n"));
    let server = Seawall::run(&file);
    let given = |answer: &Answer| (answer.status, answer.json()["durability"].clone());
    assert_eq!(given(&post(&server, &[])), (201, "synced".into()), "as the configuration says");
    assert_eq!(given(&post(&server, &[("seawall-durability", "synced")])), (201, "synced".into()));
    let buffered = post(&server, &[("Seawall-Durability", "buffered")]);
    assert_eq!(given(&buffered), (202, "buffered".into()));
    assert_eq!((&buffered.json()["offset"], &buffered.json()["sink"]), (&Value::Null, &Value::Null));
    // It is on disk, and that is not what was asked.
    let replicated = post(&server, &[("seawall-durability", "replicated")]);
    assert_eq!((replicated.status, &replicated.json()["left"]), (504, &"spilled".into()), "{replicated:?}");

    let wrong = post(&server, &[("seawall-durability", "safe")]);
    let said = wrong.json()["detail"].as_str().unwrap().to_owned();
    let right = "the header Seawall-Durability is \"safe\"; replicated, synced or buffered is right";
    assert_eq!((wrong.status, said.as_str()), (400, right));
    let twice = post(&server, &[("seawall-durability", "synced"), ("seawall-durability", "synced")]);
    assert_eq!(twice.status, 400, "{twice:?}");

    let at = format!("http://{}", server.ingest);
    let produce = |durability: &str| {
        let arguments = ["produce", "chosen", "--at", &at, "--durability", durability];
        seawall(&arguments, "a line\n")
    };
    assert!(produce("synced").err.contains("1 records written to chosen"));
    assert!(produce("buffered").err.contains("1 records taken into memory for chosen"));
    let refused = produce("replicated").fails(4);
    assert!(refused.contains("not as safe as asked"), "{refused}");
    assert!(produce("safe").fails(2).contains("[possible values: replicated, synced, buffered]"));
    server.stop();
}

#[test]
fn produce_with_a_spill_waits_for_what_was_asked() {
    let dir = tempfile::tempdir().unwrap();
    let spill = dir.path().join("spill");
    let produce = |durability: &str, lines: &str| {
        let spill = ["--spill", text(&spill), "--wait", "0s", "--durability", durability];
        seawall(&[&["produce", "chosen", "--bootstrap", NOWHERE], &spill[..]].concat(), lines)
    };
    // In memory at first; the end of the command puts it on disk.
    let buffered = produce("buffered", "a\nb\n");
    assert_eq!(buffered.code, 0, "{buffered:?}");
    assert!(buffered.err.contains("2 records taken into memory for chosen"), "{buffered:?}");
    assert!(buffered.err.contains("2 records are not in the cluster yet"), "{buffered:?}");
    let data = dir.path().join("data");
    let arguments =
        ["produce", "chosen", "--data", text(&data), "--create", "1", "--durability", "replicated"];
    let refused = seawall(&arguments, "a\n").fails(3);
    assert!(refused.contains("--durability replicated") && refused.contains("synced"), "{refused}");
}
