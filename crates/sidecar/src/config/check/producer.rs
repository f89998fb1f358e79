//! The recoverable producer: its budgets among each other, and the clusters it names.

use super::super::cluster::LOG;
use super::super::pipeline::Breaker;
use super::super::producer::{ClusterBackoff, Producer};
use super::super::settings::Config;
use super::super::units::{Period, Size};
use super::Complaints;
use crate::recoverable::options::{RECORD_BYTES_MAX, options, record_max};
use seawall_producer::OpenError;
use std::path::PathBuf;

const TABLE: &str = "producer";
/// What a client accepts, and more than anybody waits.
const TIMEOUT_MAX: Period = Period::from_secs(24 * 3600);

pub(super) fn check(config: &Config, out: &mut Complaints) {
    let Some(producer) = &config.producer else { return };
    if config.ingest.sink == LOG && config.pipeline.iter().all(|pipeline| pipeline.source == LOG) {
        let problem = "nothing here writes to a cluster, and the embedded log is on disk already";
        out.add("", TABLE, problem, "let ingest.sink name a [[cluster]], or leave the section out");
    }
    fail_over(config, producer, out);
    let before = out.0.len();
    budgets(producer, out);
    times(producer, out);
    failures(producer, out);
    if out.0.len() > before {
        return;
    }
    // The producer's own check has the last word.
    match options(producer, PathBuf::new(), TABLE).check() {
        Ok(()) => {}
        Err(OpenError::Options { option, value, want }) => {
            let field = match option {
                "replay.share" => Some(option),
                "replay.bytes_per_second" => Some("replay.rate"),
                "memory_records_max" => Some("memory_records"),
                _ => None,
            };
            let (table, field) = field.map_or(("", TABLE), |field| (TABLE, field));
            out.add(table, field, format!("{value} is out of range"), format!("{want} is accepted"));
        }
        Err(error) => out.add("", TABLE, error.to_string(), "change the settings that it names"),
    }
}

fn budgets(producer: &Producer, out: &mut Complaints) {
    out.range(TABLE, "memory", producer.memory, Size::kib(64), Size(4 << 30));
    out.range(TABLE, "disk", producer.disk, Size::mib(1), Size(1 << 50));
    let Some(record) = producer.record_max else { return };
    out.range(TABLE, "record_max", record, Size(1), Size(RECORD_BYTES_MAX));
    for (budget, size, parts, least) in [("memory", producer.memory, 4, 4), ("disk", producer.disk, 8, 8)] {
        if record.0 > size.0 / parts {
            let problem =
                format!("{budget} = {size} has no room for {least} records of record_max = {record}");
            let fix = format!(
                "at most {} is accepted with it, or {budget} = \"{}\"",
                Size(size.0 / parts),
                Size(record_max(producer) * parts)
            );
            out.add(TABLE, "record_max", problem, fix);
        }
    }
}

fn failures(producer: &Producer, out: &mut Complaints) {
    let (ms, hour) = (Period::from_millis(1), Period::from_secs(3600));
    // A window that is not given is derived, within its bounds.
    let breaker = producer.breaker.over(Breaker::default().window);
    super::breaker(&format!("{TABLE}.breaker"), breaker, out);
    let ClusterBackoff { base, max } = producer.backoff;
    let table = format!("{TABLE}.backoff");
    out.range(&table, "base", base, ms, hour);
    out.range(&table, "max", max, ms, hour);
    if base > max {
        out.add(&table, "base", format!("it lies above max = {max}"), "base is at most max");
    }
}

fn times(producer: &Producer, out: &mut Complaints) {
    let ms = Period::from_millis(1);
    out.range(TABLE, "max_block", producer.max_block, Period::from_secs(0), Period::from_secs(3600));
    out.range(TABLE, "timeout", producer.timeout, ms, TIMEOUT_MAX);
    out.range(TABLE, "patience", producer.patience, ms, Period::from_secs(3600));
    out.range(TABLE, "failback_after", producer.failback_after, Period::from_secs(0), TIMEOUT_MAX);
    out.range(
        TABLE,
        "delivery_timeout",
        producer.delivery_timeout,
        Period::from_millis(100),
        Period::from_secs(3600),
    );
    out.range(TABLE, "close_within", producer.close_within, Period::from_secs(0), Period::from_secs(3600));
    if producer.linger.0 > producer.timeout.0 / 2 {
        let problem = format!("it is more than half of timeout = {}", producer.timeout);
        out.add(TABLE, "linger", problem, "a batch must not wait away the time of its records");
    }
    if producer.patience >= producer.timeout {
        let problem = format!("it is not shorter than timeout = {}", producer.timeout);
        let fix = "it is shorter: a record's time would be over before it goes to the disk";
        out.add(TABLE, "patience", problem, fix);
    }
    if producer.delivery_timeout < producer.patience {
        let problem = format!("it is shorter than patience = {}", producer.patience);
        out.add(TABLE, "delivery_timeout", problem, "it is at least as long");
    }
}

fn fail_over(config: &Config, producer: &Producer, out: &mut Complaints) {
    if !producer.fail_over.is_empty() && config.ingest.sink == LOG {
        let problem = "ingest writes to the embedded log, which is not failed over";
        out.add(TABLE, "fail_over", problem, "let ingest.sink name the most preferred cluster");
        return;
    }
    for (at, name) in producer.fail_over.iter().enumerate() {
        let field = format!("fail_over[{at}]");
        if name == LOG {
            let problem = "the embedded log is no cluster; the spill takes what no cluster does";
            out.add(TABLE, &field, problem, "leave it out");
        } else if *name == config.ingest.sink || producer.fail_over[..at].contains(name) {
            out.add(
                TABLE,
                &field,
                "this cluster comes earlier in the order",
                "name each once, after ingest.sink",
            );
        }
    }
}
