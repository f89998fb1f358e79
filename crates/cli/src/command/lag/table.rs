//! A sample on stdout: a table for a person, or an object a line for programs.

use crate::exit::Outcome;
use crate::output::{self, Format};
use seawall_core::Fault;
use seawall_kafka::lag::{LagSnapshot, PartitionLag};
use serde_json::json;

pub(super) fn print(snapshot: &LagSnapshot, format: Format) -> Outcome {
    if format == Format::Text {
        output::data(format_args!(
            "{:<24} {:<24} {:>9} {:>12} {:>12} {:>10} {:>10}  {:<6} CLIENT",
            "GROUP", "TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "SECONDS", "STUCK"
        ))?;
    }
    for row in &snapshot.partitions {
        match format {
            Format::Text => text(row)?,
            Format::Json => output::data(format_args!(
                "{}",
                json!({
                    "at_ms": snapshot.at.0, "group": &*row.group, "topic": &*row.topic,
                    "partition": row.partition, "client_id": &*row.client_id, "committed": row.committed,
                    "begin": row.begin, "end": row.end, "lag": row.lag, "lag_seconds": row.seconds,
                    "stuck": row.stuck,
                })
            ))?,
        }
    }
    for unread in &snapshot.unread {
        let error = Fault::from(unread.error.clone());
        output::note(format_args!("group {} could not be asked: {error}", unread.group));
    }
    Ok(())
}

fn text(row: &PartitionLag) -> Outcome {
    let committed = row.committed.map_or_else(|| "-".to_owned(), |offset| offset.to_string());
    let seconds = row.seconds.map_or_else(|| "?".to_owned(), |seconds| format!("{seconds:.1}"));
    let client = if row.client_id.is_empty() { "-" } else { &*row.client_id };
    let stuck = match row.stuck {
        Some(true) => "yes",
        Some(false) => "no",
        None => "?",
    };
    output::data(format_args!(
        "{:<24} {:<24} {:>9} {committed:>12} {:>12} {:>10} {seconds:>10}  {stuck:<6} {client}",
        row.group, row.topic, row.partition, row.end, row.lag,
    ))
}
