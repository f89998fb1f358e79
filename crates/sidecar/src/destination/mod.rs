//! Where records go, chosen by name in one place: ingest, dead letters and redriven letters all come here.

use crate::cluster::{Cluster, Clusters};
use crate::config::LOG;
use seawall_core::{Fault, Outgoing, Receipt, Sink};
use seawall_log::Broker;

/// Where records go. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Destination {
    /// The embedded log.
    Log(Broker),
    /// A Kafka cluster.
    Kafka(Cluster),
}

impl Destination {
    /// The destination called `name`, which the config's check knows to be there.
    pub fn choose(name: &str, broker: &Broker, clusters: &Clusters) -> Self {
        match clusters.get(name) {
            Some(cluster) => Self::Kafka(cluster.clone()),
            None => Self::Log(broker.clone()),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Log(_) => LOG,
            Self::Kafka(cluster) => cluster.name(),
        }
    }
}

impl Sink for Destination {
    async fn send(&self, records: Vec<Outgoing>) -> Vec<Result<Receipt, Fault>> {
        match self {
            Self::Log(broker) => broker.send(records).await,
            Self::Kafka(cluster) => cluster.sink().send(records).await,
        }
    }
}
