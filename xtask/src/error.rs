//! What can keep a chore from giving a verdict at all.

use std::fmt;
use std::io;
use std::path::Path;

/// Not a failed test or finding (those are verdicts) but a chore that could not do its work.
#[derive(Debug)]
pub(crate) enum ChoreError {
    /// Wrong arguments.
    Usage(String),
    /// A file or a program could not be used.
    Io { what: String, source: io::Error },
    /// A program ended badly where its success was needed.
    Program { what: String, how: String },
    /// A file of the project does not say what it should.
    Malformed { place: String, why: String },
}

impl ChoreError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    pub(crate) fn malformed(place: &Path, why: impl fmt::Display) -> Self {
        Self::Malformed { place: place.display().to_string(), why: why.to_string() }
    }

    /// The exit code, as the design lists them.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Malformed { .. } => 3,
            Self::Io { .. } | Self::Program { .. } => 4,
        }
    }
}

impl fmt::Display for ChoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(why) => f.write_str(why),
            Self::Io { what, source } => write!(f, "{what}: {source}"),
            Self::Program { what, how } => write!(f, "{what}: {how}"),
            Self::Malformed { place, why } => write!(f, "{place}: {why}"),
        }
    }
}

impl std::error::Error for ChoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
