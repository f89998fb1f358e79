//! What a rule says.

use std::fmt;

/// One mistake, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's id, which stays: `kafka/acks`, `prometheus/lag-without-partition`, …
    pub rule: &'static str,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What stands there.
    pub what: String,
    /// The failure that it leads to.
    pub why: &'static str,
    /// What would be right.
    pub fix: String,
}

impl Finding {
    pub(crate) fn new(
        rule: &'static str,
        line: usize,
        what: impl Into<String>,
        why: &'static str,
        fix: impl Into<String>,
    ) -> Self {
        Self { rule, file: String::new(), line, what: what.into(), why, fix: fix.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, file, line, what, why, fix } = self;
        write!(f, "{file}:{line}: {rule}: {what}\n    why: {why}\n    fix: {fix}")
    }
}
