//! What an end-to-end test stands on: the embedded log, or real Kafka brokers.

use super::load::Load;
use seawall_infra::{KafkaCluster, KafkaOptions, kafka_or_skip};
use std::time::Duration;

/// Where records are kept.
#[derive(Debug)]
pub enum Ground {
    Log,
    Kafka(Box<KafkaCluster>),
}

impl Ground {
    /// Three brokers, each partition on all of them; `None` where the machine has no Kafka, with a printed reason.
    pub fn three_brokers(test: &str) -> Option<Self> {
        kafka_or_skip(test, KafkaOptions { brokers: 3, ..KafkaOptions::default() })
            .map(|kafka| Self::Kafka(Box::new(kafka)))
    }

    /// One broker.
    pub fn one_broker(test: &str) -> Option<Self> {
        kafka_or_skip(test, KafkaOptions::default()).map(|kafka| Self::Kafka(Box::new(kafka)))
    }

    pub fn kafka(&self) -> &KafkaCluster {
        match self {
            Self::Log => panic!("the embedded log has no brokers"),
            Self::Kafka(kafka) => kafka,
        }
    }

    /// What `source` and `sink` call it.
    pub fn place(&self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Kafka(_) => "kafka",
        }
    }

    pub fn clusters(&self) -> String {
        match self {
            Self::Log => String::new(),
            Self::Kafka(kafka) => {
                let brokers = kafka.bootstrap();
                let brokers: Vec<&str> = brokers.split(',').collect();
                format!("[[cluster]]\nname = \"kafka\"\nbootstrap = {brokers:?}")
            }
        }
    }

    /// What its topics say beyond their name.
    pub fn topic(&self) -> String {
        match self {
            Self::Log => String::new(),
            Self::Kafka(kafka) => format!("cluster = \"kafka\"\nreplication = {}", kafka.pids().len().max(1)),
        }
    }

    /// Waits until records flow again after a start: a member of a group needs a moment, and a kill before it has
    /// joined meets nothing.
    pub fn underway(&self, load: &Load) {
        if let Self::Kafka(_) = self {
            let before = load.receipts();
            super::wait_for("receipts go on", Duration::from_mins(1), || {
                (load.receipts() >= before + 200).then_some(())
            });
        }
    }

    /// Static membership: a killed member's partitions wait for its successor, not for its session's end.
    pub fn member(&self) -> &'static str {
        match self {
            Self::Log => "",
            Self::Kafka(_) => "member = { instance_id = \"orders-1\", session_timeout = \"30s\" }",
        }
    }
}
