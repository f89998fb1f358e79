//! `dlq`: dead letters listed, shown, driven again and purged.

use crate::house::wait_for;
use crate::tool::{Ended, post, seawall, text, total, up};
use std::time::Duration;

#[test]
fn dead_letters_are_listed_shown_driven_again_and_purged() {
    let dir = tempfile::tempdir().unwrap();
    let server = up(dir.path(), "1.0");
    let admin = format!("http://{}", server.admin);
    let dlq =
        |arguments: &[&str]| -> Ended { seawall(&[&["dlq"], arguments, &["--admin", &admin]].concat(), "") };
    let lettered = |n| {
        wait_for("dead letters", Duration::from_mins(1), || {
            (total(&server, "dead_lettered") >= n
                && dlq(&["ls", "orders", "--format", "json"]).json().len() == 3)
                .then_some(())
        });
    };
    for key in ["a", "b", "c"] {
        assert_eq!(post(&server, key, br#"{"order":1}"#).status, 201);
    }
    lettered(3);

    let table = dlq(&["ls", "orders"]).ok();
    assert_eq!(table.lines().count(), 4, "a heading and three letters:\n{table}");
    assert!(table.lines().skip(1).all(|row| row.contains("permanent") && row.contains("422")), "{table}");
    let letters = dlq(&["ls", "orders", "--format", "json"]).json();
    let mut keys: Vec<_> = letters.iter().map(|l| l["key"].as_str().unwrap()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["a", "b", "c"]);
    let some = dlq(&["ls", "orders", "--limit", "1", "--format", "json"]);
    assert!(some.err.contains("more follow: --limit shows more than 1, --after"), "{some:?}");
    let after = some.err.split("--after ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let others = dlq(&["ls", "orders", "--after", &after, "--format", "json"]).json();
    let shown = [some.json(), others].concat();
    assert_eq!(shown, letters, "the one and those behind it");
    let all = dlq(&["ls", "orders", "--limit", "100000", "--format", "json"]);
    assert_eq!(all.err, "", "no word of more where there is none");
    assert_eq!(all.json(), letters);

    let id = format!("{}/{}", letters[0]["partition"], letters[0]["offset"]);
    let shown = dlq(&["show", "orders", &id, "--format", "json"]).json().remove(0);
    assert_eq!(
        (shown["origin"]["topic"].as_str(), shown["value"].as_str()),
        (Some("orders"), Some("{\"order\":1}"))
    );
    assert!(dlq(&["show", "orders", &id]).ok().contains("\"origin\": {"));
    assert!(dlq(&["show", "orders", "0/999"]).fails(3).contains("0/999"));
    assert!(dlq(&["ls", "order"]).fails(3).contains(r#"did you mean "orders"?"#));
    dlq(&["show", "orders", "seventeen"]).fails(2);
    dlq(&["redrive", "orders"]).fails(2);

    let none = dlq(&["redrive", "orders", "0/99999"]);
    assert_eq!(none.out, "");
    assert!(none.fails(1).contains("0/99999: no such dead letter"));
    assert!(dlq(&["redrive", "order", "0/99999"]).fails(3).contains(r#"did you mean "orders"?"#));
    let done = dlq(&["redrive", "orders", &id, "--format", "json"]).json().remove(0);
    assert_eq!((done["redriven"].as_u64(), done["running"].as_bool()), (Some(1), Some(false)), "{done}");
    lettered(4);
    assert_eq!(
        dlq(&["redrive", "orders", "--all", "--rate", "2"]).ok(),
        "3 redriven\n",
        "it waits for the end"
    );
    lettered(7);

    assert!(dlq(&["purge", "orders", "--all"]).fails(3).contains("--yes"));
    assert_eq!(dlq(&["ls", "orders", "--format", "json"]).json().len(), 3, "nothing went");
    let left = dlq(&["ls", "orders", "--format", "json"]).json();
    let id = format!("{}/{}", left[1]["partition"], left[1]["offset"]);
    let some = dlq(&["purge", "orders", "0/99999", &id, "--yes", "--format", "json"]);
    assert_eq!(some.out, "{\"count\":1}\n", "what is there is purged");
    let said = some.fails(1);
    assert!(said.contains("0/99999: no such dead letter") && !said.contains(&id), "{said}");
    assert_eq!(dlq(&["purge", "orders", "--all", "--yes"]).ok(), "2 purged\n");
    assert!(dlq(&["ls", "orders", "--format", "json"]).json().is_empty());
    server.stop();
}

/// More than one answer of the API holds.
#[test]
fn a_long_list_is_read_page_by_page() {
    let dir = tempfile::tempdir().unwrap();
    let server = up(dir.path(), "1.0");
    let (at, admin) = (format!("http://{}", server.ingest), format!("http://{}", server.admin));
    let lines: Vec<_> = (0..620).map(|n| format!("k{n}:{n}\n")).collect();
    let file = dir.path().join("lines");
    std::fs::write(&file, lines.concat()).unwrap();
    seawall(&["produce", "orders", text(&file), "--at", &at, "--key-separator", ":"], "").ok();
    wait_for("dead letters", Duration::from_mins(1), || {
        (total(&server, "dead_lettered") == 620).then_some(())
    });
    let list = |limit| {
        seawall(&["dlq", "ls", "orders", "--limit", limit, "--format", "json", "--admin", &admin], "")
    };
    let some = list("610");
    assert!(some.err.contains("more follow"), "{}", some.err);
    let (some, all) = (some.json(), list("1000").json());
    assert_eq!((some.len(), all.len()), (610, 620));
    assert!(all.starts_with(&some));
    server.stop();
}
