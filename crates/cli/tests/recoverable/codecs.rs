//! `compression` of a cluster: what the broker keeps is compressed as the configuration says.

use crate::acknowledged::Acknowledged;
use crate::clusters::{cluster, consumed, write};
use crate::house::http::Connection;
use crate::house::seawall::Seawall;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each name, and its number in the attributes of a record batch.
const CODECS: [(&str, u16); 5] = [("none", 0), ("gzip", 1), ("snappy", 2), ("lz4", 3), ("zstd", 4)];
/// The attributes, and how much of them is the codec (KIP-98, record batch of version 2).
const ATTRIBUTES: std::ops::Range<usize> = 21..23;
const CODEC: u16 = 0b111;

/// The first segments of the partitions of `topic` below `dir`.
fn segments(dir: &Path, topic: &str, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        match name.strip_prefix(topic) {
            Some(rest) if rest.starts_with('-') => into.push(path.join("00000000000000000000.log")),
            _ => segments(&path, topic, into),
        }
    }
}

/// The codecs of all batches in a segment.
fn codecs(segment: &Path) -> BTreeSet<u16> {
    let bytes = std::fs::read(segment).unwrap();
    let mut rest = &bytes[..];
    let mut found = BTreeSet::new();
    while let Some(length) = rest.get(8..12) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        // What the broker has set aside and not written.
        let Some(attributes) = rest.get(ATTRIBUTES).filter(|_| length > 0) else { break };
        found.insert(u16::from_be_bytes(attributes.try_into().unwrap()) & CODEC);
        rest = rest.get(12 + length..).unwrap_or_default();
    }
    found
}

#[test]
fn a_broker_keeps_what_is_sent_in_the_codec_of_the_configuration() {
    let Some(kafka) = crate::stage::kafka("codecs_kafka") else { return };
    for (codec, number) in CODECS {
        let dir = tempfile::tempdir().unwrap();
        let topic = format!("codec.{codec}");
        let clusters = format!("{}compression = {codec:?}\n", cluster("kafka", &kafka.bootstrap()));
        let server = Seawall::run(&write(dir.path(), &topic, &clusters, ""));
        let mut connection = Connection::open(server.ingest).unwrap();
        let mut acknowledged = Acknowledged::of_size(&topic, 500);
        for _ in 0..3 {
            assert!(acknowledged.post(&mut connection).only("replicated"));
        }
        server.stop();
        acknowledged.check(&[consumed(kafka, &topic)]);
        let mut found = Vec::new();
        segments(kafka.folder(), &topic, &mut found);
        let found: BTreeSet<u16> = found.iter().flat_map(|segment| codecs(segment)).collect();
        assert_eq!(found, BTreeSet::from([number]), "{codec}");
    }
}
