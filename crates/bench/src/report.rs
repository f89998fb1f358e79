//! The table for people, and the lines for scripts.

use crate::compare::{BenchError, Line};
use serde_json::json;
use std::fmt::Write as _;
use std::path::Path;

/// Prints a row.
pub(crate) fn print(line: &Line) {
    let verdict = match line.goal {
        Some(goal) if line.ratio >= goal => format!("  goal {goal} met"),
        Some(goal) => format!("  goal {goal} MISSED"),
        None => String::new(),
    };
    let peer = format!("{} {}", line.peer_name, line.peer_version);
    println!(
        "  {peer:<44} ours {:>10}  peer {:>10}  ratio {:>6.2}  ({:.2} to {:.2}, {} rounds){verdict}",
        figure(line.ours),
        figure(line.peer),
        line.ratio,
        line.min,
        line.max,
        line.runs
    );
}

/// Three or four digits that matter.
fn figure(value: f64) -> String {
    if value >= 1_000.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// Writes one object a line.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write_json(file: &Path, lines: &[Line]) -> Result<(), BenchError> {
    let mut text = String::new();
    for line in lines {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{}", object(line));
    }
    std::fs::write(file, text).map_err(BenchError::io(file.display()))
}

fn object(line: &Line) -> serde_json::Value {
    json!({
        "part": line.part, "name": line.name, "ours": line.ours, "peer": line.peer,
        "peer_name": line.peer_name, "peer_version": line.peer_version, "unit": line.unit,
        "ratio": line.ratio, "runs": line.runs, "min": line.min, "max": line.max, "goal": line.goal,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_the_fields_that_scripts_rely_on() {
        let line = Line {
            part: "wal".to_owned(),
            name: "n".to_owned(),
            peer_name: "p".to_owned(),
            ours: 2.0,
            peer: 1.0,
            peer_version: "1.2.3".to_owned(),
            unit: "frames/s",
            ratio: 2.0,
            runs: 3,
            min: 1.5,
            max: 2.5,
            goal: None,
        };
        let object = object(&line);
        for field in ["part", "name", "ours", "peer", "peer_version", "unit", "ratio", "runs", "min", "max"] {
            assert!(!object[field].is_null(), "{field}");
        }
    }
}
