//! What types cannot say: names, ranges, fields that must agree with each other.

mod clusters;
mod producer;
mod retry_topic;

use super::pipeline::{Concurrency, Pipeline, RatePerSecond};
use super::settings::{Config, PARTITIONS_MAX};
use super::units::{Period, Size};
use super::{Adaptive, Breaker, Guard, Push, Retry, RetryBudget};
use crate::push::target::{Target, Trust};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Something wrong with a field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The field's path, `pipeline[0].guard.rate`.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// What would be right.
    pub fix: String,
}

/// The largest request body that can be configured: four times the largest record.
const BODY_MAX: Size = Size::mib(64);
/// The longest name of a pipeline or topic.
const NAME_BYTES_MAX: usize = 200;
/// The highest rate that can be kept, in records a second.
const RATE_MAX: u32 = 10_000_000;
/// The largest burst.
const BURST_MAX: u32 = 1_000_000;
/// The most connections to one service.
const CONNECTIONS_MAX: usize = 4096;
/// The most deliveries in flight of one pipeline.
const CONCURRENCY_MAX: u32 = 1_000_000;

/// Everything wrong with `config` that its types do not rule out.
pub fn check(config: &Config) -> Vec<Complaint> {
    let mut out = Complaints::default();
    listeners(config, &mut out);
    clusters::check(config, &mut out);
    producer::check(config, &mut out);
    topics(config, &mut out);
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    let mut readers: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    for (at, pipeline) in config.pipeline.iter().enumerate() {
        let path = format!("pipeline[{at}]");
        self::pipeline(&path, pipeline, &mut out);
        if let Some(first) = names.insert(&pipeline.name, at) {
            let problem = format!("pipeline[{first}] has that name already");
            out.add(&path, "name", problem, "give each pipeline a name of its own");
        }
        for topic in &pipeline.topics {
            let reader = (&*pipeline.source, pipeline.group(), &**topic);
            if let Some(first) = readers.insert(reader, at).filter(|first| *first != at) {
                let problem =
                    format!("pipeline[{first}] reads topic {topic:?} in group {:?}", pipeline.group());
                out.add(&path, "group", problem, "give each pipeline a group of its own");
            }
        }
    }
    retry_topic::apart(config, &mut out);
    dead_letters_apart(config, &mut out);
    out.0
}

/// What is purged, or driven again, is all that a topic holds.
fn dead_letters_apart(config: &Config, out: &mut Complaints) {
    let mut owners: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for (at, pipeline) in config.pipeline.iter().enumerate() {
        let topic = pipeline.dead_letter_topic();
        let first = owners.insert((&*pipeline.source, topic.clone()), at);
        // Of one name they are told apart by that first.
        if let Some(first) = first.filter(|first| config.pipeline[*first].name != pipeline.name) {
            let problem = format!("pipeline[{first}] puts its dead letters into {topic:?} already");
            let fix = "give each pipeline a dead-letter topic of its own";
            out.add(&format!("pipeline[{at}].dead_letter"), "topic", problem, fix);
        }
    }
}

/// Everything wrong with the limits of a pipeline that has `connections` to its service, as the admin API changes
/// them. Paths start at `guard` and `retry`.
pub fn check_limits(guard: &Guard, retry: &Retry, connections: usize) -> Vec<Complaint> {
    let mut out = Complaints::default();
    self::guard("guard", guard, connections, &mut out);
    self::retry("retry", retry, &mut out);
    out.0
}

#[derive(Default)]
struct Complaints(Vec<Complaint>);

impl Complaints {
    fn add(&mut self, table: &str, field: &str, problem: impl Into<String>, fix: impl Into<String>) {
        let field = if table.is_empty() { field.to_owned() } else { format!("{table}.{field}") };
        self.0.push(Complaint { field, problem: problem.into(), fix: fix.into() });
    }

    fn range<T: PartialOrd + std::fmt::Display>(
        &mut self,
        table: &str,
        field: &str,
        value: T,
        min: T,
        max: T,
    ) {
        if value < min || value > max {
            let fix = format!("{min} to {max} is accepted");
            self.add(table, field, format!("{value} is out of range"), fix);
        }
    }

    fn period(&mut self, table: &str, field: &str, value: Period, min: Period) {
        self.range(table, field, value, min, Period(Duration::from_hours(366 * 24)));
    }

    fn name(&mut self, table: &str, field: &str, name: &str) {
        if let Err(problem) = valid_name(name) {
            self.add(
                table,
                field,
                problem,
                "use 1 to 200 of a-z, A-Z, 0-9, `.`, `_` and `-`, like \"orders\"",
            );
        }
    }
}

/// Whether `name` can name a topic or a pipeline: it stands in paths, metrics and file names.
fn valid_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(format!("a name has 1 to {NAME_BYTES_MAX} characters, not {}", name.len()));
    }
    if name == "." || name == ".." {
        return Err("this names a directory".to_owned());
    }
    match name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        Some(bad) => Err(format!("the character {bad:?} cannot be in a name")),
        None => Ok(()),
    }
}

/// The listeners on an address other than loopback for which no token is set.
pub(crate) fn open_to_the_network(
    config: &Config,
) -> impl Iterator<Item = (&'static str, SocketAddr)> + use<> {
    let (ingest, admin) = (&config.ingest, &config.admin);
    let sides = [
        ("ingest", ingest.addr, ingest.token_file.is_some() || ingest.token_env.is_some()),
        ("admin", admin.addr, admin.token_file.is_some() || admin.token_env.is_some()),
    ];
    let open = |(table, addr, token): (_, SocketAddr, bool)| {
        (!addr.ip().is_loopback() && !token).then_some((table, addr))
    };
    sides.into_iter().filter_map(open)
}

fn listeners(config: &Config, out: &mut Complaints) {
    let (ingest, admin) = (&config.ingest, &config.admin);
    for (table, addr) in open_to_the_network(config) {
        out.add(
            table,
            "addr",
            "an address other than loopback is open to the network",
            format!("set {table}.token_file or {table}.token_env, or use 127.0.0.1:{}", addr.port()),
        );
    }
    let tokens =
        [("ingest", &ingest.token_file, &ingest.token_env), ("admin", &admin.token_file, &admin.token_env)];
    for (table, file, env) in tokens {
        if file.is_some() && env.is_some() {
            out.add(table, "token_env", "token_file is set as well", "keep one of the two");
        }
    }
    for (table, hosts) in [("ingest", &ingest.hosts), ("admin", &admin.hosts)] {
        if let Some(host) = hosts.iter().find(|host| host.is_empty() || host.contains([':', '/'])) {
            let problem =
                format!("{host:?} is not the name of a host, and would never be one that callers use");
            out.add(table, "hosts", problem, "give names without scheme and port, as \"ingest.internal\"");
        }
    }
    if ingest.addr == admin.addr && ingest.addr.port() != 0 {
        out.add("admin", "addr", "ingest.addr is the same", "give each listener a port of its own");
    }
    out.range("ingest", "max_body", ingest.max_body, Size(1), BODY_MAX);
    let bodies_min = Size(ingest.max_body.0.saturating_mul(2));
    if ingest.max_body <= BODY_MAX && ingest.memory < bodies_min {
        let problem = format!("{} is less than the largest body takes, as sent and unpacked", ingest.memory);
        out.add("ingest", "memory", problem, format!("at least {bodies_min}, twice ingest.max_body"));
    }
    out.range("ingest", "max_connections", ingest.max_connections, 1, 100_000);
    out.range("ingest", "concurrency", ingest.concurrency.0, 1, CONCURRENCY_MAX);
    rate("ingest", ingest.rate, ingest.burst, out);
    if ingest.burst.is_some() && ingest.rate.is_none() {
        out.add(
            "ingest",
            "burst",
            "there is no rate that it belongs to",
            "set ingest.rate too, or drop burst",
        );
    }
    out.period("ingest", "header_timeout", ingest.header_timeout, Period::from_millis(1));
    out.period("ingest", "body_timeout", ingest.body_timeout, Period::from_millis(1));
}

fn topics(config: &Config, out: &mut Complaints) {
    let mut names: BTreeMap<(Option<&str>, &str), usize> = BTreeMap::new();
    for (at, topic) in config.topic.iter().enumerate() {
        let path = format!("topic[{at}]");
        out.name(&path, "name", &topic.name);
        out.range(&path, "partitions", topic.partitions, 1, PARTITIONS_MAX);
        if let Some(first) = names.insert((topic.cluster.as_deref(), &topic.name), at) {
            out.add(&path, "name", format!("topic[{first}] has that name already"), "keep one of the two");
        }
        if let Some(bytes) = topic.retention_bytes {
            out.range(&path, "retention_bytes", bytes, Size::mib(1), Size(1 << 50));
        }
        if let Some(age) = topic.retention_age {
            out.period(&path, "retention_age", age, Period::from_secs(1));
        }
    }
}

fn pipeline(path: &str, pipeline: &Pipeline, out: &mut Complaints) {
    out.name(path, "name", &pipeline.name);
    if pipeline.topics.is_empty() {
        out.add(path, "topics", "a pipeline reads at least one topic", "name one, like [\"orders\"]");
    }
    for (at, topic) in pipeline.topics.iter().enumerate() {
        out.name(path, &format!("topics[{at}]"), topic);
        if pipeline.topics[..at].contains(topic) {
            out.add(path, &format!("topics[{at}]"), "this topic is listed twice", "list it once");
        }
    }
    if let Some(group) = &pipeline.group {
        out.name(path, "group", group);
    }
    let dead_letters = pipeline.dead_letter_topic();
    let dead_letter = format!("{path}.dead_letter");
    if pipeline.dead_letter.topic.is_some() {
        out.name(&dead_letter, "topic", &dead_letters);
    }
    if pipeline.topics.contains(&dead_letters) {
        let problem = "the pipeline reads this topic: a dead letter would come round again";
        out.add(
            &dead_letter,
            "topic",
            problem,
            format!("use a topic of its own, like \"{}.dlq\"", pipeline.name),
        );
    }
    push(&format!("{path}.push"), &pipeline.push, out);
    guard(&format!("{path}.guard"), &pipeline.guard, pipeline.push.max_connections, out);
    retry(&format!("{path}.retry"), &pipeline.retry, out);
    retry_topic::check(path, pipeline, out);
    let claim = format!("{path}.claim");
    out.period(&claim, "lease", pipeline.claim.lease, Period::from_secs(1));
    out.period(&claim, "retention", pipeline.claim.retention, Period::from_secs(1));
    let queue = format!("{path}.queue");
    out.range(&queue, "records", pipeline.queue.records, 1, 10_000_000);
    out.range(&queue, "parked_records", pipeline.queue.parked_records, 1, 10_000_000);
    out.range(&queue, "bytes", pipeline.queue.bytes, Size::kib(64), Size(1 << 40));
    out.range(&queue, "parked_bytes", pipeline.queue.parked_bytes, Size::kib(64), Size(1 << 40));
    let interval = pipeline.commit.interval;
    out.range(&format!("{path}.commit"), "interval", interval, Period::from_millis(1), Period::from_secs(60));
    out.period(&format!("{path}.drain"), "bound", pipeline.drain.bound, Period::from_millis(1));
    out.period(path, "stall_after", pipeline.stall_after, Period::from_millis(100));
    if let Some(bound) = pipeline.give_up_after {
        out.period(path, "give_up_after", bound, Period::from_millis(1));
        let timeout = pipeline.push.timeout;
        if bound <= timeout {
            out.add(
                path,
                "give_up_after",
                format!("it is not above push.timeout = {timeout}: a slow answer would end the pipeline"),
                format!("give it more than {timeout}, or drop it"),
            );
        }
    }
}

fn push(path: &str, push: &Push, out: &mut Complaints) {
    if let Err(error) = Target::parse(&push.url, Trust::ConfigFile, &push.allow_networks) {
        out.add(path, "url", error.to_string(), error.fix());
    }
    out.period(path, "timeout", push.timeout, Period::from_millis(1));
    out.range(path, "max_connections", push.max_connections, 1, CONNECTIONS_MAX);
    if push.token_file.is_some() && push.token_env.is_some() {
        out.add(path, "token_env", "token_file is set as well", "keep one of the two");
    }
}

fn guard(path: &str, guard: &Guard, connections: usize, out: &mut Complaints) {
    out.range(path, "concurrency", guard.concurrency.0, 1, CONCURRENCY_MAX);
    let at_once = guard.concurrency.0;
    if connections > 0 && at_once as usize > connections {
        let problem = format!(
            "{at_once} deliveries at once are more than push.max_connections = {connections}: those beyond would \
             wait for a connection"
        );
        let fix =
            format!("use at most {connections}, or raise push.max_connections (up to {CONNECTIONS_MAX})");
        out.add(path, "concurrency", problem, fix);
    }
    out.range(path, "max_wait", guard.max_wait, Period::from_millis(1), Period::from_secs(3600));
    rate(path, guard.rate, guard.burst, out);
    if guard.burst.is_some() && guard.rate.is_none() {
        out.add(path, "burst", "there is no rate that it belongs to", "set rate too, or drop burst");
    }
    if let Some(Adaptive { min, max }) = guard.adaptive {
        let table = format!("{path}.adaptive");
        out.range(&table, "min", min.0, 1, CONCURRENCY_MAX);
        out.range(&table, "max", max.0, 1, CONCURRENCY_MAX);
        if min > max {
            out.add(&table, "min", format!("it lies above max = {}", max.0), "min is at most max");
        }
        if max > guard.concurrency {
            let problem = format!("it lies above concurrency = {}", guard.concurrency.0);
            out.add(&table, "max", problem, "the static limit bounds the adaptive one");
        }
    }
    if let Some(settings) = guard.breaker {
        breaker(&format!("{path}.breaker"), settings, out);
    }
}

fn breaker(table: &str, settings: Breaker, out: &mut Complaints) {
    let Breaker { failure_ratio, window, min_calls, open_for, probes } = settings;
    ratio(table, "failure_ratio", failure_ratio, out);
    out.range(table, "window", window, Period::from_millis(10), Period::from_secs(3600));
    out.range(table, "min_calls", min_calls, 1, 1_000_000);
    out.range(table, "open_for", open_for, Period::from_millis(1), Period::from_secs(3600));
    out.range(table, "probes", probes, 1, 1_000);
}

fn retry(path: &str, retry: &Retry, out: &mut Complaints) {
    out.range(path, "attempts", retry.attempts, 1, 1_000_000);
    out.period(path, "total", retry.total, Period::from_millis(1));
    out.period(path, "base", retry.base, Period::from_millis(1));
    out.period(path, "max", retry.max, Period::from_millis(1));
    if retry.base > retry.max {
        out.add(path, "base", format!("it lies above max = {}", retry.max), "base is at most max");
    }
    if let Some(RetryBudget { ratio, per_second, window }) = retry.budget {
        let table = format!("{path}.budget");
        if !(0.0..=1000.0).contains(&ratio) {
            out.add(&table, "ratio", format!("{ratio} is no such share"), "between 0 and 1000, like 0.2");
        }
        out.range(&table, "per_second", per_second, 0, 1_000_000);
        out.range(&table, "window", window, Period::from_secs(1), Period::from_secs(60));
    }
}

fn rate(table: &str, rate: Option<RatePerSecond>, burst: Option<RatePerSecond>, out: &mut Complaints) {
    if let Some(rate) = rate {
        out.range(table, "rate", rate.0.get(), 1, RATE_MAX);
    }
    if let Some(burst) = burst {
        out.range(table, "burst", burst.0.get(), 1, BURST_MAX);
    }
}

fn ratio(table: &str, field: &str, value: f64, out: &mut Complaints) {
    if !(value > 0.0 && value <= 1.0) {
        out.add(table, field, format!("{value} is no such part"), "above 0, at most 1, like 0.5");
    }
}

impl PartialOrd for Concurrency {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.0.partial_cmp(&other.0)
    }
}
