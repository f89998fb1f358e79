//! Queries in Prometheus rules (also as Kubernetes objects of the operator) and in Grafana dashboards.

use crate::document::Node;
use crate::error::CheckError;
use crate::kind::{self, Content};

/// A PromQL query and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The query, as it is written.
    pub text: String,
    /// The line, from 1; of a query over several lines the first.
    pub line: usize,
}

/// The queries of the file `name` with the content `text`.
///
/// # Errors
/// [`CheckError`] where it is malformed or neither rules nor a dashboard.
pub fn queries(name: &str, text: &str) -> Result<Vec<Query>, CheckError> {
    match kind::read(name, text)? {
        Content::Queries(queries) => Ok(queries),
        Content::Clients(_) => {
            Err(CheckError::UnknownKind { file: name.to_owned(), found: "it has no queries" })
        }
    }
}

/// The groups of a file of rules.
fn groups(document: &Node) -> Option<&Node> {
    let groups = document.get("groups").or_else(|| document.get("spec")?.get("groups"))?;
    groups.items().iter().any(|group| group.get("rules").is_some()).then_some(groups)
}

fn is_dashboard(document: &Node) -> bool {
    let board = document.get("dashboard").unwrap_or(document);
    board.get("panels").is_some() || board.get("rows").is_some()
}

pub(crate) fn is_source(document: &Node) -> bool {
    groups(document).is_some() || is_dashboard(document)
}

pub(crate) fn of_document(document: &Node) -> Vec<Query> {
    let mut all = Vec::new();
    if let Some(groups) = groups(document) {
        let rules = groups.items().iter().filter_map(|group| group.get("rules")).flat_map(Node::items);
        all.extend(rules.filter_map(|rule| query(rule.get("expr")?)));
    } else if is_dashboard(document) {
        // Panels lie in rows, and rows in panels; a target is what has an expression.
        document.each(&mut |node| all.extend(node.get("expr").and_then(query)));
    }
    all
}

fn query(node: &Node) -> Option<Query> {
    let text = node.text()?.trim();
    (!text.is_empty()).then(|| Query { text: text.to_owned(), line: node.line })
}
