//! Which topics there are to write to.

use super::{Body, Ingest, append, json};
use crate::cluster::Cluster;
use crate::destination::Destination;
use crate::problem::Problem;
use http::{Response, StatusCode};
use seawall_core::{Fault, TopicPartition};
use seawall_kafka::KafkaError;
use seawall_log::Broker;
use serde_json::{Value, json as value};

impl Ingest {
    pub(super) async fn topics(&self) -> Result<Response<Body>, Problem> {
        let topics = match &self.sink {
            Destination::Log(broker) => of_log(broker),
            Destination::Kafka { cluster, .. } => {
                of_cluster(cluster).await.map_err(|error| append::problem_of(&Fault::from(error)))?
            }
        };
        Ok(json(StatusCode::OK, value!({ "topics": topics }).to_string()))
    }
}

fn of_log(broker: &Broker) -> Vec<Value> {
    let topics = broker.topics();
    let described = topics.iter().filter_map(|name| Some((name, broker.describe(name).ok()?)));
    let shown = described.map(|(name, topic)| {
        let partitions: Vec<_> = topic
            .partitions
            .iter()
            .map(|p| value!({ "partition": p.partition, "start": p.start, "end": p.end, "bytes": p.bytes }))
            .collect();
        value!({ "name": &**name, "partitions": partitions })
    });
    shown.collect()
}

/// Topics that are not the brokers' own. A partition without a leader has neither start nor end.
async fn of_cluster(cluster: &Cluster) -> Result<Vec<Value>, KafkaError> {
    let mut topics = cluster.admin().topics().await?;
    topics.retain(|topic| !topic.name.starts_with("__"));
    let led = topics.iter().flat_map(|topic| {
        let led = topic.partitions.iter().filter(|p| p.leader.is_some());
        led.map(|p| TopicPartition::new(topic.name.as_str(), p.number))
    });
    let spans = cluster.admin().spans(&led.collect::<Vec<_>>()).await?;
    let shown = topics.iter().map(|topic| {
        let partition = |number: u32| {
            let span = spans.get(&TopicPartition::new(topic.name.as_str(), number));
            value!({ "partition": number, "start": span.map(|s| s.begin), "end": span.map(|s| s.end) })
        };
        let partitions: Vec<_> = topic.partitions.iter().map(|p| partition(p.number)).collect();
        value!({ "name": topic.name, "partitions": partitions })
    });
    Ok(shown.collect())
}
