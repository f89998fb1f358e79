//! Which topics there are: one small file, replaced as a whole.
//!
//! The first line says what the file is, its version and the crc32c of the rest; the rest is JSON, so that a
//! person can read it. It is written beside the old one, synced, renamed over it, and the directory is synced:
//! a crash leaves the old file or the new one. A file that does not read is an error that names the byte or the
//! line; it is never replaced by an empty one, because the partitions' data would be lost with it.

use crate::topic::{TopicOptions, check_name};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The version this build writes, and the only one it reads.
pub const CATALOG_VERSION: u32 = 1;
const MAGIC: &str = "seawall-log-catalog";

/// Why a catalog does not read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Not a catalog.
    #[error("line 1 is {found:?}; expected \"{MAGIC} v{CATALOG_VERSION} crc32c=…\"")]
    Header {
        /// The line, shortened.
        found: String,
    },
    /// Written by a newer build.
    #[error("catalog version {found}; this build reads version {CATALOG_VERSION}: use the newer build")]
    Newer {
        /// Its version.
        found: u32,
    },
    /// Damaged.
    #[error("crc32c of the {bytes} bytes after line 1 is {actual:08x}, line 1 says {expected:08x}")]
    Checksum {
        /// How many bytes were summed.
        bytes: usize,
        /// As written.
        expected: u32,
        /// As found.
        actual: u32,
    },
    /// Not the JSON that was expected, under a checksum that fits.
    #[error("the part after line 1")]
    Json(#[source] serde_json::Error),
    /// A topic that could not have been created.
    #[error("topic {name:?}: {why}")]
    Topic {
        /// Its name.
        name: String,
        /// What is wrong.
        why: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    topics: BTreeMap<String, Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    partitions: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    retention_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    retention_age_ms: Option<u64>,
}

/// The file's bytes.
///
/// # Errors
/// What serde says; none is known to happen.
pub(crate) fn encode(topics: &BTreeMap<Arc<str>, TopicOptions>) -> Result<Vec<u8>, CatalogError> {
    let entry = |options: &TopicOptions| Entry {
        partitions: options.partitions,
        retention_bytes: options.retention_bytes,
        retention_age_ms: options.retention_age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
    };
    let body =
        Body { topics: topics.iter().map(|(name, options)| (name.to_string(), entry(options))).collect() };
    let mut json = serde_json::to_vec_pretty(&body).map_err(CatalogError::Json)?;
    json.push(b'\n');
    let mut out = format!("{MAGIC} v{CATALOG_VERSION} crc32c={:08x}\n", crc32c::crc32c(&json)).into_bytes();
    out.append(&mut json);
    Ok(out)
}

/// Reads the file's bytes.
///
/// # Errors
/// [`CatalogError`].
pub(crate) fn decode(bytes: &[u8]) -> Result<BTreeMap<Arc<str>, TopicOptions>, CatalogError> {
    let (line, json) = match bytes.iter().position(|b| *b == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &bytes[bytes.len()..]),
    };
    let expected = checksum_of(line)?;
    let actual = crc32c::crc32c(json);
    if actual != expected {
        return Err(CatalogError::Checksum { bytes: json.len(), expected, actual });
    }
    let body: Body = serde_json::from_slice(json).map_err(CatalogError::Json)?;
    let mut topics = BTreeMap::new();
    for (name, entry) in body.topics {
        let options = TopicOptions {
            partitions: entry.partitions,
            retention_bytes: entry.retention_bytes,
            retention_age: entry.retention_age_ms.map(Duration::from_millis),
        };
        let refused = |why: String| CatalogError::Topic { name: name.clone(), why };
        check_name("topic", &name).map_err(|error| refused(error.to_string()))?;
        options.check().map_err(refused)?;
        topics.insert(Arc::from(name.as_str()), options);
    }
    Ok(topics)
}

fn checksum_of(line: &[u8]) -> Result<u32, CatalogError> {
    let text = String::from_utf8_lossy(line);
    let header = || CatalogError::Header { found: text.chars().take(80).collect() };
    let mut words = text.split(' ');
    if words.next() != Some(MAGIC) {
        return Err(header());
    }
    let version = words.next().and_then(|w| w.strip_prefix('v')).and_then(|w| w.parse::<u32>().ok());
    match version {
        Some(found) if found > CATALOG_VERSION => return Err(CatalogError::Newer { found }),
        Some(CATALOG_VERSION) => {}
        Some(_) | None => return Err(header()),
    }
    let sum = words.next().and_then(|w| w.strip_prefix("crc32c=")).filter(|w| w.len() == 8);
    sum.and_then(|w| u32::from_str_radix(w, 16).ok()).ok_or_else(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> BTreeMap<Arc<str>, TopicOptions> {
        let kept = TopicOptions {
            partitions: 3,
            retention_bytes: Some(1 << 30),
            retention_age: Some(Duration::from_secs(7)),
        };
        [(Arc::from("orders"), kept), (Arc::from("a"), TopicOptions::partitions(1))].into_iter().collect()
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(decode(&encode(&sample()).unwrap()).unwrap(), sample());
        assert!(decode(&encode(&BTreeMap::new()).unwrap()).unwrap().is_empty());
    }

    #[test]
    fn every_flip_and_every_cut_is_a_named_error() {
        let bytes = encode(&sample()).unwrap();
        for at in 0..bytes.len() {
            assert!(decode(&bytes[..at]).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                // Hex digits read alike in either case; nothing else may change unseen.
                let same = decode(&flipped).is_ok_and(|topics| topics == sample());
                assert!(decode(&flipped).is_err() || same, "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn a_newer_version_says_so() {
        let error = decode(b"seawall-log-catalog v2 something else\n").unwrap_err();
        assert!(matches!(error, CatalogError::Newer { found: 2 }), "{error}");
    }
}
