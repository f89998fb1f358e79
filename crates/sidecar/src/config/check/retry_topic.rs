//! Retry topics: for whom they are, and that nobody else has them.

use super::{Complaints, Period};
use crate::config::pipeline::{Ordering, Pipeline};
use crate::config::settings::{Config, PARTITIONS_MAX};

/// What is wrong with the retry topics of one pipeline.
pub(super) fn check(path: &str, pipeline: &Pipeline, out: &mut Complaints) {
    if !pipeline.retry_topic.is_empty() && pipeline.ordering != Ordering::Unordered {
        let problem = format!(
            "with ordering {:?} the records behind a failed one wait for it, and would pass it there",
            pipeline.ordering.as_str()
        );
        let fix =
            "set ordering = \"unordered\", or take the retry topics out: a failed key then waits by itself";
        out.add(path, "retry_topic", problem, fix);
    }
    let names: Vec<String> = pipeline.retry_topics().map(|(name, _)| name).collect();
    for (at, retry) in pipeline.retry_topic.iter().enumerate() {
        let path = format!("{path}.retry_topic[{at}]");
        out.period(&path, "after", retry.after, Period::from_secs(1));
        out.range(&path, "partitions", retry.partitions, 1, PARTITIONS_MAX);
        let longest = pipeline.retry.max;
        if retry.after.0 > longest.0 / 2 {
            let problem =
                format!("pauses grow to between half of retry.max = \"{longest}\" and the whole of it");
            out.add(&path, "after", problem, "make retry.max at least twice as long, or wait for less");
        }
        if retry.after >= pipeline.retry.total {
            let problem = format!("retry.total = \"{}\" is over by then", pipeline.retry.total);
            out.add(&path, "after", problem, "raise retry.total, or wait for less");
        }
        if pipeline.retry_topic[..at].iter().any(|other| other.after == retry.after) {
            out.add(&path, "after", "another retry topic is for the same pauses", "keep one of the two");
        }
        if retry.topic.is_some() {
            out.name(&path, "topic", &names[at]);
        }
        let own = names[..at]
            .iter()
            .chain(&pipeline.topics)
            .chain([&pipeline.dead_letter_topic()])
            .any(|other| *other == names[at]);
        if own {
            let problem = format!("the pipeline uses {:?} for something else already", names[at]);
            out.add(&path, "topic", problem, "use a topic of its own");
        }
    }
}

/// What is wrong between pipelines: another one would take what waits in a retry topic for its own.
pub(super) fn apart(config: &Config, out: &mut Complaints) {
    for (at, pipeline) in config.pipeline.iter().enumerate() {
        for (nth, (name, _)) in pipeline.retry_topics().enumerate() {
            let uses = |other: &Pipeline| {
                other.source == pipeline.source
                    && (other.topics_read().contains(&name) || other.dead_letter_topic() == name)
            };
            let mut others = config.pipeline.iter().enumerate().filter(|(other, _)| *other != at);
            if let Some((other, _)) = others.find(|(_, other)| uses(other)) {
                let problem = format!("pipeline[{other}] uses {name:?} already");
                let path = format!("pipeline[{at}].retry_topic[{nth}]");
                out.add(&path, "topic", problem, "give each pipeline retry topics of its own");
            }
        }
    }
}
