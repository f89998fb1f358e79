//! What is wrong with files that others wrote: settings of Kafka clients, Prometheus rules, dashboards.
//!
//! A file is read into a [`document`] that knows its lines, [`kind`] says what it is, and each file of [`rule`]
//! looks at it for one mistake. A finding names its place, the failure that the mistake leads to, and the fix.
//! What cannot be judged (a value that a template fills in later) is passed over; what cannot be read is an
//! error, never a clean bill.

mod client;
mod document;
mod error;
mod finding;
mod kind;
pub mod promql;
mod query;
mod rule;

pub use error::CheckError;
pub use finding::Finding;
pub use query::{Query, queries};

use client::Client;
use kind::Content;
use std::path::Path;

/// Reads `file` and says what is wrong with it, in the order of its lines.
///
/// # Errors
/// [`CheckError`] where it cannot be read, is of no known kind, or is malformed; [`CheckError::Partly`] has the
/// findings in its other queries.
pub fn check(file: &Path) -> Result<Vec<Finding>, CheckError> {
    let text = std::fs::read_to_string(file)
        .map_err(|source| CheckError::Read { file: file.display().to_string(), source })?;
    check_text(file, &text)
}

/// As [`check`], with the text given; `file` is its name.
///
/// # Errors
/// As there, without [`CheckError::Read`].
pub fn check_text(file: &Path, text: &str) -> Result<Vec<Finding>, CheckError> {
    let name = file.display().to_string();
    let mut problems = Vec::new();
    let mut findings = match kind::read(&name, text)? {
        Content::Clients(clients) => of_clients(&clients),
        Content::Queries(queries) => {
            let judged = queries.iter().map(|query| rule::of_query(&name, query));
            judged
                .filter_map(|found| found.map_err(|problem| problems.push(problem)).ok())
                .flatten()
                .collect()
        }
    };
    for finding in &mut findings {
        finding.file.clone_from(&name);
    }
    findings.sort_by_key(|finding| finding.line);
    if problems.is_empty() { Ok(findings) } else { Err(CheckError::Partly { findings, problems }) }
}

/// Clients that have a setting in common say the same of it.
fn of_clients(clients: &[Client]) -> Vec<Finding> {
    let mut all: Vec<_> = clients.iter().flat_map(rule::of_client).collect();
    all.sort_by(|a, b| (a.line, a.rule, &a.what).cmp(&(b.line, b.rule, &b.what)));
    all.dedup();
    all
}
