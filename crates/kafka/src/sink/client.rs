//! The client behind a sink, and the next one where it failed for good.
//!
//! An idempotent producer that lost count with a broker (records that it had acknowledged are gone there), or that was
//! given no number, answers every further record of every topic with that. Only another client helps.

use super::delivery::Deliveries;
use super::options::SinkOptions;
use crate::connection::Connection;
use crate::error::KafkaError;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::producer::{Producer, ThreadedProducer};
use seawall_core::{Clock, Fault, Nanos, SystemClock};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The next client is made no sooner after the last one: what made that fail may still be so.
const RENEWED_EVERY: Duration = Duration::from_secs(10);
/// How often is looked whether the calls under way have let go of a client that failed.
const BURY_CHECK: Duration = Duration::from_millis(50);

pub(super) type Client = Arc<ThreadedProducer<Deliveries>>;

/// See the module.
pub(super) struct Clients {
    /// The client in use, and when it was made in place of another.
    now: Mutex<(Client, Option<Nanos>)>,
    /// What the next one is made of. None where a failure is final: another holds the transactional id.
    next: Option<(Connection, SinkOptions)>,
    clock: SystemClock,
}

impl Clients {
    /// A client with settings of Seawall's own, which is not replaced.
    pub(super) fn one(
        connection: &Connection,
        options: &SinkOptions,
        more: &[(&str, &str)],
    ) -> Result<Self, KafkaError> {
        let client = make(connection, options, more)?;
        Ok(Self { now: Mutex::new((client, None)), next: None, clock: SystemClock::new() })
    }

    /// A client for a sink that goes on without an end.
    pub(super) fn open(connection: &Connection, options: &SinkOptions) -> Result<Self, KafkaError> {
        let clients = Self::one(connection, options, &LASTING)?;
        Ok(Self { next: Some((connection.clone(), options.clone())), ..clients })
    }

    pub(super) fn now(&self) -> Client {
        Arc::clone(&self.lock().0)
    }

    /// The client to write with: another one, where the last has failed for good.
    pub(super) fn usable(&self) -> Client {
        let mut now = self.lock();
        let (Some((connection, options)), Some(fatal)) = (&self.next, fatal(&now.0)) else {
            return Arc::clone(&now.0);
        };
        let time = self.clock.now();
        if now.1.is_some_and(|made| time.since(made) < RENEWED_EVERY) {
            return Arc::clone(&now.0);
        }
        match make(connection, options, &LASTING) {
            Ok(client) => {
                tracing::warn!(error = %fatal, "the Kafka producer failed for good; another one takes its place");
                if now.0.context().trouble().was_let_in() {
                    client.context().trouble().let_in();
                }
                bury(std::mem::replace(&mut *now, (client, Some(time))).0);
            }
            Err(error) => tracing::error!(%error, "no producer takes the place of one that failed for good"),
        }
        Arc::clone(&now.0)
    }

    /// What a client that failed for good says of a record is no verdict on it, where there is a next one.
    pub(super) fn soften(&self, fault: &mut Fault) {
        let Some(error @ KafkaError::Refused { code, .. }) = fault.error().downcast_ref() else { return };
        let of_client =
            matches!(code, Code::Fatal | Code::GaplessGuarantee | Code::Inconsistent | Code::Fenced);
        if self.next.is_some() && of_client {
            *fault = KafkaError::MayPass { source: Box::new(error.clone()) }.into();
        }
    }

    fn lock(&self) -> MutexGuard<'_, (Client, Option<Nanos>)> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets go of a client that failed for good, once the calls under way have: that waits for its threads.
fn bury(client: Client) {
    std::thread::spawn(move || {
        while Arc::strong_count(&client) > 1 {
            std::thread::sleep(BURY_CHECK);
        }
        drop(client);
    });
}

/// A record that runs out of time in the client's queue is thrown out of the middle of it, and a later one of its key may
/// still be written. So none does: the call gives up, the queue keeps its order.
const LASTING: [(&str, &str); 1] = [("message.timeout.ms", "0")];

fn make(connection: &Connection, options: &SinkOptions, more: &[(&str, &str)]) -> Result<Client, KafkaError> {
    options
        .config(connection, more)?
        .create_with_context(Deliveries::new(connection.trouble()?))
        .map(Arc::new)
        .map_err(|source| connection.unusable("making a producer", source))
}

/// Why a client failed for good, where it did.
pub(super) fn fatal(client: &ThreadedProducer<Deliveries>) -> Option<ClientError> {
    client.client().fatal_error().map(|(code, _)| ClientError::Global(code))
}
