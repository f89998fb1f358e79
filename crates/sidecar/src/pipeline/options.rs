//! From what the config says to what each part is told.

use crate::config::{self, Breaker, Guard, Mode, Pipeline, Push, RatePerSecond, Retry};
use crate::push::PushOptions;
use seawall_consumer::{CommitOptions, ConsumerOptions, Limits, QueueOptions, RetryOptions};
use seawall_guard::{
    AdaptiveOptions, BreakerOptions, ConcurrencyOptions, GuardOptions, RateOptions, RetryBudgetOptions,
};
use seawall_log::TopicOptions;
use std::sync::Arc;

/// The rate of `per_second`, with a burst of a tenth of it where none is given.
fn rate(per_second: Option<RatePerSecond>, burst: Option<RatePerSecond>) -> Option<RateOptions> {
    let per_second = per_second?.0.get();
    let burst =
        burst.map_or((per_second / 10).max(1), |burst| burst.0.get()).min(seawall_guard::rate::BURST_MAX);
    Some(RateOptions { per_second: f64::from(per_second), burst })
}

/// What the guard of a pipeline is told.
pub fn guard(guard: &Guard) -> GuardOptions {
    let limit = guard.concurrency.0;
    GuardOptions {
        mode: match guard.mode {
            Mode::Shed => seawall_guard::Mode::Shed,
            Mode::Wait => seawall_guard::Mode::Wait { max: guard.max_wait.0 },
        },
        concurrency: ConcurrencyOptions { limit, ..ConcurrencyOptions::default() },
        rate: rate(guard.rate, guard.burst),
        adaptive: guard.adaptive.map(|adaptive| {
            let (min, max) = (adaptive.min.0, adaptive.max.0);
            let initial = AdaptiveOptions::default().initial.clamp(min, max);
            AdaptiveOptions { min, max, initial, ..AdaptiveOptions::default() }
        }),
        breaker: guard.breaker.map(breaker),
    }
}

/// What a breaker is told.
pub fn breaker(breaker: Breaker) -> BreakerOptions {
    BreakerOptions {
        failure_ratio: breaker.failure_ratio,
        calls_min: breaker.min_calls,
        window: breaker.window.0,
        open_for: breaker.open_for.0,
        probes: breaker.probes,
        ..BreakerOptions::default()
    }
}

/// What ingest's guard of requests is told: one permit each.
pub fn ingest_requests(ingest: &config::Ingest) -> GuardOptions {
    let limit = ingest.concurrency.0;
    GuardOptions {
        concurrency: ConcurrencyOptions { limit, ..ConcurrencyOptions::default() },
        ..GuardOptions::default()
    }
}

/// What ingest's guard of records is told: one token each, and as many permits as anyone could want.
pub fn ingest_records(ingest: &config::Ingest) -> GuardOptions {
    let limit = seawall_guard::concurrency::LIMIT_MAX;
    GuardOptions {
        concurrency: ConcurrencyOptions { limit, ..ConcurrencyOptions::default() },
        rate: rate(ingest.rate, ingest.burst),
        ..GuardOptions::default()
    }
}

/// The part of a pipeline's limits that its consumer keeps.
pub fn limits(retry: &Retry, queue: &config::Queue) -> Limits {
    let defaults = RetryOptions::default();
    Limits {
        queue: QueueOptions { records: queue.records, bytes: queue.bytes.as_usize() },
        retry: RetryOptions {
            attempts_max: retry.attempts,
            total_max: Some(retry.total.0),
            base: retry.base.0,
            max: retry.max.0,
            budget: retry.budget.map(|budget| RetryBudgetOptions {
                ratio: budget.ratio,
                per_second_min: budget.per_second,
                window: budget.window.0,
            }),
            parked_records: queue.parked_records,
            parked_bytes: queue.parked_bytes.as_usize(),
            ..defaults
        },
    }
}

/// What a pipeline's consumer is told.
pub fn consumer(pipeline: &Pipeline) -> ConsumerOptions {
    let Limits { queue, retry } = limits(&pipeline.retry, &pipeline.queue);
    ConsumerOptions {
        group: Arc::from(pipeline.group()),
        ordering: match pipeline.ordering {
            config::Ordering::Partition => seawall_consumer::Ordering::Partition,
            config::Ordering::Key => seawall_consumer::Ordering::Key,
            config::Ordering::Unordered => seawall_consumer::Ordering::Unordered,
        },
        queue,
        retry,
        commit: CommitOptions { interval: pipeline.commit.interval.0, ..CommitOptions::default() },
        timeout: Some(pipeline.push.timeout.0),
        lease: pipeline.claim.lease.0,
        revoke_bound: pipeline.drain.bound.0,
        stall_after: pipeline.stall_after.0,
        give_up_after: pipeline.give_up_after.map(|bound| bound.0),
        dead_letter: Some(Arc::from(pipeline.dead_letter_topic())),
        retry_topics: pipeline.retry_topics().map(retry_topic).collect(),
        ..ConsumerOptions::new(pipeline.name.as_str())
    }
}

fn retry_topic((name, retry): (String, &config::RetryTopic)) -> seawall_consumer::RetryTopic {
    seawall_consumer::RetryTopic { after: retry.after.0, topic: Arc::from(name) }
}

/// What a pipeline's member of a Kafka group is told.
pub fn member(pipeline: &Pipeline) -> seawall_kafka::SourceOptions {
    let member = pipeline.member();
    seawall_kafka::SourceOptions {
        start_at: member.start_at.into(),
        // Whatever is in them is this pipeline's own work.
        from_earliest: pipeline.retry_topics().map(|(name, _)| name).collect(),
        instance_id: member.instance_id,
        session_timeout: member.session_timeout.0,
        poll_interval_max: member.poll_interval_max.0,
        client_id: member.client_id,
        ..seawall_kafka::SourceOptions::default()
    }
}

/// What a pipeline's push is told.
///
/// # Errors
/// When the token cannot be had.
pub fn push(path: &str, push: &Push) -> Result<PushOptions, config::SecretError> {
    let (file, env) = (push.token_file.as_deref(), push.token_env.as_deref());
    let token = config::BearerToken::load(path, file, env)?;
    Ok(PushOptions { timeout: push.timeout.0, max_connections: push.max_connections, token })
}

/// How a topic is set up.
pub fn topic(topic: &config::Topic) -> TopicOptions {
    TopicOptions {
        partitions: topic.partitions,
        retention_bytes: topic.retention_bytes.map(|size| size.0),
        retention_age: topic.retention_age.map(|age| age.0),
    }
}

/// How a retry topic of `pipeline` is set up.
pub fn retry_topic_in_log(pipeline: &Pipeline, retry: &config::RetryTopic) -> TopicOptions {
    TopicOptions {
        partitions: retry.partitions,
        retention_bytes: None,
        retention_age: Some(pipeline.retry_retention().0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the config's own check accepts, the parts accept too: at its defaults and at its bounds.
    #[test]
    fn what_the_config_accepts_the_parts_accept() {
        let text = |guard: &str| {
            format!(
                "[[pipeline]]\nname = \"a\"\ntopics = [\"t\"]\npush.url = \"http://127.0.0.1:1/\"\npush.max_connections = 4096\n[pipeline.guard]\n{guard}"
            )
        };
        let guards = [
            "",
            "mode = \"shed\"\nrate = 1",
            "rate = 10_000_000\nburst = 1_000_000\nconcurrency = 4096\nadaptive = { min = 1, max = 4096 }",
            "concurrency = 1\nadaptive = { min = 1, max = 1 }\nmax_wait = \"1ms\"",
            "breaker = { failure_ratio = 1.0, window = \"10ms\", min_calls = 1, open_for = \"1ms\", probes = 1_000 }",
            "rate = 10_000_000",
        ];
        for extra in guards {
            let config = config::parse(&text(extra), "t").unwrap_or_else(|e| panic!("{extra}: {e}"));
            let pipeline = &config.pipeline[0];
            guard(&pipeline.guard).check().unwrap_or_else(|e| panic!("{extra}: {e}"));
            ingest_requests(&config.ingest).check().expect("valid");
            ingest_records(&config.ingest).check().expect("valid");
            assert_eq!(consumer(pipeline).limits(), limits(&pipeline.retry, &pipeline.queue));
        }
    }

    #[test]
    fn the_times_of_the_watchdog_reach_the_consumer() {
        let text = "[[pipeline]]\nname = \"a\"\ntopics = [\"t\"]\npush.url = \"http://127.0.0.1:1/\"\n";
        let told = |more: &str| {
            let config =
                config::parse(&format!("{text}{more}"), "t").unwrap_or_else(|e| panic!("{more}: {e}"));
            let ConsumerOptions { stall_after, give_up_after, .. } = consumer(&config.pipeline[0]);
            (stall_after.as_millis(), give_up_after.map(|bound| bound.as_millis()))
        };
        assert_eq!(told(""), (10_000, None));
        assert_eq!(told("stall_after = \"250ms\"\ngive_up_after = \"31s\""), (250, Some(31_000)));
    }

    #[test]
    fn a_pipeline_reads_all_of_its_retry_topics_wherever_it_starts() {
        let text = "[[cluster]]\nname = \"c\"\nbootstrap = [\"b:1\"]\n[[pipeline]]\nname = \"a\"\nsource = \"c\"\n\
                    topics = [\"t\"]\nordering = \"unordered\"\npush.url = \"http://127.0.0.1:1/\"\n\
                    member.start_at = \"latest\"\nretry.max = \"1h\"\nretry_topic = [{ after = \"1m\" }, { after = \"2m\", topic = \"r\" }]\n";
        let config = config::parse(text, "t").unwrap_or_else(|e| panic!("{e}"));
        let told = member(&config.pipeline[0]);
        assert_eq!(told.start_at, seawall_kafka::StartAt::Latest);
        assert_eq!(told.from_earliest, ["a.retry.1m", "r"]);
    }
}
