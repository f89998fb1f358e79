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
        targets(document, None, &mut all);
    }
    all
}

/// Panels lie in rows, and rows in panels; a target is what has an expression. Where it names no data source it
/// asks its panel's, of the type `panels`.
fn targets(node: &Node, panels: Option<&str>, all: &mut Vec<Query>) {
    let own = node.get("datasource").and_then(|source| source.get("type")?.text());
    // Amazon's and Azure's plugins have `prometheus` in their names.
    if own.or(panels).is_none_or(|source| source.contains("prometheus")) {
        all.extend(node.get("expr").and_then(query));
    }
    for (_, inner) in node.entries() {
        targets(inner, own, all);
    }
    node.items().iter().for_each(|item| targets(item, panels, all));
}

fn query(node: &Node) -> Option<Query> {
    let text = node.text()?.trim();
    (!text.is_empty()).then(|| Query { text: text.to_owned(), line: node.line })
}
