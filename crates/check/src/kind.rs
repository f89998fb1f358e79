//! What a file is: by its ending, and then by what stands in it.

use crate::client::{self, Client};
use crate::document::{self, Node};
use crate::error::CheckError;
use crate::query::{self, Query};
use std::path::Path;

/// What there is to be checked in a file.
#[derive(Debug)]
pub(crate) enum Content {
    /// Settings of Kafka clients.
    Clients(Vec<Client>),
    /// Queries of Prometheus rules or a dashboard.
    Queries(Vec<Query>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Syntax {
    Properties,
    Yaml,
    Json,
}

/// Reads the text of the file `name`.
pub(crate) fn read(name: &str, text: &str) -> Result<Content, CheckError> {
    let unknown = |found| Err(CheckError::UnknownKind { file: name.to_owned(), found });
    let Some(syntax) = syntax(name, text) else { return unknown("its ending says nothing, nor its content") };
    let documents = match syntax {
        Syntax::Properties => {
            let node = document::properties(text);
            let clients = client::in_properties(&node);
            return if clients.is_empty() {
                unknown("no setting of a Kafka client is in it")
            } else {
                Ok(Content::Clients(clients))
            };
        }
        Syntax::Json => vec![document::json(name, text)?],
        Syntax::Yaml => document::yaml(name, text)?,
    };
    if documents.iter().any(query::is_source) {
        return Ok(Content::Queries(documents.iter().flat_map(query::of_document).collect()));
    }
    let clients: Vec<_> = documents.iter().flat_map(client::in_tree).collect();
    if clients.is_empty() {
        return unknown("neither rules, nor a dashboard, nor settings of a Kafka client are in it");
    }
    Ok(Content::Clients(clients))
}

fn syntax(name: &str, text: &str) -> Option<Syntax> {
    let ending = Path::new(name).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match ending.to_ascii_lowercase().as_str() {
        "properties" | "conf" | "cfg" | "config" | "rdkafka" => Some(Syntax::Properties),
        "yml" | "yaml" | "rules" => Some(Syntax::Yaml),
        "json" => Some(Syntax::Json),
        _ => guess(text),
    }
}

fn guess(text: &str) -> Option<Syntax> {
    if text.trim_start().starts_with('{') {
        return Some(Syntax::Json);
    }
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines.next()?;
    if first.contains('=') && client::in_properties(&document::properties(text)).iter().any(Client::is_sure) {
        return Some(Syntax::Properties);
    }
    let yaml: Result<Vec<Node>, _> = document::yaml("", text);
    yaml.is_ok_and(|documents| documents.iter().any(|node| !node.entries().is_empty()))
        .then_some(Syntax::Yaml)
}
