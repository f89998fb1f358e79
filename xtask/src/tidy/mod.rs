//! `cargo xtask tidy`: what the compiler does not see but the house demands.
//!
//! Every check is a function from what it reads to findings; a finding names the place and what would be
//! right. A check looks at the files that git tracks or would track.

mod budgets;
mod deny;
mod levels;
mod names;
mod readme;
mod source;
mod text;

use crate::error::ChoreError;
use crate::workspace;
use std::fmt;
use std::path::Path;

pub(crate) use readme::commands_shown;

pub(crate) const HELP: &str = "cargo xtask tidy\n\
    crate levels, file and function budgets, names, texts, README, licences and bans (deny.toml)";

/// Something that has to be put right.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    place: String,
    what: String,
}

impl Finding {
    fn new(place: impl fmt::Display, what: impl Into<String>) -> Self {
        Self { place: place.to_string(), what: what.into() }
    }

    fn at(file: &Path, line: usize, what: impl Into<String>) -> Self {
        Self::new(format_args!("{}:{line}", file.display()), what)
    }
}

pub(crate) fn run(args: &[String]) -> Result<bool, ChoreError> {
    if let Some(arg) = args.first() {
        return Err(ChoreError::Usage(format!("tidy takes no `{arg}`\n{HELP}")));
    }
    let members = workspace::members()?;
    let files = workspace::tracked_files()?;
    let root = workspace::root();
    let mut findings = levels::check(&members);
    findings.extend(names::check(&files, &members, &root));
    for file in &files {
        // A file that is not text has nothing to say here.
        let Ok(text) = std::fs::read_to_string(root.join(file)) else { continue };
        findings.extend(text::check(file, &text));
        if file.extension().is_some_and(|extension| extension == "rs") {
            findings.extend(budgets::check(file, &text));
        }
    }
    findings.extend(budgets::stale_exceptions(&files));
    findings.extend(readme::check(&files, &root)?);
    findings.extend(deny::check(&root)?);
    findings.sort();
    for finding in &findings {
        println!("{}: {}", finding.place, finding.what);
    }
    println!("tidy: {} files, {} crates, {} findings", files.len(), members.len(), findings.len());
    Ok(findings.is_empty())
}
