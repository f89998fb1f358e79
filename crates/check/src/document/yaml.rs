//! YAML 1.2. Several documents in one file become one list.

use super::{Node, Value};
use crate::error::CheckError;
use saphyr_parser::{Event, Parser, ScanError, Span};
use std::collections::HashMap;

/// Deeper than any file that a person wrote; the reader recurses.
const DEPTH_MAX: usize = 100;
/// Aliases are copied: a few lines of them can stand for more values than there is memory.
const NODES_MAX: usize = 1_000_000;

pub(crate) fn parse(file: &str, text: &str) -> Result<Vec<Node>, CheckError> {
    let mut reader = Reader { events: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
    let mut documents = Vec::new();
    let malformed = |(line, problem)| CheckError::Malformed { file: file.to_owned(), line, problem };
    while let Some((event, span)) = reader.next().map_err(malformed)? {
        if matches!(event, Event::DocumentStart(_)) {
            let (event, span) = reader.want(line(span)).map_err(malformed)?;
            documents.push(reader.node(event, span, 0).map_err(malformed)?);
        }
    }
    Ok(documents)
}

type Wrong = (usize, String);

struct Reader<'a, T: saphyr_parser::Input> {
    events: Parser<'a, T>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

fn line(span: Span) -> usize {
    span.start.line()
}

impl<'a, T: saphyr_parser::Input> Reader<'a, T> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Wrong> {
        let wrong = |error: ScanError| (error.marker().line(), format!("not YAML: {}", error.info()));
        self.events.next_event().transpose().map_err(wrong)
    }

    fn want(&mut self, line: usize) -> Result<(Event<'a>, Span), Wrong> {
        self.next()?.ok_or_else(|| (line, "not YAML: it ends too early".to_owned()))
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Wrong> {
        let line = line(span);
        self.nodes += 1;
        if depth > DEPTH_MAX || self.nodes > NODES_MAX {
            return Err((line, format!("deeper than {DEPTH_MAX} levels or more than {NODES_MAX} values")));
        }
        let (anchor, value) = match event {
            Event::Scalar(text, _, anchor, _) => (anchor, Value::Scalar(text.into_owned())),
            Event::Alias(anchor) => return self.copy(anchor, line),
            Event::SequenceStart(anchor, _) => (anchor, self.list(line, depth)?),
            Event::MappingStart(anchor, _) => (anchor, self.map(line, depth)?),
            other => return Err((line, format!("not YAML: {other:?} instead of a value"))),
        };
        let node = Node { line, value };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn copy(&mut self, anchor: usize, line: usize) -> Result<Node, Wrong> {
        let unknown = || (line, "not YAML: an alias of an anchor that is not there (yet)".to_owned());
        let node = self.anchors.get(&anchor).ok_or_else(unknown)?.clone();
        let mut count = 0;
        node.each(&mut |_| count += 1);
        self.nodes += count;
        Ok(node)
    }

    fn list(&mut self, line: usize, depth: usize) -> Result<Value, Wrong> {
        let mut items = Vec::new();
        loop {
            match self.want(line)? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, line: usize, depth: usize) -> Result<Value, Wrong> {
        let mut entries = Vec::new();
        loop {
            let (event, span) = self.want(line)?;
            if matches!(event, Event::MappingEnd) {
                return Ok(Value::Map(entries));
            }
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.want(key.line)?;
            let node = self.node(event, span, depth + 1)?;
            // A key that is a list or a map names no setting.
            let name = key.text().unwrap_or_default().to_owned();
            if name == "<<" {
                entries.extend(node.entries().iter().cloned());
            } else {
                entries.push((name, node));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    #[test]
    fn lines_anchors_and_documents_are_read() {
        let text = "a: &x\n  b: 1\nc:\n  <<: *x\n  d: [2, '3']\n---\ne: |\n  long\n";
        let all = parse("f", text).unwrap();
        assert_eq!((all.len(), all[0].get("c").unwrap().get("b").unwrap().text()), (2, Some("1")));
        let list = all[0].get("c").unwrap().get("d").unwrap();
        assert_eq!((list.line, list.items()[1].text()), (5, Some("3")));
        assert_eq!(all[1].get("e").unwrap().text(), Some("long\n"));
    }

    #[test]
    fn what_is_not_yaml_or_too_much_of_it_is_an_error() {
        let said = |text: &str| parse("f", text).unwrap_err().to_string();
        assert!(said("a: [1\nb: 2").starts_with("f:"), "{}", said("a: [1\nb: 2"));
        assert!(said(&"[".repeat(5_000)).starts_with("f:"), "deep");
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..8 {
            let before = format!("*a{},", n - 1).repeat(10);
            writeln!(bomb, "a{n}: &a{n} [{before}]").unwrap();
        }
        assert!(said(&bomb).contains("more than"), "bomb");
    }
}
