//! Where each field stands in the file, so that every mistake can be shown at its place.

use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One field or element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// `pipeline[0].push.url`.
    pub path: String,
    /// Its own name, empty for an element of an array.
    pub name: String,
    /// Path of the table or array it stands in.
    pub parent: String,
    /// Bytes of its name (of its value for an element).
    pub key: Range<usize>,
    /// Bytes of its value.
    pub value: Range<usize>,
    /// How it is written.
    pub form: Form,
}

impl Entry {
    /// Whether it holds other fields.
    pub(super) fn nested(&self) -> bool {
        self.form != Form::Value
    }
}

/// How a field is written, or is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Value,
    Table,
    Array,
}

/// All fields of a parsed file.
#[derive(Clone, Debug, Default)]
pub(super) struct Outline(Vec<Entry>);

impl Outline {
    /// Lists the fields of `root`, parents before children.
    pub(super) fn of(root: &DeTable<'_>) -> Self {
        let mut outline = Self::default();
        outline.table("", root);
        outline
    }

    fn table(&mut self, parent: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = key.get_ref().to_string();
            let path = if parent.is_empty() { name.clone() } else { format!("{parent}.{name}") };
            self.entry(
                Entry {
                    path,
                    name,
                    parent: parent.to_owned(),
                    key: key.span(),
                    value: value.span(),
                    form: Form::Value,
                },
                value,
            );
        }
    }

    fn entry(&mut self, mut entry: Entry, value: &Spanned<DeValue<'_>>) {
        let path = entry.path.clone();
        match value.get_ref() {
            DeValue::Table(table) => {
                entry.form = Form::Table;
                self.0.push(entry);
                self.table(&path, table);
            }
            DeValue::Array(items) => {
                entry.form = Form::Array;
                self.0.push(entry);
                for (at, item) in items.iter().enumerate() {
                    self.entry(
                        Entry {
                            path: format!("{path}[{at}]"),
                            name: String::new(),
                            parent: path.clone(),
                            key: item.span(),
                            value: item.span(),
                            form: Form::Value,
                        },
                        item,
                    );
                }
            }
            _ => self.0.push(entry),
        }
    }

    /// All fields, parents before children.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// The field at `path`, or its closest parent that is written.
    pub(super) fn find(&self, path: &str) -> Option<&Entry> {
        let mut path = path;
        loop {
            if let Some(entry) = self.0.iter().find(|e| e.path == path) {
                return Some(entry);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// The innermost field whose name or value covers `span`.
    pub(super) fn at(&self, span: &Range<usize>) -> Option<&Entry> {
        let covers = |outer: &Range<usize>| outer.start <= span.start && span.end <= outer.end;
        let exact = self.0.iter().rev().find(|e| e.key == *span || e.value == *span);
        exact.or_else(|| {
            self.0.iter().filter(|e| covers(&e.key) || covers(&e.value)).min_by_key(|e| e.value.len())
        })
    }
}

/// Line and column, both from 1, of byte `at` of `text`. The column counts characters.
pub(super) fn line_column(text: &str, at: usize) -> (usize, usize) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_places_by_path_and_paths_by_place() {
        let text = "[data]\ndir = \"x\"\n[[pipeline]]\nname = \"a\"\ntopics = [\"t\"]\n";
        let table = DeTable::parse(text).expect("valid");
        let outline = Outline::of(table.get_ref());
        let topic = outline.find("pipeline[0].topics[0]").expect("there");
        assert_eq!(line_column(text, topic.value.start), (5, 11));
        assert_eq!(outline.find("pipeline[0].push.url").map(|e| &*e.path), Some("pipeline[0]"));
        assert_eq!(outline.at(&topic.value).map(|e| &*e.path), Some("pipeline[0].topics[0]"));
        assert_eq!(line_column("ä\nöb", 4), (2, 1), "inside a character counts as before it");
    }
}
