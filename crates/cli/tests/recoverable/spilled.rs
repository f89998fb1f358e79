//! `wal` on a compressed spill whose process was killed.

use crate::acknowledged::Acknowledged;
use crate::clusters::{SOON, cluster, consumed, write};
use crate::house::http::Connection;
use crate::house::seawall::Seawall;
use crate::stage::create;
use crate::tool::{files, seawall, text};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:9";

/// The spill that a killed Seawall left, with all that was acknowledged in it.
fn left_behind(dir: &Path, acknowledged: &mut Acknowledged) -> PathBuf {
    let more = format!("{SOON}disk_compression = \"lz4\"\n");
    let server = Seawall::run(&write(dir, "spilled", &cluster("kafka", NOWHERE), &more));
    let mut connection = Connection::open(server.ingest).unwrap();
    for _ in 0..10 {
        assert!(acknowledged.post(&mut connection).only("synced"));
    }
    server.kill();
    dir.join("data/spill/ingest.kafka")
}

/// The sum of a number over the segments of the spill's log, as `wal inspect` shows them.
fn inspected(spill: &Path, number: &str) -> u64 {
    let shown = seawall(&["wal", "inspect", text(spill), "--format", "json"], "").json();
    shown.iter().filter_map(|line| line[number].as_u64()).sum()
}

#[test]
fn a_compressed_spill_is_explained_exported_and_replayed_by_hand() {
    let Some(kafka) = crate::stage::kafka("spilled_kafka") else { return };
    create(kafka, "spilled", 2);
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = Acknowledged::of_size("spilled", 300);
    let spill = left_behind(dir.path(), &mut acknowledged);
    let count = acknowledged.count();
    let manifest = std::fs::read_to_string(spill.join("manifest.json")).unwrap();
    assert!(manifest.contains("\"version\": 2"), "{manifest}");
    let before = files(&spill);

    assert_eq!(inspected(&spill, "records"), count);
    let shown = seawall(&["wal", "inspect", text(&spill)], "").ok();
    let waits = format!("spill of \"ingest.kafka\": {count} records (");
    assert!(shown.contains(&waits) && shown.contains("0 are refused"), "{shown}");
    let verified = seawall(&["wal", "verify", text(&spill)], "").ok();
    assert!(verified.lines().all(|line| line.ends_with("sound")), "{verified}");
    let exported = seawall(&["wal", "export", text(&spill)], "").json();
    assert_eq!(exported.len() as u64, count);
    assert!(exported.iter().all(|record| record["topic"] == "spilled"), "{:?}", exported[0]);
    acknowledged.check(&[exported]);
    for which in ["delivered", "refused"] {
        assert_eq!(seawall(&["wal", "export", text(&spill), "--which", which], "").ok(), "");
    }
    damaged(&spill, dir.path());

    let to = ["--bootstrap", &kafka.bootstrap()];
    let replay = |more: &[&str]| {
        seawall(&[&["wal", "replay", text(&spill), "--format", "json"], &to[..], more].concat(), "").json()
    };
    let outcome = |told: &[Value]| (told[0]["delivered"].as_u64(), told[0]["left"].as_u64());
    assert_eq!(outcome(&replay(&[])), (Some(0), Some(count)));
    assert!(before == files(&spill), "looking changes nothing");
    assert_eq!(outcome(&replay(&["--write"])), (Some(count), Some(0)));
    assert_eq!(outcome(&replay(&["--write"])), (Some(0), Some(0)));
    let arrived = consumed(kafka, "spilled");
    assert_eq!(arrived.len() as u64, count, "each once");
    acknowledged.check(&[arrived]);
    assert_eq!((inspected(&spill, "records"), inspected(&spill, "delivered")), (0, count));
    let delivered = seawall(&["wal", "export", text(&spill), "--which", "delivered"], "").json();
    assert_eq!(delivered.len() as u64, count);
}

/// Of a copy with a damaged block every command names the segment, and none changes a byte.
fn damaged(spill: &Path, dir: &Path) {
    let copy = dir.join("damaged");
    let mut hit = None;
    for (path, mut bytes) in files(spill) {
        let inside = path.strip_prefix(spill).unwrap();
        if inside.starts_with("log") && hit.is_none() && bytes.len() > 8_192 {
            // Within a frame behind the segment's header, and not the last: no torn tail.
            bytes[4_200] ^= 0x10;
            hit = Some(inside.file_name().unwrap().to_str().unwrap().to_owned());
        }
        let to = copy.join(inside);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(to, bytes).unwrap();
    }
    let (segment, before) = (hit.unwrap(), files(&copy));
    let verified = seawall(&["wal", "verify", text(&copy)], "");
    assert!(verified.out.lines().any(|l| l.contains(&segment) && !l.ends_with("sound")), "{verified:?}");
    verified.fails(1);
    let data = dir.join("data");
    for action in
        [&["export"][..], &["replay", "--data", text(&data)], &["replay", "--data", text(&data), "--write"]]
    {
        let said = seawall(&[&["wal", action[0], text(&copy)], &action[1..]].concat(), "").fails(4);
        assert!(said.contains(&segment), "{action:?}: {said}");
    }
    assert!(before == files(&copy), "nothing is changed");
}
