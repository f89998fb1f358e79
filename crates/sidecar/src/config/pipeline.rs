//! What can be set about a pipeline.

use super::cluster::{LOG, Member};
use super::units::{Period, Size};
use ipnet::IpNet;
use schemars::JsonSchema;
use seawall_consumer::retry::RETRY_AFTER_MAX;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// Takes the records of its topics to one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// Its name, in metrics, the admin API and the dashboard.
    pub name: String,
    /// Where records come from: `"log"` (the embedded log), or the name of a `[[cluster]]`.
    #[serde(default = "source_log")]
    pub source: String,
    /// The topics it reads.
    pub topics: Vec<String>,
    /// The consumer group whose position it keeps; the pipeline's name by default.
    #[serde(default)]
    pub group: Option<String>,
    /// How it is a member of that group, where the source is a cluster.
    #[serde(default)]
    pub member: Option<Member>,
    /// Which records wait for each other.
    #[serde(default)]
    pub ordering: Ordering,
    /// The service that handles the records.
    pub push: Push,
    /// What protects the service.
    #[serde(default)]
    pub guard: Guard,
    /// What happens to a record that failed.
    #[serde(default)]
    pub retry: Retry,
    /// Where long pauses of failed records are spent: each in a topic of its own rather than in the memory of its
    /// partition. Only with `ordering = "unordered"`: what waits elsewhere is passed by the records behind it.
    #[serde(default)]
    pub retry_topic: Vec<RetryTopic>,
    /// How a duplicate is recognised.
    #[serde(default)]
    pub claim: Claim,
    /// Where records go that failed for good.
    #[serde(default)]
    pub dead_letter: DeadLetter,
    /// How much is held in memory.
    #[serde(default)]
    pub queue: Queue,
    /// How the group's position is made durable.
    #[serde(default)]
    pub commit: Commit,
    /// How the pipeline stops.
    #[serde(default)]
    pub drain: Drain,
    /// What stands still for longer is named in the log, on the dashboard and in the metrics: a worker, the fetch
    /// loop, a partition whose oldest record does not move. Nothing else comes of it. At least 100 ms.
    #[serde(default = "stall_after")]
    pub stall_after: Period,
    /// Ends the pipeline when one delivery runs for longer: it commits what is settled, gives its partitions to other
    /// members of the group and stops, with the record's name. More than `push.timeout`, which ends every attempt
    /// that still can be ended. Without it, partitions are kept however long a delivery takes.
    #[serde(default)]
    pub give_up_after: Option<Period>,
}

fn stall_after() -> Period {
    Period::from_secs(10)
}

fn source_log() -> String {
    LOG.to_owned()
}

impl Pipeline {
    /// The consumer group.
    pub fn group(&self) -> &str {
        self.group.as_deref().unwrap_or(&self.name)
    }

    /// Its membership, with the defaults where nothing is said.
    pub fn member(&self) -> Member {
        self.member.clone().unwrap_or_default()
    }

    /// The topic of its dead letters.
    pub fn dead_letter_topic(&self) -> String {
        self.dead_letter.topic.clone().unwrap_or_else(|| format!("{}.dlq", self.name))
    }

    /// Its retry topics by name, each with what is set about it.
    pub fn retry_topics(&self) -> impl Iterator<Item = (String, &RetryTopic)> {
        self.retry_topic.iter().map(|retry| {
            let name = retry.topic.clone();
            (name.unwrap_or_else(|| format!("{}.retry.{}", self.name, retry.after)), retry)
        })
    }

    /// The longest pause of a record: its service may ask for more than the retries do.
    pub fn longest_pause(&self) -> Period {
        Period(self.retry.max.0.max(RETRY_AFTER_MAX))
    }

    /// How long records of its retry topics are kept, where Seawall makes them: the longest pause, and a week in which
    /// nobody reads them.
    pub fn retry_retention(&self) -> Period {
        Period(self.longest_pause().0 + Duration::from_hours(7 * 24))
    }

    /// All topics that its group reads: its own, then its retry topics.
    pub fn topics_read(&self) -> Vec<String> {
        let retry = self.retry_topics().map(|(name, _)| name);
        self.topics.iter().cloned().chain(retry).collect()
    }
}

/// Which records wait for each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ordering {
    /// All records of a partition, one after another.
    Partition,
    /// Records of one key; keys flow past each other.
    #[default]
    Key,
    /// None.
    Unordered,
}

impl Ordering {
    /// The name used in the config and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Partition => "partition",
            Self::Key => "key",
            Self::Unordered => "unordered",
        }
    }
}

/// The service that handles the records, by HTTP POST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// Where to POST: `http://` or `https://`. A private or loopback address must be in `allow_networks`,
    /// unless the host is written `localhost`, `127.0.0.1` or `[::1]`: the neighbour that a sidecar serves.
    pub url: String,
    /// The deadline of one attempt, from its start to its answer.
    #[serde(default = "push_timeout")]
    pub timeout: Period,
    /// Connections to the service at the same time, 1 to 4096.
    #[serde(default = "push_connections")]
    pub max_connections: usize,
    /// Networks (`"10.0.0.0/8"`) whose addresses may be called although they are private, loopback,
    /// link-local or otherwise special.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub allow_networks: Vec<IpNet>,
    /// A file whose first line is sent to the service as `Authorization: Bearer …`.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// An environment variable that holds the token for the service, instead of `token_file`.
    #[serde(default)]
    pub token_env: Option<String>,
}

fn push_timeout() -> Period {
    Period::from_secs(30)
}

fn push_connections() -> usize {
    256
}

/// Records a second, 1 to 10,000,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct RatePerSecond(#[schemars(range(min = 1, max = 10_000_000))] pub NonZeroU32);

/// Records or requests in flight at the same time, 1 to 1,000,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Concurrency(#[schemars(range(min = 1, max = 1_000_000))] pub u32);

/// What a guard does with a record it has no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Lets it wait its turn: right for a pipeline, whose records wait in the log anyway.
    #[default]
    Wait,
    /// Refuses it at once: right for callers that can come back. The same as `wait` for a pipeline.
    Shed,
}

impl Mode {
    /// The name used in the config and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Shed => "shed",
        }
    }
}

/// What protects the service. All of it can change while running.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Guard {
    /// What happens at the limit. A pipeline's deliveries wait in their lanes until they are let in, with either mode.
    pub mode: Mode,
    /// How long a caller waits for its turn in `wait` mode; a pipeline's deliveries wait until they are let in.
    pub max_wait: Period,
    /// Deliveries a second; without it, no limit.
    pub rate: Option<RatePerSecond>,
    /// Deliveries that may go at once before `rate` bites; by default a tenth of `rate`, at least 1.
    pub burst: Option<RatePerSecond>,
    /// Deliveries in flight at the same time; at most `push.max_connections`.
    pub concurrency: Concurrency,
    /// Lowers the concurrency when the service slows down or answers 429 or 503, and raises it again.
    pub adaptive: Option<Adaptive>,
    /// Stops calling a service that keeps failing, and probes it.
    pub breaker: Option<Breaker>,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            mode: Mode::Wait,
            max_wait: Period::from_secs(5),
            rate: None,
            burst: None,
            concurrency: Concurrency(256),
            adaptive: None,
            breaker: Some(Breaker::default()),
        }
    }
}

/// The bounds of the adaptive limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Adaptive {
    /// Never below.
    pub min: Concurrency,
    /// Never above; at most the static `concurrency`.
    pub max: Concurrency,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self { min: Concurrency(1), max: Concurrency(256) }
    }
}

/// When a failing service is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Breaker {
    /// Opens when this part of the calls in the window failed: above 0, at most 1.
    pub failure_ratio: f64,
    /// The window that is looked at.
    pub window: Period,
    /// Calls in the window before the ratio means anything.
    pub min_calls: u32,
    /// How long it stays open before it probes.
    pub open_for: Period,
    /// Probes that must succeed before it closes.
    pub probes: u32,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            failure_ratio: 0.5,
            window: Period::from_secs(10),
            min_calls: 50,
            open_for: Period::from_secs(5),
            probes: 5,
        }
    }
}

/// What happens to a record that failed: its key is parked, it is tried again, and in the end it becomes a
/// dead letter. All of it can change while running.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// Time from the first failure after which no further attempt is made.
    pub total: Period,
    /// The first pause; it doubles with each attempt, with jitter.
    pub base: Period,
    /// The longest pause.
    pub max: Period,
    /// How many retries may be added to the load on the service; without it, each record's own pauses are the
    /// only bound. A retry beyond it waits on and counts as no attempt.
    pub budget: Option<RetryBudget>,
}

/// How many retries a pipeline may make: a service that is down is spared most of them, and gets them back with
/// its successes. It slows down recovery after an outage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryBudget {
    /// Retries for each success, 0 to 1000: 0.2 allows one retry for five deliveries.
    pub ratio: f64,
    /// Retries a second that are allowed in any case, at most 1,000,000: a quiet pipeline must be able to retry too.
    pub per_second: u32,
    /// How long successes and retries count, 1 s to 1 min.
    pub window: Period,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { ratio: 0.2, per_second: 10, window: Period::from_secs(10) }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 10,
            total: Period::from_secs(600),
            base: Period::from_millis(100),
            max: Period::from_secs(5),
            budget: None,
        }
    }
}

/// A topic in which failed records spend their long pauses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryTopic {
    /// Pauses at least this long are spent there, unless another of the pipeline's retry topics is for longer ones
    /// still. At least 1 s, at most half of `retry.max` (the longest pause lies between that half and the whole), and
    /// less than `retry.total`.
    pub after: Period,
    /// Its name; `<pipeline>.retry.<after>` by default. Nobody else may read it or write to it. One that is not named
    /// here any more is not read any more: let it run empty first.
    #[serde(default)]
    pub topic: Option<String>,
    /// Its partitions, where Seawall makes it. Its records are kept for the longest pause there is (`retry.max`, or 1 h where
    /// that is less) and 7 days.
    #[serde(default = "retry_partitions")]
    pub partitions: u32,
}

fn retry_partitions() -> u32 {
    super::settings::PARTITIONS_DEFAULT
}

/// How a duplicate is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Claim {
    /// Where claims are kept.
    pub store: ClaimStore,
    /// How long an owner that says nothing keeps its claim.
    pub lease: Period,
    /// How long a finished token is remembered.
    pub retention: Period,
}

impl Default for Claim {
    fn default() -> Self {
        Self {
            store: ClaimStore::Embedded,
            lease: Period::from_secs(30),
            retention: Period::from_secs(24 * 3600),
        }
    }
}

/// Where claims are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClaimStore {
    /// On this machine's disk: survives a restart.
    #[default]
    Embedded,
    /// In memory: a restart forgets.
    Memory,
    /// Nowhere: the service sees duplicates, each with its token.
    None,
}

impl ClaimStore {
    /// The name used in the config, in JSON and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Memory => "memory",
            Self::None => "none",
        }
    }
}

/// Where records go that failed for good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLetter {
    /// The topic; the pipeline's name with `.dlq` by default.
    pub topic: Option<String>,
}

/// How much of one partition is held in memory. What is full pauses its partition; nothing is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Queue {
    /// Records fetched and not yet settled.
    pub records: usize,
    /// Their bytes.
    pub bytes: Size,
    /// Records that wait behind a failed one of their key; what lies above is read again from the log.
    pub parked_records: usize,
    /// Their bytes.
    pub parked_bytes: Size,
}

impl Default for Queue {
    fn default() -> Self {
        Self { records: 16_384, bytes: Size::mib(32), parked_records: 16_384, parked_bytes: Size::mib(32) }
    }
}

/// How the group's position is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Commit {
    /// How often. A crash repeats at most what was finished within it.
    pub interval: Period,
}

impl Default for Commit {
    fn default() -> Self {
        Self { interval: Period::from_millis(100) }
    }
}

/// How the pipeline stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Drain {
    /// How long what is in flight may take before it is cancelled.
    pub bound: Period,
}

impl Default for Drain {
    fn default() -> Self {
        Self { bound: Period::from_secs(25) }
    }
}
