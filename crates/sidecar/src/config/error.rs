//! What is wrong with a config, said so that it can be put right: place, field, value, and what would be right.

use seawall_core::{Class, Classify};
use std::fmt;
use std::path::PathBuf;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, as named by the caller.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The field's path, `pipeline[0].guard.rate`; empty where the mistake is not about a field.
    pub field: String,
    /// The value as written; left out where it might be a secret.
    pub value: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What would be right.
    pub fix: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        match (&*self.field, &self.value) {
            ("", _) => {}
            (field, Some(value)) => write!(f, "{field} = {value}: ")?,
            (field, None) => write!(f, "{field}: ")?,
        }
        f.write_str(&self.problem)?;
        match &self.fix {
            Some(fix) => write!(f, "; {fix}"),
            None => Ok(()),
        }
    }
}

/// Why a config is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the config {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The config says something wrong; all mistakes that could be found, at least one.
    #[error("{}", Findings(.0))]
    Invalid(Vec<Finding>),
    /// A secret that the config names cannot be had.
    #[error(transparent)]
    Secret(#[from] super::secret::SecretError),
    /// A reload would change what only a restart can change.
    #[error("only limits can change while running; a restart is needed for {}", fields.join(", "))]
    NeedsRestart {
        /// The fields that differ.
        fields: Vec<String>,
    },
}

impl ConfigError {
    /// The mistakes, where there are any.
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Invalid(findings) => findings,
            Self::Read { .. } | Self::Secret(_) | Self::NeedsRestart { .. } => &[],
        }
    }
}

impl Classify for ConfigError {
    fn class(&self) -> Class {
        Class::Permanent
    }
}

struct Findings<'a>(&'a [Finding]);

impl fmt::Display for Findings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, finding) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{finding}")?;
        }
        Ok(())
    }
}
