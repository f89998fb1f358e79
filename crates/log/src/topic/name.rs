//! What a topic or group may be called, and where it lies on disk.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// The longest name, in bytes: Kafka's bound.
pub const NAME_BYTES_MAX: usize = 249;

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty or too long.
    #[error("{what} name has {bytes} bytes; 1 to {NAME_BYTES_MAX} are accepted")]
    Length {
        /// `topic` or `group`.
        what: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// A character outside the set.
    #[error(
        "{what} name {name:?} holds {found:?} at byte {at}; a-z, A-Z, 0-9, '.', '_' and '-' are accepted"
    )]
    Character {
        /// `topic` or `group`.
        what: &'static str,
        /// The name.
        name: String,
        /// The character.
        found: char,
        /// Its byte index.
        at: usize,
    },
    /// `.` or `..`.
    #[error("{what} name {name:?} is a directory's own name; choose another")]
    Dots {
        /// `topic` or `group`.
        what: &'static str,
        /// The name.
        name: String,
    },
}

/// Refuses what Kafka would refuse, so that a topic can move there.
///
/// # Errors
/// [`NameError`] names the character and its place.
pub fn check_name(what: &'static str, name: &str) -> Result<(), NameError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(NameError::Length { what, bytes: name.len() });
    }
    let bad = name.char_indices().find(|(_, c)| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')));
    if let Some((at, found)) = bad {
        return Err(NameError::Character { what, name: name.to_owned(), found, at });
    }
    if name == "." || name == ".." {
        return Err(NameError::Dots { what, name: name.to_owned() });
    }
    Ok(())
}

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
    fn names_that_could_leave_the_directory_are_refused() {
        for name in ["", ".", "..", "../x", "a/b", "a\\b", "a\0b", "a b", "é", "a\r\n"] {
            assert!(check_name("topic", name).is_err(), "{name:?}");
        }
        assert!(check_name("topic", &"x".repeat(250)).is_err());
        for name in ["orders", "a.b_c-D9", "...", &"x".repeat(249)] {
            assert_eq!(check_name("topic", name), Ok(()), "{name:?}");
        }
        let error = check_name("topic", "a/b").unwrap_err().to_string();
        assert!(error.contains("'/' at byte 1"), "{error}");
    }

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
