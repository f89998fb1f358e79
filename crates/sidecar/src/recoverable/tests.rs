//! Starts that fail leave every byte of every spill as it is. No cluster answers here.

use super::*;
use crate::ingest::problem_of;
use seawall_core::{Clock, Record, SystemClock};
use seawall_producer::{Left, OpenError, ProducerOptions, SpillOptions};
use std::collections::BTreeMap;
use tokio_util::sync::CancellationToken;

fn config(dir: &Path, producer: &str) -> Config {
    let data = dir.join("data").display().to_string();
    let text = format!(
        "[data]\ndir = {data:?}\n[ingest]\nsink = \"kafka\"\n{producer}\n\
         [[cluster]]\nname = \"kafka\"\nbootstrap = [\"127.0.0.1:9\"]\n"
    );
    config::parse(&text, "test.toml").expect("valid")
}

/// Every file below `dir`, with its bytes.
fn bytes_below(dir: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            bytes_below(&path, into);
        } else {
            into.insert(path.clone(), std::fs::read(path).expect("read"));
        }
    }
}

fn order(n: u8) -> Outgoing {
    Outgoing { topic: "orders".into(), partition: None, record: Record::new(None, vec![n]) }
}

/// A sink that is gone.
struct Gone;

impl Sink for Gone {
    async fn send(&self, records: Vec<Outgoing>) -> Vec<Result<Receipt, Fault>> {
        let gone = |_| Err(Fault::new(seawall_core::Class::Transient, "gone".to_owned()));
        records.into_iter().map(gone).collect()
    }
}

/// Leaves `records` acknowledged records in a spill of `owner` in `dir`.
async fn leave(dir: &Path, owner: &str, records: u8) {
    let options =
        ProducerOptions { spill: Some(SpillOptions::new(dir, owner)), ..ProducerOptions::default() };
    let producer = Producer::open(options, vec![Target::new("kafka", Gone)]).expect("opened");
    for sent in producer.send_all::<Synced>((0..records).map(order).collect()).await {
        sent.expect("a receipt");
    }
    producer.close(Duration::ZERO).await;
}

#[tokio::test]
async fn a_start_that_fails_names_the_spill_and_leaves_its_bytes() {
    let dir = tempfile::tempdir().expect("a directory");
    let spill = dir.path().join("data/spill/ingest.kafka");
    leave(&spill, "ingest.kafka", 3).await;
    let with = config(dir.path(), "[producer]");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let stop = CancellationToken::new();
    let clusters = Clusters::open(&with, &clock, &stop).await.expect("waited for");
    let manifest = spill.join("manifest.json");
    let mine = std::fs::read_to_string(&manifest).expect("read");
    let other_owner = mine.replace("ingest.kafka", "payments");
    let other_version = mine.replace("\"version\": 1", "\"version\": 7");
    assert!(mine != other_owner && mine != other_version, "{mine}");
    let cases = [
        (other_owner, "belongs to \"payments\""),
        (other_version, "format version 7; this build reads versions up to 2"),
        (mine[..mine.len() / 2].to_owned(), "manifest.json"),
    ];
    for (text, says) in cases {
        std::fs::write(&manifest, text).expect("written");
        let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
        bytes_below(&spill, &mut before);
        let error = Producers::open(&with, &clusters).expect_err(says);
        let said = Fault::from(error.clone()).to_string();
        assert!(said.contains(says) && said.contains("ingest.kafka"), "{said}");
        assert!(!error.is_config(), "{said}");
        bytes_below(&spill, &mut after);
        assert_eq!(before, after, "{says}");
    }
    std::fs::write(&manifest, &mine).expect("written");

    // Nobody would deliver these: without the section, or under another cluster's name.
    let error = Producers::open(&config(dir.path(), ""), &clusters).expect_err("an orphan");
    assert!(matches!(&error, RecoverableError::Orphan { records: 3, .. }) && error.is_config(), "{error}");
    let renamed = spill.with_file_name("ingest.east");
    std::fs::rename(&spill, &renamed).expect("renamed");
    let error = Producers::open(&with, &clusters).expect_err("an orphan");
    assert!(matches!(&error, RecoverableError::Orphan { dir, .. } if *dir == renamed), "{error}");
    std::fs::rename(&renamed, &spill).expect("renamed");
    // Nobody's, and nobody can say what waits in it.
    let other = spill.with_file_name("ingest.west");
    std::fs::create_dir(&other).expect("made");
    std::fs::write(other.join("manifest.json"), "{").expect("written");
    let error = Producers::open(&with, &clusters).expect_err("unread");
    assert!(matches!(&error, RecoverableError::Unread { dir, .. } if *dir == other), "{error}");
    assert!(!error.is_config(), "{error}");
    std::fs::remove_dir_all(&other).expect("removed");

    // What has nothing to deliver keeps nobody from starting.
    leave(&spill.with_file_name("ingest.gone"), "ingest.gone", 0).await;
    std::fs::create_dir(spill.with_file_name("notes")).expect("made");
    let producers = Producers::open(&with, &clusters).expect("its own");
    let found = producers.get(Use::Ingest, "kafka").expect("there").snapshot();
    assert_eq!(found.backlog_records, 3);
    let locked = Producers::open(&with, &clusters).expect_err("in use");
    assert!(matches!(&locked, RecoverableError::Open { source: OpenError::Locked { .. }, .. }), "{locked}");
    stop.cancel();
}

#[tokio::test]
async fn a_directory_of_spills_that_cannot_be_read_ends_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("data/spill");
    std::fs::create_dir_all(dir.path().join("data")).expect("made");
    // A file in its place: whoever runs the tests, it is no directory to read.
    std::fs::write(&root, "").expect("written");
    for producer in ["", "[producer]"] {
        let error = Producers::open(&config(dir.path(), producer), &Clusters::default()).expect_err("unread");
        assert!(matches!(&error, RecoverableError::Spills { dir, .. } if *dir == root), "{error}");
        assert!(!error.is_config(), "{error}");
    }
    std::fs::remove_file(&root).expect("removed");
    let none = Producers::open(&config(dir.path(), ""), &Clusters::default()).expect("no spill");
    assert!(none.all().is_empty());
}

#[test]
fn each_refusal_has_its_status_and_says_when_to_come_back() {
    let full = SendError::Full { waited: Duration::ZERO, bytes_max: 1, records_max: 1, cause: None };
    let late = |left| SendError::TimedOut { after: Duration::from_secs(1), left, cause: None };
    let cases = [
        (full, 503, "full", true),
        (late(Left::Nothing), 503, "timed-out", true),
        (late(Left::Unknown), 504, "timed-out", true),
        (late(Left::Spilled), 504, "timed-out", true),
        (SendError::TooLarge { bytes: 2, max: 1 }, 413, "too-large", false),
        (SendError::Closed, 503, "unavailable", true),
    ];
    for (error, status, kind, again) in cases {
        let problem = problem_of(&Fault::from(error));
        let response: http::Response<bytes::Bytes> = problem.response();
        let comes_back = response.headers().contains_key(http::header::RETRY_AFTER);
        assert_eq!((response.status().as_u16(), problem.kind(), comes_back), (status, kind, again));
    }
}
