//! The JSON Schema of the config, and what it knows: the names of fields, the choices of a field.

use super::Config;
use super::outline::Form;
use serde_json::Value;

/// The JSON Schema of a config file, as `seawall config schema` prints it.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Config).to_value();
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".to_owned(), Value::from("Seawall configuration"));
    }
    schema
}

/// A walk through a schema along a path.
pub(super) struct Guide {
    root: Value,
}

impl Guide {
    pub(super) fn new() -> Self {
        Self { root: schema() }
    }

    /// The schema of the field at `path` (`pipeline[0].push.url`).
    pub(super) fn at(&self, path: &str) -> Option<&Value> {
        let mut node = &self.root;
        for part in path.split('.').filter(|part| !part.is_empty()) {
            let name = part.split('[').next().unwrap_or(part);
            node = self.resolve(node).get("properties")?.get(name)?;
            for _ in part.matches('[') {
                node = self.resolve(node).get("items")?;
            }
        }
        Some(self.resolve(node))
    }

    /// Follows references and the non-null side of an optional field.
    fn resolve<'a>(&'a self, node: &'a Value) -> &'a Value {
        if let Some(target) = node.get("$ref").and_then(Value::as_str) {
            let found = target.strip_prefix("#/").and_then(|rest| self.root.pointer(&format!("/{rest}")));
            return found.map_or(node, |found| self.resolve(found));
        }
        let options = node.get("anyOf").and_then(Value::as_array);
        let nullable = options.filter(|o| o.iter().any(|v| v.get("type") == Some(&Value::from("null"))));
        match nullable.and_then(|o| o.iter().find(|v| v.get("type") != Some(&Value::from("null")))) {
            Some(inner) => self.resolve(inner),
            None => node,
        }
    }

    /// The names of the fields of the table at `path`; `None` where any name is fine.
    pub(super) fn fields(&self, path: &str) -> Option<Vec<&str>> {
        let fields = self.at(path)?.get("properties")?.as_object()?;
        Some(fields.keys().map(String::as_str).collect())
    }

    /// Whether a table, or an array of them, stands at `path`; `None` where it is something else, or either.
    pub(super) fn form(&self, path: &str) -> Option<Form> {
        let node = self.at(path)?;
        if is_a(node, "object") {
            return Some(Form::Table);
        }
        let item = node.get("items").filter(|_| is_a(node, "array"))?;
        is_a(self.resolve(item), "object").then_some(Form::Array)
    }

    /// The innermost field that has to be written for `path` to be there.
    pub(super) fn needed(&self, path: &str) -> String {
        let mut path = path.to_owned();
        // Depth is that of the schema, which has no table that needs itself.
        while let Some(first) = self.at(&path).and_then(|node| node.get("required")?.get(0)?.as_str()) {
            path = format!("{path}.{first}");
        }
        path
    }

    /// What the field at `path` is, in the first sentence of its documentation.
    pub(super) fn meaning(&self, path: &str) -> Option<&str> {
        let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
        let text = self.at(parent)?.get("properties")?.get(name)?.get("description")?.as_str()?;
        Some(text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.'))
    }

    /// The values that the field at `path` may have, where they can be listed.
    pub(super) fn choices(&self, path: &str) -> Vec<&str> {
        let Some(node) = self.at(path) else { return Vec::new() };
        let plain = node.get("enum").and_then(Value::as_array).into_iter().flatten();
        let described = node.get("oneOf").and_then(Value::as_array).into_iter().flatten();
        plain.chain(described.filter_map(|option| option.get("const"))).filter_map(Value::as_str).collect()
    }
}

fn is_a(node: &Value, kind: &str) -> bool {
    match node.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(|one| one == kind),
        one => one.is_some_and(|one| one == kind),
    }
}

/// The one of `known` that `name` was most likely meant to be.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let near = |candidate: &&str| {
        let candidate = candidate.to_lowercase();
        let typos = strsim::osa_distance(&name, &candidate);
        typos <= (name.len() / 3).max(1) || strsim::jaro_winkler(&name, &candidate) >= 0.8
    };
    known
        .into_iter()
        .filter(near)
        .min_by_key(|candidate| strsim::osa_distance(&name, &candidate.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_fields_and_choices() {
        let guide = Guide::new();
        assert_eq!(guide.choices("pipeline[0].ordering"), ["partition", "key", "unordered"]);
        assert!(guide.fields("pipeline[3].guard.breaker").expect("a table").contains(&"open_for"));
        assert!(guide.at("pipeline[0].nothing").is_none());
        let forms = ["pipeline", "producer", "pipeline[0].topics", "data.dir"].map(|path| guide.form(path));
        assert_eq!(forms, [Some(Form::Array), Some(Form::Table), None, None]);
        assert_eq!(guide.needed("pipeline[0].push"), "pipeline[0].push.url");
    }

    #[test]
    fn the_nearest_name_is_near() {
        assert_eq!(nearest("gaurd", ["guard", "retry"]), Some("guard"));
        assert_eq!(nearest("xyzzy", ["guard", "retry"]), None);
    }

    /// Every field of the config is documented.
    #[test]
    fn every_field_has_a_description() {
        let schema = schema();
        let mut bare = Vec::new();
        let tables = schema["$defs"].as_object().expect("definitions").iter();
        let root = ("Config".to_owned(), schema.clone());
        for (name, table) in tables.map(|(n, t)| (n.clone(), t.clone())).chain([root]) {
            for (field, node) in table["properties"].as_object().into_iter().flatten() {
                if node.get("description").is_none() {
                    bare.push(format!("{name}.{field}"));
                }
            }
        }
        assert_eq!(bare, Vec::<String>::new());
    }
}
