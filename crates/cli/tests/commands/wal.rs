//! `wal`: a damaged log is named, and repaired only when told to.

use crate::house;
use crate::tool::{files, post, seawall, text, total, up};
use serde_json::Value;
use std::path::Path;

/// The segment that holds the most frames, as `wal inspect` shows it.
fn fullest(data: &Path) -> Value {
    let segments = seawall(&["wal", "inspect", text(data), "--format", "json"], "").json();
    let frames = |s: &Value| s["next"].as_u64().unwrap() - s["first"].as_u64().unwrap();
    let topics = segments.into_iter().filter(|s| s["log"].as_str().unwrap().contains("/t-"));
    topics.max_by_key(frames).unwrap()
}

#[test]
fn damage_is_named_and_repaired_only_when_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = up(&data, "0");
    for n in 0..60 {
        assert_eq!(post(&server, "one key", format!("{{\"order\":{n}}}").as_bytes()).status, 201);
    }
    house::settled(&server, 60);
    assert_eq!(total(&server, "acked"), 60);
    server.stop();
    let sound = seawall(&["wal", "verify", text(&data)], "").ok();
    assert!(sound.lines().all(|line| line.ends_with("sound")), "{sound}");
    assert!(seawall(&["wal", "repair", text(&data)], "").ok().contains("nothing to repair"));

    let segment = fullest(&data);
    let name = segment["segment"].as_str().unwrap();
    let path = Path::new(segment["log"].as_str().unwrap()).join(name);
    let mut bytes = std::fs::read(&path).unwrap();
    let flipped = segment["bytes"].as_u64().unwrap() * 2 / 3;
    bytes[flipped as usize] ^= 0x10;
    std::fs::write(&path, bytes).unwrap();

    let verified = seawall(&["wal", "verify", text(&data)], "");
    let line = verified.out.lines().find(|line| line.contains(name) && !line.ends_with("sound"));
    let line = line.unwrap_or_else(|| panic!("{verified:?}")).to_owned();
    verified.fails(1);
    let damaged = fullest(&data);
    let at = damaged["bytes"].as_u64().unwrap();
    assert!(at <= flipped && flipped - at < 4_096, "the frame that was hit: {at}, not {flipped}");
    assert!(line.contains(&at.to_string()), "names the offset {at}: {line}");
    let said = seawall(&["consume", "orders", "--data", text(&data), "--from-start"], "").fails(4);
    assert!(said.contains(name) && said.contains(&at.to_string()), "{said}");

    let before = files(&data);
    let planned = seawall(&["wal", "repair", text(&data)], "");
    assert!(planned.out.contains("--write"), "{planned:?}");
    let lost = segment["next"].as_u64().unwrap() - damaged["next"].as_u64().unwrap();
    assert!(lost > 0 && planned.out.contains(&format!("at least {lost} frames, ")), "{lost}: {planned:?}");
    planned.fails(1);
    assert!(before == files(&data), "a plan changes nothing");

    let done = seawall(&["wal", "repair", text(&data), "--write"], "").ok();
    assert!(done.contains(name), "{done}");
    seawall(&["wal", "verify", text(&data)], "").ok();
    let values = seawall(&["consume", "orders", "--data", text(&data), "--from-start"], "").ok();
    let kept = values.lines().count();
    let expected: Vec<_> = (0..kept).map(|n| format!("{{\"order\":{n}}}\n")).collect();
    assert!(kept > 0 && kept < 60, "{kept}");
    assert_eq!(values, expected.concat(), "the exact prefix");
    assert!(
        files(&data).keys().any(|file| file.extension().is_some_and(|e| e == "cut")),
        "moved, not deleted"
    );
}

#[test]
fn a_directory_without_logs_is_told() {
    let dir = tempfile::tempdir().unwrap();
    for action in ["inspect", "verify", "repair"] {
        assert!(seawall(&["wal", action, text(dir.path())], "").fails(3).contains("no log"));
    }
}

/// A sink that is away, and then refuses everything for good.
#[derive(Clone, Default)]
struct Hostile(std::sync::Arc<std::sync::atomic::AtomicBool>);

impl seawall_core::Sink for Hostile {
    async fn send(
        &self,
        records: Vec<seawall_core::Outgoing>,
    ) -> Vec<Result<seawall_core::Receipt, seawall_core::Fault>> {
        use seawall_core::{Class, Fault};
        let refuses = self.0.load(std::sync::atomic::Ordering::Relaxed);
        let (class, why) = if refuses { (Class::Permanent, "too large") } else { (Class::Transient, "away") };
        records.iter().map(|_| Err(Fault::new(class, why))).collect()
    }
}

#[test]
fn what_was_refused_for_good_is_printed_driven_again_and_purged_only_when_told_to() {
    use seawall_core::{Outgoing, Record};
    use seawall_producer::{Producer, ProducerOptions, SpillOptions, Synced, Target};
    let dir = tempfile::tempdir().unwrap();
    let (spill, data) = (dir.path().join("spill"), dir.path().join("data"));
    seawall(&["produce", "orders", "--data", text(&data), "--create", "1"], "").ok();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let refuse = |topic: &str| {
        runtime.block_on(async {
            let disk = Some(SpillOptions::new(&spill, "tests"));
            let options = ProducerOptions { spill: disk, ..ProducerOptions::default() };
            let sink = Hostile::default();
            let producer = Producer::open(options, vec![Target::new("away", sink.clone())]).unwrap();
            for n in 0..3 {
                let record = Record::new(bytes::Bytes::from_static(b"k"), format!("{n}"));
                let order = Outgoing { topic: topic.into(), partition: None, record };
                producer.send::<Synced>(order).await.unwrap();
            }
            sink.0.store(true, std::sync::atomic::Ordering::Relaxed);
            while producer.snapshot().refused_records < 3 {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            producer.close(std::time::Duration::from_millis(1)).await;
        });
    };
    refuse("orders");
    let refused = ["--which", "refused"];
    let exported = seawall(&[&["wal", "export", text(&spill)], &refused[..]].concat(), "").ok();
    let lines: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() == 3 && lines.iter().all(|line| line["refused"] == "too large"), "{exported}");
    // As everything that is exported, it can be produced.
    seawall(&["produce", "orders", "--data", text(&data), "--lines", "json"], &exported).ok();
    let replay = |more: &[&str]| {
        let base = ["wal", "replay", text(&spill), "--data", text(&data)];
        seawall(&[&base, &refused[..], more].concat(), "")
    };
    let before = files(&spill);
    assert!(replay(&[]).ok().contains("would deliver 3 records"));
    assert!(before == files(&spill), "looking changes nothing");
    assert!(replay(&["--write"]).ok().contains("3 records delivered, 0 left"));
    assert!(replay(&["--write"]).ok().contains("0 records delivered, 0 left"));
    let values = seawall(&["consume", "orders", "--data", text(&data), "--from-start"], "").ok();
    assert_eq!(values, "0\n1\n2\n0\n1\n2\n");

    refuse("no-such-topic");
    let stays = replay(&["--write"]);
    assert!(stays.out.contains("0 records delivered, 3 left"), "{stays:?}");
    let said = stays.fails(1);
    assert!(
        said.contains("3 records were refused for good again") && said.contains("no-such-topic"),
        "{said}"
    );
    let before = files(&spill);
    assert!(seawall(&["wal", "purge", text(&spill)], "").ok().contains("would delete 3 refused records"));
    assert!(before == files(&spill), "looking changes nothing");
    let purged = seawall(&["wal", "purge", text(&spill), "--write"], "").ok();
    assert!(purged.contains("3 refused records deleted"), "{purged}");
    assert!(seawall(&["wal", "inspect", text(&spill)], "").ok().contains("0 are refused"));
}

/// A sink that is away.
struct Away;

impl seawall_core::Sink for Away {
    async fn send(
        &self,
        records: Vec<seawall_core::Outgoing>,
    ) -> Vec<Result<seawall_core::Receipt, seawall_core::Fault>> {
        let away = || seawall_core::Fault::new(seawall_core::Class::Transient, "away");
        records.iter().map(|_| Err(away())).collect()
    }
}

#[test]
fn a_spill_is_explained_exported_and_replayed_only_when_told_to() {
    use seawall_core::{Outgoing, Record};
    use seawall_producer::{Producer, ProducerOptions, SpillOptions, Synced, Target};
    let dir = tempfile::tempdir().unwrap();
    let (spill, data) = (dir.path().join("spill"), dir.path().join("data"));
    seawall(&["produce", "orders", "--data", text(&data), "--create", "1"], "").ok();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let disk = Some(SpillOptions::new(&spill, "tests"));
        let options = ProducerOptions { spill: disk, ..ProducerOptions::default() };
        let producer = Producer::open(options, vec![Target::new("away", Away)]).unwrap();
        for n in 0..5 {
            let record = Record::new(bytes::Bytes::from_static(b"k"), format!("{n}"));
            let order = Outgoing { topic: "orders".into(), partition: None, record };
            producer.send::<Synced>(order).await.unwrap();
        }
        let busy = seawall(&["wal", "replay", text(&spill), "--data", text(&data), "--write"], "");
        assert!(busy.fails(4).contains("in use by another process"));
        producer.close(std::time::Duration::from_millis(1)).await;
    });
    let before = files(&spill);
    let inspected = seawall(&["wal", "inspect", text(&spill)], "").ok();
    assert!(inspected.contains("5 records waiting to be delivered, 0 delivered already"), "{inspected}");
    assert!(inspected.contains("spill of \"tests\": 5 records"), "{inspected}");
    seawall(&["wal", "verify", text(&spill)], "").ok();
    let exported = seawall(&["wal", "export", text(&spill)], "").ok();
    assert_eq!(exported.lines().count(), 5);
    assert!(exported.lines().all(|line| line.contains("orders") && line.contains("ce-id")), "{exported}");
    let planned = seawall(&["wal", "replay", text(&spill), "--data", text(&data)], "").ok();
    assert!(planned.contains("would deliver 5 records"), "{planned}");
    assert!(before == files(&spill), "looking changes nothing");
    let done = seawall(&["wal", "replay", text(&spill), "--data", text(&data), "--write"], "").ok();
    assert!(done.contains("5 records delivered, 0 left"), "{done}");
    let values = seawall(&["consume", "orders", "--data", text(&data), "--from-start"], "").ok();
    assert_eq!(values, "0\n1\n2\n3\n4\n");
    let again = seawall(&["wal", "replay", text(&spill), "--data", text(&data), "--write"], "").ok();
    assert!(again.contains("0 records delivered"), "{again}");
    assert!(seawall(&["wal", "export", text(&data)], "").fails(3).contains("no spill"));

    // A spill whose manifest is damaged, or gone, is taken up by nobody: it is not sound. What lies beside it is shown.
    let manifest = spill.join("manifest.json");
    let both = |action: &str| seawall(&["wal", action, text(dir.path())], "");
    assert!(both("verify").ok().contains("manifest of \"tests\", sound"));
    for change in [true, false] {
        if change {
            std::fs::write(&manifest, "{").unwrap();
        } else {
            std::fs::remove_file(&manifest).unwrap();
        }
        for action in ["verify", "inspect", "repair"] {
            let ended = both(action);
            assert!(
                ended.out.contains("spill: spill manifest") || ended.out.contains("manifest.json"),
                "{ended:?}"
            );
            assert!(ended.out.contains("/spill/log") && ended.out.contains("/data/"), "{action}: {ended:?}");
            assert!(ended.fails(1).contains("1 damaged"), "{action}");
        }
    }
    // One of a later version is no damage: it is told, and keeps nothing else from being shown.
    std::fs::write(&manifest, r#"{"format":"seawall-spill","version":99,"owner":"tests"}"#).unwrap();
    for action in ["verify", "inspect", "repair"] {
        let ended = both(action);
        assert!(ended.out.contains("/spill/log") && ended.out.contains("/data/"), "{action}: {ended:?}");
        assert!(ended.fails(4).contains("99"), "{action}");
    }
    // The manifest alone is judged, too.
    std::fs::remove_dir_all(&spill).unwrap();
    std::fs::create_dir(&spill).unwrap();
    std::fs::write(&manifest, "{").unwrap();
    assert!(seawall(&["wal", "verify", text(&spill)], "").out.contains("manifest.json"));
}
