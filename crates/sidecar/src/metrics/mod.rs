//! `/metrics`, read from the snapshots at the moment of the scrape: nothing is counted twice, and counting
//! costs the hot path nothing more.

mod producers;

use crate::ingest::{Counts, Refused};
use crate::overview::Moment;
use crate::pipeline::Pipeline;
use crate::recoverable::Recoverable;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use seawall_consumer::{Snapshot, StallKind, Totals};
use seawall_guard::{BreakerState, LimitKind};
use seawall_log::{Counters, Health};
use std::fmt;

/// The content type of [`Scrape::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The client id in `kafka_consumer_lag`, of a pipeline on the embedded log.
const CLIENT_ID: &str = "seawall";

/// Everything that is shown, at one moment.
#[derive(Debug)]
pub struct Scrape {
    moment: Moment,
    pipelines: Vec<Shown>,
    producers: Vec<producers::Shown>,
    accepted: u64,
    refused: [(Refused, u64); 5],
    log: Counters,
    health: Health,
}

#[derive(Debug)]
struct Shown {
    name: String,
    group: String,
    client_id: String,
    snapshot: Snapshot,
    guard: seawall_guard::GuardSnapshot,
    claims: Option<(&'static str, seawall_idempotency::StoreStats)>,
    dead_letters: u64,
}

/// Labels, as names and values.
type Labels<'a, const N: usize> = [(&'a str, &'a str); N];

impl Scrape {
    /// Reads everything.
    pub fn take(
        moment: Moment,
        pipelines: &[Pipeline],
        producers: &[Recoverable],
        ingest: &Counts,
        log: Counters,
        health: Health,
    ) -> Self {
        let shown = |pipeline: &Pipeline| Shown {
            name: pipeline.name().to_owned(),
            group: pipeline.group().to_owned(),
            client_id: pipeline
                .membership()
                .map_or_else(|| CLIENT_ID.to_owned(), |membership| membership.settings.client_id.clone()),
            snapshot: pipeline.snapshot(),
            guard: pipeline.guard().snapshot(),
            claims: pipeline.claims().map(|(store, stats)| (store.as_str(), stats)),
            dead_letters: pipeline.letters().count(),
        };
        Self {
            moment,
            pipelines: pipelines.iter().map(shown).collect(),
            producers: producers.iter().map(producers::Shown::take).collect(),
            accepted: ingest.accepted(),
            refused: Refused::ALL.map(|why| (why, ingest.refused(why))),
            log,
            health,
        }
    }

    /// As OpenMetrics text, which Prometheus reads.
    ///
    /// # Errors
    /// Never in practice: writing to a string does not fail.
    pub fn text(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }

    fn process(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let panics: u64 = self.pipelines.iter().map(|p| p.snapshot.totals.panics).sum();
        counter(out, "log_panic", "Panics, in handlers and elsewhere")?
            .encode_counter::<NoLabelSet, _, u64>(&(panics + self.moment.panics_outside), None)?;
        gauge(out, "seawall_uptime_seconds", "Since the start")?
            .encode_gauge(&self.moment.uptime.as_secs_f64())?;
        let mut info = gauge(out, "seawall_build", "Always 1; the version stands in the label")?;
        level(&mut info, [("version", env!("CARGO_PKG_VERSION"))], 1u64)?;
        gauge(out, "seawall_log_writable", "1 while the log can be written")?
            .encode_gauge(&u64::from(self.health.writable))?;
        counter(out, "seawall_log_records", "Records that got a receipt from the log")?
            .encode_counter::<NoLabelSet, _, u64>(&self.log.records, None)?;
        counter(
            out,
            "seawall_log_unread_retained_away",
            "Records that retention deleted before a group read them",
        )?
        .encode_counter::<NoLabelSet, _, u64>(&self.log.unread_retained_away, None)?;
        counter(out, "seawall_ingest_records", "Records taken in over HTTP")?
            .encode_counter::<NoLabelSet, _, u64>(&self.accepted, None)?;
        let mut refused = counter(out, "seawall_ingest_refusals", "Records or requests refused over HTTP")?;
        for (why, count) in &self.refused {
            count_of(&mut refused, [("reason", why.as_str())], *count)?;
        }
        Ok(())
    }

    fn records(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut records = counter(out, "seawall_records", "Records by what became of them")?;
        for Shown { name, snapshot, .. } in &self.pipelines {
            let totals = &snapshot.totals;
            let outcomes = [
                ("acked", totals.acked),
                ("retried", totals.retried),
                ("dead_lettered", totals.dead_lettered),
                ("deferred", totals.deferred),
                ("refused", totals.refused),
            ];
            for (outcome, count) in outcomes {
                count_of(&mut records, [("pipeline", name.as_str()), ("outcome", outcome)], count)?;
            }
        }
        let mut fetched = counter(out, "seawall_records_fetched", "Records taken from the source")?;
        for Shown { name, snapshot, .. } in &self.pipelines {
            count_of(&mut fetched, [("pipeline", name.as_str())], snapshot.totals.fetched)?;
        }
        let mut refused =
            counter(out, "seawall_late_acknowledgements", "Acknowledgements of assignments that had ended")?;
        for Shown { name, snapshot, .. } in &self.pipelines {
            let Totals { late, voided, fenced, .. } = snapshot.totals;
            for (why, count) in [("late", late), ("uncommitted", voided), ("fenced", fenced)] {
                count_of(&mut refused, [("pipeline", name.as_str()), ("reason", why)], count)?;
            }
        }
        let mut stalled =
            gauge(out, "seawall_stalled", "Runtime, workers, handlers, partitions that stand still")?;
        for Shown { name, snapshot, .. } in &self.pipelines {
            for kind in StallKind::ALL {
                let stalls = snapshot.stalls.iter().filter(|stall| stall.kind == kind).count() as u64;
                level(&mut stalled, [("pipeline", name.as_str()), ("kind", kind.as_str())], stalls)?;
            }
        }
        let mut in_flight =
            gauge(out, "seawall_in_flight", "Records queued, being handled or being settled")?;
        for Shown { name, snapshot, .. } in &self.pipelines {
            level(&mut in_flight, [("pipeline", name.as_str())], snapshot.in_flight)?;
        }
        let mut letters = gauge(out, "seawall_dead_letters", "Dead letters not yet redriven or purged")?;
        for Shown { name, dead_letters, .. } in &self.pipelines {
            level(&mut letters, [("pipeline", name.as_str())], *dead_letters)?;
        }
        let mut seconds = out.encode_descriptor(
            "seawall_handler_seconds",
            "Time from the start of an attempt to its answer",
            None,
            MetricType::Histogram,
        )?;
        for Shown { name, snapshot, .. } in &self.pipelines {
            histogram(&mut seconds, [("pipeline", name.as_str())], snapshot)?;
        }
        Ok(())
    }

    fn partitions(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut lag =
            gauge(out, "kafka_consumer_lag", "Records of a partition that its group has not settled")?;
        self.each_partition(|shown, topic, partition, numbers| {
            let labels = [
                ("group", shown.group.as_str()),
                ("topic", topic),
                ("partition", partition),
                ("client_id", shown.client_id.as_str()),
            ];
            level(&mut lag, labels, numbers.lag)
        })?;
        let mut parked = gauge(out, "seawall_parked", "Records waiting behind a failed one of their key")?;
        self.each_partition(|shown, topic, partition, numbers| {
            let labels = [("pipeline", shown.name.as_str()), ("topic", topic), ("partition", partition)];
            level(&mut parked, labels, numbers.parked)
        })?;
        let mut imbalance =
            gauge(out, "seawall_ledger_imbalance", "Records unaccounted for; not 0 is a defect")?;
        self.each_partition(|shown, topic, partition, numbers| {
            let labels = [("pipeline", shown.name.as_str()), ("topic", topic), ("partition", partition)];
            level(&mut imbalance, labels, numbers.ledger.imbalance())
        })
    }

    fn each_partition(
        &self,
        mut show: impl FnMut(&Shown, &str, &str, &seawall_consumer::stats::PartitionSnapshot) -> fmt::Result,
    ) -> fmt::Result {
        for shown in &self.pipelines {
            for numbers in &shown.snapshot.partitions {
                let partition = numbers.partition.partition.to_string();
                show(shown, &numbers.partition.topic, &partition, numbers)?;
            }
        }
        Ok(())
    }

    fn guards(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut refusals =
            counter(out, "seawall_guard_refusals", "Deliveries that a limit made wait or come back")?;
        for Shown { name, guard, .. } in &self.pipelines {
            for kind in LimitKind::ALL {
                let labels = [("pipeline", name.as_str()), ("limit", kind.as_str())];
                count_of(&mut refusals, labels, guard.refusals.of(kind))?;
            }
        }
        let mut limit = gauge(out, "seawall_guard_concurrency_limit", "The concurrency limit in force")?;
        for Shown { name, guard, .. } in &self.pipelines {
            level(&mut limit, [("pipeline", name.as_str())], u64::from(guard.concurrency.limit))?;
        }
        let mut used = gauge(out, "seawall_guard_concurrency_used", "Permits out")?;
        for Shown { name, guard, .. } in &self.pipelines {
            level(&mut used, [("pipeline", name.as_str())], u64::from(guard.concurrency.used))?;
        }
        let mut open = gauge(out, "seawall_guard_breaker_open", "1 while the breaker is not closed")?;
        for Shown { name, guard, .. } in &self.pipelines {
            if let Some(breaker) = &guard.breaker {
                let shut = u64::from(breaker.state != BreakerState::Closed);
                level(&mut open, [("pipeline", name.as_str())], shut)?;
            }
        }
        Ok(())
    }

    fn claims(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut claims = counter(out, "seawall_claims", "Answers of the claim store")?;
        for Shown { name, claims: stats, .. } in &self.pipelines {
            let Some((store, stats)) = stats else { continue };
            let results = [
                ("granted", stats.granted_total),
                ("held", stats.held_total),
                ("done", stats.done_total),
                ("fenced", stats.fenced_total),
            ];
            for (result, count) in results {
                count_of(
                    &mut claims,
                    [("pipeline", name.as_str()), ("store", *store), ("result", result)],
                    count,
                )?;
            }
        }
        let help = "Results forgotten before their retention, because the claim store was full";
        let mut early = counter(out, "seawall_claims_forgotten_early", help)?;
        for Shown { name, claims: stats, .. } in &self.pipelines {
            let Some((store, stats)) = stats else { continue };
            count_of(
                &mut early,
                [("pipeline", name.as_str()), ("store", *store)],
                stats.forgotten_early_total,
            )?;
        }
        Ok(())
    }
}

impl Collector for Scrape {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        self.process(&mut out)?;
        self.records(&mut out)?;
        self.partitions(&mut out)?;
        self.guards(&mut out)?;
        self.claims(&mut out)?;
        producers::encode(&self.producers, &mut out)
    }
}

/// A counter; the text shows it with `_total` behind its name.
fn counter<'a>(
    out: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &str,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    out.encode_descriptor(name, help, None, MetricType::Counter)
}

fn gauge<'a>(
    out: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &str,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    out.encode_descriptor(name, help, None, MetricType::Gauge)
}

fn level<const N: usize>(
    metric: &mut MetricEncoder<'_>,
    labels: Labels<'_, N>,
    value: impl EncodeGaugeValue,
) -> fmt::Result {
    metric.encode_family(&labels)?.encode_gauge(&value)
}

fn count_of<const N: usize>(
    metric: &mut MetricEncoder<'_>,
    labels: Labels<'_, N>,
    count: u64,
) -> fmt::Result {
    metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)
}

fn histogram<const N: usize>(
    metric: &mut MetricEncoder<'_>,
    labels: Labels<'_, N>,
    snapshot: &Snapshot,
) -> fmt::Result {
    let (mut before, mut buckets) = (0, Vec::with_capacity(snapshot.latency_buckets.len()));
    for bucket in &snapshot.latency_buckets {
        buckets.push((bucket.le_seconds, bucket.count.saturating_sub(before)));
        before = bucket.count.max(before);
    }
    let sum = snapshot.latency_sum_seconds;
    metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, before, &buckets, None)
}
