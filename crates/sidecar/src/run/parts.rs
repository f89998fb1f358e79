//! The parts of the process, each made from the config.

use super::StartError;
use crate::access::Access;
use crate::cluster::Clusters;
use crate::config::{self, BearerToken, Config, LOG};
use crate::destination::Places;
use crate::listen::{Bounds, Listening};
use crate::pipeline::{Pipeline, options};
use crate::recoverable::Producers;
use seawall_core::Clock;
use seawall_log::{Broker, BrokerOptions, Driver, OpenReport, TopicOptions};
use seawall_wal::RealDisk;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Who may call which listener.
pub(super) struct Rules {
    pub(super) ingest: Access,
    pub(super) admin: Access,
}

pub(super) async fn bind(
    listener: &'static str,
    addr: SocketAddr,
) -> Result<(TcpListener, SocketAddr), StartError> {
    Listening::bind(addr).await.map_err(|source| StartError::Bind { listener, addr, source })
}

/// The configuration was checked before the command line's addresses were put over it.
pub(super) fn closed_to_the_network(config: &Config) -> Result<(), StartError> {
    match config::open_to_the_network(config).next() {
        Some((listener, addr)) => Err(StartError::Open { listener, addr }),
        None => Ok(()),
    }
}

pub(super) fn access(config: &Config, ingest: SocketAddr, admin: SocketAddr) -> Result<Rules, StartError> {
    let token = |table, file: &Option<std::path::PathBuf>, env: &Option<String>| {
        BearerToken::load(table, file.as_deref(), env.as_deref())
    };
    let (i, a) = (&config.ingest, &config.admin);
    Ok(Rules {
        ingest: Access {
            bound: ingest,
            hosts: i.hosts.clone(),
            token: token("ingest", &i.token_file, &i.token_env)?,
        },
        admin: Access {
            bound: admin,
            hosts: a.hosts.clone(),
            token: token("admin", &a.token_file, &a.token_env)?,
        },
    })
}

pub(super) fn ingest_bounds(ingest: &config::Ingest) -> Bounds {
    Bounds {
        connections: ingest.max_connections,
        header_timeout: ingest.header_timeout.0,
        ..Bounds::default()
    }
}

/// A seed for jitter and owner ids, different in each process.
pub(super) fn seed() -> u64 {
    let (seed, _) = uuid::Uuid::new_v4().as_u64_pair();
    seed
}

/// What was opened on the disk.
pub(super) struct Opened {
    pub(super) broker: Broker,
    pub(super) report: OpenReport,
    pub(super) producers: Producers,
    pub(super) pipelines: Vec<Pipeline>,
}

/// Opens the log and the spills, makes the topics that are missing, and starts the pipelines. Blocks for the disk.
pub(super) fn open(
    config: &Config,
    clusters: &Clusters,
    clock: &Arc<dyn Clock>,
) -> Result<Opened, StartError> {
    let dir = &config.data.dir;
    let (broker, report) = Broker::open(RealDisk, BrokerOptions::new(dir), clock.clone(), Driver::Thread)?;
    for (partition, lost) in report.losses() {
        tracing::warn!(%partition, ?lost, "a torn tail was cut; it held no record with a receipt");
    }
    for (topic, options) in wanted_topics(config, &broker) {
        let made = if broker.topic_exists(&topic) {
            broker.set_retention(&topic, options)
        } else {
            broker.create_topic(&topic, options)
        };
        if let Err(source) = made {
            return Err(StartError::Topic { topic, source });
        }
    }
    let producers = Producers::open(config, clusters)?;
    let places = Places { broker: &broker, clusters, producers: &producers };
    let mut pipelines = Vec::with_capacity(config.pipeline.len());
    for (at, settings) in config.pipeline.iter().enumerate() {
        match Pipeline::start(at, settings, places, dir, clock.clone(), seed()) {
            Ok(pipeline) => pipelines.push(pipeline),
            Err(source) => {
                // A consumer does not stop by being dropped.
                let drains = pipelines.iter().map(Pipeline::drain);
                tokio::runtime::Handle::current().block_on(futures_util::future::join_all(drains));
                return Err(StartError::Pipeline { pipeline: settings.name.clone(), source });
            }
        }
    }
    Ok(Opened { broker, report, producers, pipelines })
}

/// The topics of the log that must be there. What the config describes is asked for as described; what it only names may
/// exist in whatever shape, and is made with the defaults otherwise.
fn wanted_topics(config: &Config, broker: &Broker) -> BTreeMap<String, TopicOptions> {
    let mut topics = BTreeMap::new();
    for pipeline in config.pipeline.iter().filter(|pipeline| pipeline.source == LOG) {
        for topic in &pipeline.topics {
            let options = TopicOptions::partitions(config::PARTITIONS_DEFAULT);
            topics.entry(topic.clone()).or_insert(options);
        }
        // Dead letters are few, and easier to read in one order.
        topics.insert(pipeline.dead_letter_topic(), TopicOptions::partitions(1));
        for (name, retry) in pipeline.retry_topics() {
            topics.insert(name, options::retry_topic_in_log(pipeline, retry));
        }
    }
    topics.retain(|name, _| !broker.topic_exists(name));
    for topic in config.topic.iter().filter(|topic| topic.cluster.is_none()) {
        topics.insert(topic.name.clone(), options::topic(topic));
    }
    topics
}
