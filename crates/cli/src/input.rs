//! Lines into records: what `seawall produce` reads.

use crate::exit::Failure;
use bytes::Bytes;
use seawall_core::{Record, RecordError, WallMs};
use seawall_sidecar::line;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::PathBuf;
use std::sync::Arc;

/// The longest line, in bytes: a value of the largest size, in base64, with room for key and headers.
const LINE_BYTES_MAX: u64 = 24 << 20;

/// How a line stands for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Lines {
    /// The line is the value, byte by byte.
    Raw,
    /// A JSON object with key, value or value_base64, headers: what `consume --format json` writes.
    Json,
}

/// Why a line is no record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    #[error("{0}")]
    Json(String),
    #[error("has no {separator:?} to end the key")]
    NoSeparator { separator: String },
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Reads one line (without its line feed).
///
/// # Errors
/// [`LineError`] says what would be right; the caller adds file and line number.
pub(crate) fn record(
    line: &[u8],
    lines: Lines,
    separator: Option<&str>,
    now: WallMs,
) -> Result<Record, LineError> {
    let record = match lines {
        Lines::Raw => raw(line, separator, now)?,
        Lines::Json => {
            line::from_line(line, now).map_err(|problem| LineError::Json(problem.detail().to_owned()))?
        }
    };
    record.check()?;
    Ok(record)
}

fn raw(line: &[u8], separator: Option<&str>, now: WallMs) -> Result<Record, LineError> {
    let (key, value) = match separator {
        None => (None, line),
        Some(separator) => {
            let at = line
                .windows(separator.len().max(1))
                .position(|window| window == separator.as_bytes())
                .ok_or_else(|| LineError::NoSeparator { separator: separator.to_owned() })?;
            (Some(Bytes::copy_from_slice(&line[..at])), &line[at + separator.len()..])
        }
    };
    Ok(Record { timestamp: now, ..Record::new(key, Bytes::copy_from_slice(value)) })
}

/// Where a line stands, as `file:line`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    file: Arc<str>,
    line: u64,
}

#[cfg(test)]
impl Place {
    pub(crate) fn new(file: &str, line: u64) -> Self {
        Self { file: file.into(), line }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Files one after the other, or stdin, line by line, with the place of each line.
pub(crate) struct Input {
    files: std::vec::IntoIter<PathBuf>,
    open: Option<Box<dyn BufRead>>,
    place: Place,
    buffer: Vec<u8>,
}

impl Input {
    /// Reads `files` in order; `-`, or none, is stdin.
    pub(crate) fn new(files: Vec<PathBuf>) -> Self {
        let files = if files.is_empty() { vec![PathBuf::from("-")] } else { files };
        let place = Place { file: Arc::from(""), line: 0 };
        Self { files: files.into_iter(), open: None, place, buffer: Vec::new() }
    }

    /// Where the last line stood.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// From where on nothing was read.
    pub(crate) fn stopped(&self) -> String {
        match (&*self.place.file, self.place.line) {
            ("", _) => "nothing was read".to_owned(),
            (file, 0) => format!("nothing of {file} was read"),
            _ => format!("nothing behind {} was read", self.place),
        }
    }

    /// The next line without its line feed; `None` at the end of the last file.
    ///
    /// # Errors
    /// A file that cannot be read, or a line longer than [`LINE_BYTES_MAX`].
    pub(crate) fn next_line(&mut self) -> Result<Option<&[u8]>, Failure> {
        loop {
            let Some(reader) = &mut self.open else {
                let Some(file) = self.files.next() else { return Ok(None) };
                let (name, reader) = open(&file)?;
                self.open = Some(reader);
                self.place = Place { file: name.into(), line: 0 };
                continue;
            };
            self.buffer.clear();
            let read = reader.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut self.buffer);
            let bytes = read.map_err(|e| Failure::environment(format_args!("{}: {e}", self.place.file)))?;
            if bytes == 0 {
                self.open = None;
                continue;
            }
            self.place.line += 1;
            if bytes as u64 > LINE_BYTES_MAX {
                let place = &self.place;
                return Err(Failure::input(format_args!(
                    "{place}: a line has at most {LINE_BYTES_MAX} bytes"
                )));
            }
            if self.buffer.last() == Some(&b'\n') {
                self.buffer.pop();
            }
            return Ok(Some(&self.buffer));
        }
    }
}

fn open(file: &PathBuf) -> Result<(String, Box<dyn BufRead>), Failure> {
    if file.as_os_str() == "-" {
        return Ok(("stdin".to_owned(), Box::new(BufReader::new(io::stdin()))));
    }
    let name = file.display().to_string();
    let reader = std::fs::File::open(file).map_err(|e| Failure::input(format_args!("{name}: {e}")))?;
    Ok((name, Box::new(BufReader::with_capacity(256 * 1024, reader))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_line_is_split_at_the_first_separator() {
        let record = record(b"a=b=c", Lines::Raw, Some("="), WallMs(1)).unwrap();
        assert_eq!((record.key.as_deref(), &record.value[..]), (Some(&b"a"[..]), &b"b=c"[..]));
    }

    #[test]
    fn mistakes_are_named() {
        let says = |line: &[u8]| record(line, Lines::Json, None, WallMs(1)).unwrap_err().to_string();
        assert!(says(b"{\"kye\":1}").contains("kye"));
        assert!(
            record(b"abc", Lines::Raw, Some("="), WallMs(1)).unwrap_err().to_string().contains("no \"=\"")
        );
    }

    #[test]
    fn lines_of_several_files_have_their_places() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&a, "1\n2").unwrap();
        std::fs::write(&b, "\n4\n").unwrap();
        let mut input = Input::new(vec![a, b]);
        let mut seen = Vec::new();
        while let Some(line) = input.next_line().unwrap().map(<[u8]>::to_vec) {
            seen.push((
                String::from_utf8(line).unwrap(),
                input.place().to_string().rsplit(['/', '\\']).next().unwrap().to_owned(),
            ));
        }
        let expected = [("1", "a:1"), ("2", "a:2"), ("", "b:1"), ("4", "b:2")];
        assert_eq!(seen, expected.map(|(line, place)| (line.to_owned(), place.to_owned())));
    }
}
