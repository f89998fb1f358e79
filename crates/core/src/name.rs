//! What a topic or a group may be called.

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

impl crate::fault::Classify for NameError {
    fn class(&self) -> crate::fault::Class {
        crate::fault::Class::Permanent
    }
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
}
