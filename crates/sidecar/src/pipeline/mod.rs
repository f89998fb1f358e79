//! One pipeline: from its topics in the log, through guard and claim, to its service.

pub mod letters;
mod member;
pub mod options;

pub use member::Joining;

use crate::cluster::ClusterError;
use crate::config::{self, ClaimStore, Guard as GuardConfig, Retry};
use crate::destination::Places;
use crate::push::{Push, SetupError, Target, TargetError, Trust};
use crate::recoverable::Use;
use letters::Letters;
use member::{Member, Plan};
use seawall_consumer::{Consumer, Driver, NoStore, OptionsError, Running, Snapshot, State};
use seawall_core::{Class, Classify, Clock, Fault, Source, TopicPartition};
use seawall_guard::{Guard, GuardError};
use seawall_idempotency::{DynStore, MemoryConfig, MemoryStore, Store, StoreStats};
use seawall_kafka::KafkaError;
use seawall_log::{LogError, SourceOptions};
use seawall_stores::{EmbeddedOptions, EmbeddedStore};
use seawall_wal::RealDisk;
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Why a pipeline cannot start.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The log refused.
    #[error("the log refused")]
    Log(#[from] LogError),
    /// The dead letters cannot be opened.
    #[error("its dead letters cannot be opened: {0}")]
    Letters(Fault),
    /// Its cluster does not have what it needs.
    #[error(transparent)]
    Cluster(ClusterError),
    /// Its group cannot be joined.
    #[error("cluster {cluster:?}: its group cannot be joined")]
    Kafka {
        /// The cluster.
        cluster: String,
        /// What the client or a broker says.
        #[source]
        source: Box<KafkaError>,
    },
    /// The claim store cannot be opened.
    #[error("the claim store cannot be opened")]
    Store(#[from] seawall_stores::OpenError),
    /// The options contradict themselves.
    #[error("the consumer refused its options")]
    Options(#[from] OptionsError),
    /// The guard refused its options.
    #[error("the guard refused its options")]
    Guard(#[from] GuardError),
    /// The target is not to be called.
    #[error("the push target is refused")]
    Target(#[from] TargetError),
    /// The push handler cannot be set up.
    #[error("push cannot be set up")]
    Push(#[from] SetupError),
    /// A secret cannot be had.
    #[error(transparent)]
    Secret(#[from] config::SecretError),
}

impl PipelineError {
    /// Whether the config is at fault, rather than what it meets.
    pub fn is_config(&self) -> bool {
        match self {
            Self::Log(_) | Self::Letters(_) | Self::Store(_) => false,
            Self::Cluster(error) => error.is_config(),
            Self::Kafka { source, .. } => source.is_setting(),
            _ => true,
        }
    }
}

impl Classify for PipelineError {
    fn class(&self) -> Class {
        match self {
            Self::Log(error) => error.class(),
            Self::Letters(fault) => fault.class(),
            Self::Cluster(error) => error.class(),
            Self::Kafka { source, .. } => source.class(),
            _ => Class::Permanent,
        }
    }
}

/// A pipeline at work.
pub struct Pipeline {
    name: String,
    source: String,
    topics: Vec<String>,
    group: String,
    membership: Option<Membership>,
    ordering: config::Ordering,
    limits: Mutex<Limits>,
    queue: config::Queue,
    allow: Vec<ipnet::IpNet>,
    push: Arc<Push>,
    guard: Arc<Guard>,
    store: Option<(ClaimStore, DynStore)>,
    consumer: Running,
    letters: Arc<Letters>,
    drain: std::time::Duration,
}

/// How a pipeline on Kafka belongs to its group.
#[derive(Clone, Debug)]
pub struct Membership {
    /// As configured.
    pub settings: config::Member,
    /// What keeps it from having joined.
    pub joining: Joining,
}

/// What of a pipeline can change while it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// What protects the service.
    pub guard: GuardConfig,
    /// What happens to a record that failed.
    pub retry: Retry,
}

/// Why limits are refused; the old ones stay in force.
#[derive(Debug, thiserror::Error)]
pub enum LimitsError {
    /// The guard refused.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The consumer refused.
    #[error(transparent)]
    Consumer(#[from] OptionsError),
}

impl Pipeline {
    /// Starts the pipeline that `config` describes on the log, whose topics exist, or on the cluster it names.
    /// Claims are kept below `data`. `at` is its place among the pipelines, for errors. Blocks for the disk and
    /// for the cluster, on a thread with a runtime.
    ///
    /// # Errors
    /// [`PipelineError`]; nothing is left running.
    pub fn start(
        at: usize,
        config: &config::Pipeline,
        places: Places<'_>,
        data: &Path,
        clock: Arc<dyn Clock>,
        seed: u64,
    ) -> Result<Self, PipelineError> {
        let target = Target::parse(&config.push.url, Trust::ConfigFile, &config.push.allow_networks)?;
        let push_options = options::push(&format!("pipeline[{at}].push"), &config.push)?;
        let push = Arc::new(Push::new(target, push_options, clock.clone())?);
        let guard = Arc::new(Guard::new(options::guard(&config.guard), clock.clone(), seed)?);
        let store = open_store(config, data, clock.clone())?;
        let (source, membership) = open_source(config, places, clock.clone())?;
        let dead_letters = places.choose(&config.source, Use::Letters);
        let topic = config.dead_letter_topic();
        let letters = Letters::open(&dead_letters, &config.name, &topic, clock.clone())
            .map_err(PipelineError::Letters)?;
        let consumer_options = options::consumer(config);
        // The store is chosen here, the consumer is made for each choice: a pipeline without claims pays none.
        let consumer = match &store {
            Some((_, store)) => Consumer::start(
                consumer_options,
                source,
                push.clone(),
                Some(Arc::new(store.clone())),
                guard.clone(),
                dead_letters,
                clock,
                seed,
                Driver::Thread,
            )?,
            None => Consumer::start(
                consumer_options,
                source,
                push.clone(),
                None::<Arc<NoStore>>,
                guard.clone(),
                dead_letters,
                clock,
                seed,
                Driver::Thread,
            )?,
        };
        Ok(Self {
            name: config.name.clone(),
            source: config.source.clone(),
            membership,
            topics: config.topics.clone(),
            group: config.group().to_owned(),
            ordering: config.ordering,
            limits: Mutex::new(Limits { guard: config.guard.clone(), retry: config.retry }),
            queue: config.queue,
            allow: config.push.allow_networks.clone(),
            push,
            guard,
            store,
            consumer,
            letters,
            drain: config.drain.bound.0,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its records come from: `log`, or the name of a cluster.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// How it belongs to its group, where its source is a cluster.
    pub fn membership(&self) -> Option<&Membership> {
        self.membership.as_ref()
    }

    /// The state to be shown, and why it is in it, where there is a reason: `joining` comes before the states of
    /// its consumer.
    pub fn state(&self, snapshot: &Snapshot) -> (&'static str, Option<String>) {
        let waits = self.membership.as_ref().and_then(|membership| membership.joining.reason());
        match (&snapshot.state, waits) {
            (State::Failed(fault), _) => (snapshot.state.as_str(), Some(fault.to_string())),
            (State::Running | State::Paused, Some(reason)) => ("joining", Some(reason)),
            (state, _) => (state.as_str(), None),
        }
    }

    /// The topics it reads.
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// Its consumer group.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Which records wait for each other.
    pub fn ordering(&self) -> config::Ordering {
        self.ordering
    }

    /// Its consumer in numbers.
    pub fn snapshot(&self) -> Snapshot {
        self.consumer.snapshot()
    }

    /// Its consumer.
    pub fn consumer(&self) -> &Running {
        &self.consumer
    }

    /// Its guard.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Its dead letters.
    pub fn letters(&self) -> &Arc<Letters> {
        &self.letters
    }

    /// Its claim store in numbers.
    pub fn claims(&self) -> Option<(ClaimStore, StoreStats)> {
        self.store.as_ref().map(|(kind, store)| (*kind, store.stats()))
    }

    /// The target in force, fit to be shown.
    pub fn target(&self) -> String {
        self.push.target().to_string()
    }

    /// Connections to the service at the same time.
    pub fn max_connections(&self) -> usize {
        self.push.max_connections()
    }

    /// Calls `url` from now on, once its address is found fit. Only `allow_networks` counts: the admin API
    /// names no neighbours.
    ///
    /// # Errors
    /// [`PipelineError::Target`] and [`PipelineError::Push`]; the old target stays in force.
    pub async fn retarget(&self, url: &str) -> Result<(), PipelineError> {
        let target = Target::parse(url, Trust::Admin, &self.allow)?;
        self.push.vet(&target).await?;
        self.push.retarget(target)?;
        Ok(())
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts other limits in force, from the next decision on.
    ///
    /// # Errors
    /// [`LimitsError`]; the old ones stay in force, all of them.
    pub fn set_limits(&self, new: Limits) -> Result<(), LimitsError> {
        self.change_limits(|_| Ok::<_, Infallible>(new)).unwrap_or_else(|never| match never {}).map(drop)
    }

    /// Puts in force what `change` makes of the limits; nobody else changes them meanwhile. Answers what is in force now.
    ///
    /// # Errors
    /// What `change` says, or [`LimitsError`]; the old ones stay in force, all of them.
    pub(crate) fn change_limits<E>(
        &self,
        change: impl FnOnce(Limits) -> Result<Limits, E>,
    ) -> Result<Result<Limits, LimitsError>, E> {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let new = change(limits.clone())?;
        Ok(self.put_in_force(&mut limits, new).map(|()| limits.clone()))
    }

    fn put_in_force(&self, limits: &mut Limits, new: Limits) -> Result<(), LimitsError> {
        self.guard.reconfigure(options::guard(&new.guard))?;
        if let Err(error) = self.consumer.set_limits(options::limits(&new.retry, &self.queue)) {
            self.guard.reconfigure(options::guard(&limits.guard))?;
            return Err(error.into());
        }
        *limits = new;
        Ok(())
    }

    /// Pauses or resumes all partitions, those with the number `partition`, or that one of `topic`.
    ///
    /// # Errors
    /// The partitions that are there, when it is none of them.
    pub fn set_paused(
        &self,
        paused: bool,
        topic: Option<&str>,
        partition: Option<u32>,
    ) -> Result<(), Vec<TopicPartition>> {
        let change = |place: Option<&TopicPartition>| {
            if paused { self.consumer.pause(place) } else { self.consumer.resume(place) }
        };
        let there = || self.snapshot().partitions.into_iter().map(|p| p.partition).collect::<Vec<_>>();
        if topic.is_none() && partition.is_none() {
            return change(None).map_err(|_| there());
        }
        let wanted: Vec<TopicPartition> = there()
            .into_iter()
            .filter(|place| topic.is_none_or(|topic| *place.topic == *topic))
            .filter(|place| partition.is_none_or(|partition| place.partition == partition))
            .collect();
        let changed = wanted.iter().filter(|place| change(Some(place)).is_ok()).count();
        if changed == 0 { Err(there()) } else { Ok(()) }
    }

    /// Stops: finishes what is in flight within the configured bound, commits, and says what was left.
    pub async fn drain(&self) -> seawall_consumer::DrainReport {
        self.consumer.drain(self.drain).await
    }
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pipeline({})", self.name)
    }
}

/// The source that `config` names.
fn open_source(
    config: &config::Pipeline,
    places: Places<'_>,
    clock: Arc<dyn Clock>,
) -> Result<(Box<dyn Source>, Option<Membership>), PipelineError> {
    let Some(cluster) = places.clusters.get(&config.source) else {
        let topics = config.topics_read();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        let source = places.broker.source(config.group(), &topics, SourceOptions::default())?;
        return Ok((Box::new(source), None));
    };
    let settings = config.member();
    let plan = Plan {
        cluster: cluster.clone(),
        group: config.group().to_owned(),
        topics: config.topics.clone(),
        retry_topics: config.retry_topics().map(|(name, retry)| (name, retry.partitions)).collect(),
        longest_pause: config.longest_pause(),
        retry_retention: config.retry_retention(),
        dead_letters: config.dead_letter_topic(),
        options: options::member(config),
    };
    let member = Member::start(plan, clock)?;
    let membership = Membership { settings, joining: member.joining() };
    Ok((Box::new(member), Some(membership)))
}

/// The store that `config` asks for. Tokens of two pipelines name two effects, so each has its own.
fn open_store(
    config: &config::Pipeline,
    data: &Path,
    clock: Arc<dyn Clock>,
) -> Result<Option<(ClaimStore, DynStore)>, PipelineError> {
    let kind = config.claim.store;
    let retention = config.claim.retention.0;
    let store = match kind {
        ClaimStore::None => return Ok(None),
        ClaimStore::Memory => {
            DynStore::new(MemoryStore::new(MemoryConfig { retention, ..MemoryConfig::default() }, clock))
        }
        ClaimStore::Embedded => {
            let dir = data.join("claims").join(&config.name);
            let mut options = EmbeddedOptions::new(dir);
            options.retention = retention;
            DynStore::new(EmbeddedStore::open(RealDisk, options, clock)?)
        }
    };
    Ok(Some((kind, store)))
}
