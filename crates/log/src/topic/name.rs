//! Where a topic lies on disk, and what its name is like.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// The directory of topic `name`: `t-` and the first 128 bits of its SHA-256 in hex. Nothing a caller writes
/// becomes part of a path, and names that differ in case alone stay apart on every file system.
pub fn directory_name(name: &str) -> String {
    let digest = Sha256::digest(name.as_bytes());
    let mut out = String::with_capacity(34);
    out.push_str("t-");
    for byte in digest.iter().take(16) {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// The up to three of `known` nearest to `name`, for an error that helps.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut scored: Vec<(usize, &str)> = known
        .map(|other| (strsim::damerau_levenshtein(&name.to_lowercase(), &other.to_lowercase()), other))
        .filter(|(distance, other)| *distance <= other.len().max(name.len()) / 2)
        .collect();
    scored.sort_unstable();
    scored.into_iter().take(3).map(|(_, other)| other.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_hashes() {
        // SHA-256("orders") begins so (checked with another implementation); data lies under it.
        assert_eq!(directory_name("orders"), "t-1c168adb00d208e42f93314529f1fa9c");
        assert_ne!(directory_name("orders"), directory_name("Orders"));
        assert!(directory_name("../../etc").bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    }

    #[test]
    fn near_names_are_offered_and_far_ones_are_not() {
        let known = ["orders", "orders.dlq", "payments"];
        assert_eq!(nearest("oders", known.into_iter()), ["orders", "orders.dlq"]);
        assert!(nearest("zzz", known.into_iter()).is_empty());
    }
}
