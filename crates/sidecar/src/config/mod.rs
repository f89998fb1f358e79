//! The config file: TOML, every field documented, every mistake shown at its place.
//!
//! Reading goes in four steps. The text is parsed once with spans kept ([`outline`](self)), so that every later
//! finding has a line and a column. Unknown fields, and tables where a list of them stands, are then looked for along
//! the JSON Schema, all at once and with what would be right; only then does serde build the [`Config`], and [`check`] looks at what types
//! cannot say. All mistakes of a step are told together. Secrets are never in the file: it names a file or an
//! environment variable.

mod check;
mod cluster;
mod error;
mod outline;
mod pipeline;
mod producer;
mod reload;
mod schema;
mod secret;
mod settings;
mod units;

pub(crate) use check::open_to_the_network;
pub use check::{Complaint, check, check_limits};
pub use cluster::{Cluster, Compression, LOG, Member, Property, SecretPlace, StartAt};
pub use error::{ConfigError, Finding};
pub use pipeline::{
    Adaptive, Breaker, Claim, ClaimStore, Commit, Concurrency, DeadLetter, Drain, Guard, Mode, Ordering,
    Pipeline, Push, Queue, RatePerSecond, Retry, RetryBudget, RetryTopic,
};
pub use producer::{Asked, ClusterBackoff, ClusterBreaker, DiskCompression, Producer, Replay};
pub use reload::restart_fields;
pub use schema::{nearest, schema};
pub use secret::{BearerToken, SecretError, TOKEN_BYTES_MIN};
pub use settings::{Admin, Config, Data, Ingest, PARTITIONS_DEFAULT, PARTITIONS_MAX, Topic};
pub use units::{Period, Size};

use outline::{Entry, Form, Outline, line_column};
use schema::Guide;
use std::ops::Range;
use std::path::Path;
use toml::de::DeTable;

/// The largest config file, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 4 << 20;

/// Reads and checks the config at `path`.
///
/// # Errors
/// [`ConfigError::Read`] when it cannot be read, [`ConfigError::Invalid`] with every mistake found.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let read = |source| ConfigError::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(read)?.len() > CONFIG_BYTES_MAX {
        return Err(read(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            format!("a config has at most {CONFIG_BYTES_MAX} bytes"),
        )));
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    parse(&text, &path.display().to_string())
}

/// Reads and checks the config `text`; `file` is the name that findings give.
///
/// # Errors
/// [`ConfigError::Invalid`] with every mistake found.
pub fn parse(text: &str, file: &str) -> Result<Config, ConfigError> {
    let source = Source { text, file };
    let root = DeTable::parse(text).map_err(|e| ConfigError::Invalid(vec![source.syntax(&e)]))?;
    let outline = Outline::of(root.get_ref());
    let guide = Guide::new();
    let mut misplaced = source.unknown_fields(&outline, &guide);
    misplaced.extend(source.misshapen(&outline, &guide));
    if !misplaced.is_empty() {
        misplaced.sort_by_key(|finding| (finding.line, finding.column));
        return Err(ConfigError::Invalid(misplaced));
    }
    let config: Config = toml::from_str(text)
        .map_err(|e| ConfigError::Invalid(vec![source.mistyped(&e, &outline, &guide)]))?;
    let mut findings: Vec<Finding> =
        check(&config).into_iter().map(|complaint| source.place(&complaint, &outline)).collect();
    findings.sort_by_key(|finding| (finding.line, finding.column));
    if findings.is_empty() { Ok(config) } else { Err(ConfigError::Invalid(findings)) }
}

/// The file that is being read.
struct Source<'a> {
    text: &'a str,
    file: &'a str,
}

/// The longest piece of the file that a finding repeats, in characters.
const VALUE_CHARS_MAX: usize = 80;

impl Source<'_> {
    fn finding(&self, at: usize, field: &str, problem: String, fix: Option<String>) -> Finding {
        let (line, column) = line_column(self.text, at);
        Finding {
            file: self.file.to_owned(),
            line,
            column,
            field: field.to_owned(),
            value: None,
            problem,
            fix,
        }
    }

    fn written(&self, span: Range<usize>) -> Option<String> {
        let text = self.text.get(span)?;
        let short: String = text.lines().next()?.chars().take(VALUE_CHARS_MAX).collect();
        Some(if short.len() < text.len() { format!("{short}…") } else { short })
    }

    fn syntax(&self, error: &toml::de::Error) -> Finding {
        let at = error.span().map_or(0, |span| span.start);
        let problem = format!("not valid TOML: {}", error.message().lines().collect::<Vec<_>>().join(", "));
        self.finding(at, "", problem, None)
    }

    /// Fields that nobody knows. Their values are not shown: a misplaced secret would be among them.
    fn unknown_fields(&self, outline: &Outline, guide: &Guide) -> Vec<Finding> {
        let mut findings: Vec<Finding> = Vec::new();
        let mut skipped: Vec<&str> = Vec::new();
        for entry in outline.entries().iter().filter(|e| !e.name.is_empty()) {
            let inside = |outer: &&&str| entry.path.starts_with(&format!("{outer}."));
            let Some(known) = guide.fields(&entry.parent) else { continue };
            if known.contains(&&*entry.name) || skipped.iter().any(|s| inside(&s)) {
                continue;
            }
            skipped.push(&entry.path);
            let fix = match nearest(&entry.name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            findings.push(self.finding(entry.key.start, &entry.path, "unknown field".to_owned(), Some(fix)));
        }
        findings
    }

    /// One table where a list of them stands, and the opposite: serde would tell of its own types.
    fn misshapen(&self, outline: &Outline, guide: &Guide) -> Vec<Finding> {
        let mut findings = Vec::new();
        for entry in outline.entries().iter().filter(|e| !e.name.is_empty()) {
            let problem = match (entry.form, guide.form(&entry.path)) {
                (Form::Table, Some(Form::Array)) => "one table, where a list of tables stands",
                (Form::Array, Some(Form::Table)) => "a list, where one table stands",
                _ => continue,
            };
            let fix = self.reshaped(entry);
            findings.push(self.finding(entry.key.start, &entry.path, problem.to_owned(), Some(fix)));
        }
        findings
    }

    /// How the misshapen `entry` is to be written: as a header where it has one, else in its line.
    fn reshaped(&self, entry: &Entry) -> String {
        let before = self.text.get(..entry.key.start).unwrap_or_default();
        let header = before.lines().last().is_some_and(|line| line.trim_start().starts_with('['));
        let plain = |part: &str| part.split('[').next().unwrap_or(part).to_owned();
        let path = entry.path.split('.').map(plain).collect::<Vec<_>>().join(".");
        match (entry.form, header && !before.ends_with('\n')) {
            (Form::Table, true) => format!("write [[{path}]]"),
            (_, true) => format!("write [{path}]"),
            (Form::Table, false) => format!("write {} = [{{ … }}]", entry.name),
            (_, false) => format!("write {} = {{ … }}", entry.name),
        }
    }

    /// A field whose type or form is wrong, as serde tells it.
    fn mistyped(&self, error: &toml::de::Error, outline: &Outline, guide: &Guide) -> Finding {
        let span = error.span().unwrap_or(0..0);
        let entry = outline.at(&span);
        let field = entry.map_or("", |e| &e.path);
        let choices = guide.choices(field);
        let value = entry.filter(|e| !e.nested() && !hides(e)).and_then(|e| self.written(e.value.clone()));
        let near =
            value.as_deref().map(|v| v.trim_matches('"')).and_then(|v| nearest(v, choices.iter().copied()));
        let fix = match (missing(error.message()), near, guide.meaning(field)) {
            (Some(name), ..) => {
                let inside =
                    |path: &str| if field.is_empty() { path.to_owned() } else { format!("{field}.{path}") };
                let needed = guide.needed(&inside(name));
                let meaning = guide.meaning(&needed).unwrap_or_default().replace('\n', " ");
                let written = needed.strip_prefix(&inside("")).unwrap_or(&needed);
                Some(format!("add `{written}`: {meaning}"))
            }
            (None, Some(near), _) => Some(format!("did you mean \"{near}\"?")),
            (None, None, Some(meaning)) => Some(format!("here stands: {}", meaning.replace('\n', " "))),
            (None, None, None) => None,
        };
        Finding { value, ..self.finding(span.start, field, error.message().to_owned(), fix) }
    }

    /// A complaint of [`check`], at its place.
    fn place(&self, complaint: &Complaint, outline: &Outline) -> Finding {
        let entry = outline.find(&complaint.field);
        let exact = entry.filter(|e: &&Entry| e.path == complaint.field);
        let at = entry.map_or(0, |e| exact.map_or(e.key.start, |e| e.value.start));
        let value = exact.filter(|e| !e.nested() && !hides(e)).and_then(|e| self.written(e.value.clone()));
        let fix = Some(complaint.fix.clone());
        Finding { value, ..self.finding(at, &complaint.field, complaint.problem.clone(), fix) }
    }
}

/// The field that serde misses, as it says so.
fn missing(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.split('`').next()
}

/// Whether what stands at `entry` may be a secret, in or out of its place.
fn hides(entry: &Entry) -> bool {
    let secret = seawall_kafka::connection::is_secret;
    entry.path.contains(".secrets.") || secret(&entry.path) || secret(&entry.name)
}

#[cfg(test)]
mod tests;
