//! The Kafka clusters that the config names, at work: for each a producer, a client that asks, and what is known
//! of its topics.
//!
//! **A cluster that does not answer at the start** does not keep Seawall from starting: what it has to offer is
//! waited for in the background, readiness is 503 meanwhile, and pipelines on it say what they wait for. What
//! waiting cannot mend (settings, rights, a topic that is named and not there) ends the start, or, met later,
//! the pipeline concerned.

mod error;
mod fit;
mod remember;
mod together;
mod topics;

pub use error::ClusterError;
pub use fit::Unfit;
pub(crate) use topics::Wanted;

use crate::config::{self, Config};
use crate::recoverable::options::RECORD_BYTES_MAX;
use remember::Remembered;
use seawall_core::{Class, Classify, Clock, Fault};
use seawall_kafka::{Admin, Connection, KafkaSink, SinkOptions};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use topics::Known;

/// How long one question to a cluster is waited for.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long after a cluster did not answer it is asked again.
pub(crate) const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// So many refusals in a row are believed of a cluster that did not answer before: one that starts refuses logins for a moment.
const REFUSALS_BELIEVED: u32 = 10;
/// How long a record that was taken waits for the replicas' answer, where no `[producer]` says it; then its sender is
/// told to come back.
const DELIVERY_WITHIN: Duration = Duration::from_secs(30);

/// How a cluster stands.
#[derive(Clone, Debug)]
pub enum Standing {
    /// It has answered, and what the config describes is there.
    Ready,
    /// It has not answered yet; why.
    Waiting(String),
    /// It refused what the config describes.
    Refused(Fault),
}

/// A cluster. Clones share it.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    name: String,
    connection: Connection,
    admin: Admin,
    sink: KafkaSink,
    described: Vec<config::Topic>,
    known: Known,
    standing: Mutex<Standing>,
}

/// All clusters of a config.
#[derive(Clone, Debug, Default)]
pub struct Clusters(Vec<Cluster>);

impl Clusters {
    /// Makes the clients of all clusters of `config`, and the topics it describes. A cluster that does not answer
    /// is asked again in the background until `stop`, on the current runtime.
    ///
    /// # Errors
    /// [`ClusterError`], where waiting would not help.
    pub async fn open(
        config: &Config,
        clock: &Arc<dyn Clock>,
        stop: &CancellationToken,
    ) -> Result<Self, ClusterError> {
        let mut clusters = Vec::with_capacity(config.cluster.len());
        for (at, settings) in config.cluster.iter().enumerate() {
            let cluster = Cluster::open(at, settings, config, clock)?;
            match cluster.make_described().await {
                Ok(()) => cluster.stands(Standing::Ready),
                Err(error) if error.class() == Class::Permanent => return Err(error),
                Err(error) => {
                    let why = Fault::from(error).to_string();
                    tracing::warn!(
                        cluster = cluster.name(),
                        why,
                        "the cluster does not answer; it is waited for"
                    );
                    cluster.stands(Standing::Waiting(why));
                    tokio::spawn(stop.clone().run_until_cancelled_owned(cluster.clone().wait()));
                }
            }
            clusters.push(cluster);
        }
        Ok(Self(clusters))
    }

    /// The cluster called `name`; `None` for the embedded log.
    pub fn get(&self, name: &str) -> Option<&Cluster> {
        self.0.iter().find(|cluster| cluster.name() == name)
    }

    /// All of them.
    pub fn all(&self) -> &[Cluster] {
        &self.0
    }

    /// Takes no more records and waits a bounded time for those taken. Blocks.
    pub fn close(&self) {
        for cluster in &self.0 {
            if let Err(error) = cluster.0.sink.close() {
                let fault = Fault::from(error);
                tracing::warn!(cluster = cluster.name(), %fault, "records were left in the producer");
            }
        }
    }
}

impl Cluster {
    fn open(
        at: usize,
        settings: &config::Cluster,
        config: &Config,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, ClusterError> {
        let name = settings.name.clone();
        let client = |source| ClusterError::Client { cluster: name.clone(), source: Box::new(source) };
        let connection = settings.connection(at)?;
        let defaults = SinkOptions::default();
        let producer = config.producer.as_ref();
        let options = SinkOptions {
            delivery_timeout: producer.map_or(DELIVERY_WITHIN, |producer| producer.delivery_timeout.0),
            // What the client still has then is on disk, too.
            close_within: producer
                .map_or(defaults.close_within, |producer| defaults.close_within.min(producer.close_within.0)),
            // The topic's own bound decides.
            record_bytes_max: RECORD_BYTES_MAX,
            compression: settings.compression.into(),
            ..defaults
        };
        let remembers = producer.is_some() && config.ingest.sink == name;
        let remembered = remembers.then(|| Remembered::read(&config.data.dir, &name));
        Ok(Self(Arc::new(Inner {
            admin: Admin::open(&connection, ANSWER_WITHIN).map_err(client)?,
            sink: KafkaSink::open(&connection, &options).map_err(client)?,
            described: topics::described(config, &name),
            known: Known::new(clock.clone(), remembered),
            standing: Mutex::new(Standing::Waiting("it was not asked yet".to_owned())),
            connection,
            name,
        })))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        self.standing_mut().clone()
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.0.connection
    }

    pub(crate) fn admin(&self) -> &Admin {
        &self.0.admin
    }

    pub(crate) fn sink(&self) -> &KafkaSink {
        &self.0.sink
    }

    fn standing_mut(&self) -> MutexGuard<'_, Standing> {
        self.0.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stands(&self, standing: Standing) {
        *self.standing_mut() = standing;
    }

    /// Asks again and again for what the config describes.
    async fn wait(self) {
        let mut refusals = 0;
        loop {
            tokio::time::sleep(AGAIN_AFTER).await;
            let made = self.make_described().await;
            let refused = made.as_ref().is_err_and(|error| error.class() == Class::Permanent);
            refusals = if refused { refusals + 1 } else { 0 };
            match made {
                Ok(()) => {
                    tracing::info!(cluster = self.name(), "the cluster answers");
                    return self.stands(Standing::Ready);
                }
                Err(error) if refusals >= REFUSALS_BELIEVED => {
                    let fault = Fault::from(error);
                    tracing::error!(cluster = self.name(), %fault, "the cluster refuses");
                    return self.stands(Standing::Refused(fault));
                }
                Err(error) => self.stands(Standing::Waiting(Fault::from(error).to_string())),
            }
        }
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cluster({})", self.name())
    }
}
