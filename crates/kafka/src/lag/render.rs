//! A snapshot as OpenMetrics text, which Prometheus reads. Each partition keeps its label: a sum or a mean
//! hides the one that is stuck.

use super::snapshot::{LagSnapshot, PartitionLag};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;

/// The content type of what [`render`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a scrape is answered from.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// The newest sample.
    pub snapshot: Arc<LagSnapshot>,
    /// Whether it is new enough to be believed. Where it is not, its groups are left out: a lag that stands still
    /// because nobody looks is worse than none.
    pub fresh: bool,
    /// Samples that could not be taken since the start.
    pub failures: u64,
}

/// The metrics `kafka_consumer_lag`, `kafka_consumer_lag_seconds` and `kafka_consumer_stuck`, each with the
/// labels `group`, `topic`, `partition` and `client_id`; `kafka_consumer_groups_unread`; and of the sampling
/// itself `kafka_consumer_lag_sampled_timestamp_seconds` and `kafka_consumer_lag_sample_failures_total`.
///
/// # Errors
/// Never in practice: writing to a string does not fail.
pub fn render(scrape: Scrape) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Shown(scrape)));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Shown(Scrape);

impl Collector for Shown {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        let Scrape { snapshot, fresh, failures } = &self.0;
        let help = "When the newest sample was taken, since 1970";
        let name = "kafka_consumer_lag_sampled_timestamp_seconds";
        ConstGauge::new(snapshot.at.0 as f64 / 1000.0).encode(out.encode_descriptor(
            name,
            help,
            None,
            MetricType::Gauge,
        )?)?;
        let (name, help) = ("kafka_consumer_lag_sample_failures", "Samples that could not be taken");
        ConstCounter::new(*failures).encode(out.encode_descriptor(
            name,
            help,
            None,
            MetricType::Counter,
        )?)?;
        let all: &[PartitionLag] = if *fresh { &snapshot.partitions } else { &[] };
        family(&mut out, "kafka_consumer_lag", "Records behind the log's end", all, |p| Some(p.lag))?;
        let help = "Age of the first uncommitted record";
        family(&mut out, "kafka_consumer_lag_seconds", help, all, |p| p.seconds)?;
        let help = "1 while the commit stands and the log grows, or there is lag and nothing moves";
        family(&mut out, "kafka_consumer_stuck", help, all, |p| p.stuck.map(u64::from))?;
        let help = "Groups that could not be asked";
        let unread = out.encode_descriptor("kafka_consumer_groups_unread", help, None, MetricType::Gauge)?;
        ConstGauge::new(snapshot.unread.len() as u64).encode(unread)
    }
}

fn family<V: EncodeGaugeValue>(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    partitions: &[PartitionLag],
    value: impl Fn(&PartitionLag) -> Option<V>,
) -> fmt::Result {
    let mut metric = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for each in partitions {
        let Some(value) = value(each) else { continue };
        let number = each.partition.to_string();
        let labels = [
            ("group", &*each.group),
            ("topic", &*each.topic),
            ("partition", number.as_str()),
            ("client_id", &*each.client_id),
        ];
        metric.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_core::WallMs;

    #[test]
    fn every_partition_has_its_own_line() {
        let partition = |number, lag, seconds| PartitionLag {
            group: "g\"1".into(),
            topic: "orders".into(),
            partition: number,
            client_id: "c".into(),
            committed: None,
            begin: 0,
            end: lag,
            lag,
            seconds,
            stuck: Some(number == 1),
        };
        let partitions = vec![partition(0, 0, Some(0.0)), partition(1, 7, None)];
        let snapshot = Arc::new(LagSnapshot { at: WallMs(7_500), partitions, ..LagSnapshot::default() });
        let text = render(Scrape { snapshot: Arc::clone(&snapshot), fresh: true, failures: 2 }).unwrap();
        let labels = |n| format!(r#"{{group="g\"1",topic="orders",partition="{n}",client_id="c"}}"#);
        let has = |line: String| assert!(text.lines().any(|each| each == line), "{line} in\n{text}");
        has(format!("kafka_consumer_lag{} 7", labels(1)));
        has(format!("kafka_consumer_lag_seconds{} 0.0", labels(0)));
        has(format!("kafka_consumer_stuck{} 1", labels(1)));
        has("kafka_consumer_groups_unread 0".to_owned());
        has("kafka_consumer_lag_sampled_timestamp_seconds 7.5".to_owned());
        has("kafka_consumer_lag_sample_failures_total 2".to_owned());
        assert!(!text.contains(&format!("kafka_consumer_lag_seconds{}", labels(1))));
        let text = render(Scrape { snapshot, fresh: false, failures: 3 }).unwrap();
        assert!(!text.contains("group=") && text.contains("_failures_total 3"), "{text}");
    }
}
