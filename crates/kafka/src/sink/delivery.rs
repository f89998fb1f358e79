//! What the client tells its context: delivery reports, and its own log.

use super::call::Ticket;
use super::error::{SinkError, undelivered};
use crate::error::Trouble;
use rdkafka::ClientContext;
use rdkafka::Statistics;
use rdkafka::client::OAuthToken;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;

/// Hands each report to the call that waits for it. Runs on the producer's thread, and never waits.
#[derive(Debug)]
pub(super) struct Deliveries {
    trouble: Trouble,
}

impl Deliveries {
    pub(super) fn new(trouble: Trouble) -> Self {
        Self { trouble }
    }

    pub(super) fn trouble(&self) -> &Trouble {
        &self.trouble
    }
}

impl ClientContext for Deliveries {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    // Each record tells its own failure; these are about brokers that cannot be reached, and recover.
    fn error(&self, error: ClientError, reason: &str) {
        self.trouble.report("producer", &error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.trouble.heed_statistics(&statistics);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.trouble.token()
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Self::DeliveryOpaque) {
        match result {
            Ok(message) => {
                self.trouble.over();
                ticket.written(message.partition(), message.offset());
            }
            Err((error, message)) => {
                let topic = message.topic();
                let source = undelivered(topic, message.partition(), error.clone(), &self.trouble);
                ticket.failed(if source.is_too_large() {
                    SinkError::BatchRefused { topic: topic.to_owned(), source }.into()
                } else {
                    source.into()
                });
            }
        }
    }
}
