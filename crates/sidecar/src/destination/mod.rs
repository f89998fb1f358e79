//! Where records go, chosen by name in one place: ingest, dead letters and redriven letters all come here.

use crate::cluster::{Cluster, Clusters};
use crate::config::LOG;
use crate::recoverable::{Producers, Recoverable, Taken, Use};
use seawall_core::{Durability, Fault, Outgoing, Receipt, Sink};
use seawall_log::Broker;

/// Where records go. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Destination {
    /// The embedded log.
    Log(Broker),
    /// A Kafka cluster.
    Kafka {
        /// It.
        cluster: Cluster,
        /// What keeps records that it cannot take, where the config has a `[producer]`.
        producer: Option<Recoverable>,
    },
}

/// Everything that records may go to or come from.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// The embedded log.
    pub broker: &'a Broker,
    /// The clusters.
    pub clusters: &'a Clusters,
    /// What stands before them.
    pub producers: &'a Producers,
}

impl Places<'_> {
    /// The destination called `name`, which the config's check knows to be there.
    pub fn choose(&self, name: &str, serves: Use) -> Destination {
        match self.clusters.get(name) {
            Some(cluster) => Destination::Kafka {
                cluster: cluster.clone(),
                producer: self.producers.get(serves, name).cloned(),
            },
            None => Destination::Log(self.broker.clone()),
        }
    }
}

impl Destination {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Log(_) => LOG,
            Self::Kafka { cluster, .. } => cluster.name(),
        }
    }

    /// The safest receipt that it gives.
    pub fn best(&self) -> Durability {
        match self {
            Self::Log(_) => Durability::Synced,
            Self::Kafka { .. } => Durability::Replicated,
        }
    }

    /// Sends records in order, each with the receipt that is true of it: given once the record is as safe as `asked`, or
    /// as the config asks for. Without a producer it is always [the best](Self::best).
    pub async fn take(&self, records: Vec<Outgoing>, asked: Option<Durability>) -> Vec<Result<Taken, Fault>> {
        if let Self::Kafka { producer: Some(producer), .. } = self {
            let asked = asked.unwrap_or_else(|| producer.asked());
            let taken = Recoverable::send(producer, records, asked).await;
            return taken.into_iter().map(|taken| taken.map_err(Fault::from)).collect();
        }
        let written = |receipt: Receipt| Taken {
            durability: receipt.durability,
            place: Some((receipt.partition, receipt.offset)),
            sink: None,
        };
        self.send(records).await.into_iter().map(|receipt| receipt.map(written)).collect()
    }
}

impl Sink for Destination {
    async fn send(&self, records: Vec<Outgoing>) -> Vec<Result<Receipt, Fault>> {
        match self {
            Self::Log(broker) => broker.send(records).await,
            Self::Kafka { producer: Some(producer), .. } => Sink::send(producer, records).await,
            Self::Kafka { cluster, producer: None } => cluster.sink().send(records).await,
        }
    }
}
