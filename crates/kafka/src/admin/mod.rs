//! Asking a cluster, and making topics in it.
//!
//! Nothing here joins a group or moves a group's offsets. All calls end within the time given to
//! [`Admin::open`]; the names of what was asked for stand in the errors.

mod assignment;
mod groups;
mod offsets;
mod topics;

pub use groups::{Group, Member};
pub use offsets::{Committed, Span};
pub(crate) use offsets::{committed, group_client};
pub use topics::{NewTopic, Partition, Topic};

use crate::connection::Connection;
use crate::error::{KafkaError, Trouble, Troubled, answered, explained, heed, is_about_group};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::util::Timeout;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Global errors are about single brokers; each call tells what it met itself.
#[derive(Debug)]
pub(crate) struct Quiet {
    trouble: Trouble,
    /// It has a group's name only because the client assigns nothing without one.
    groupless: bool,
}

impl Quiet {
    pub(crate) fn new(trouble: Trouble) -> Self {
        Self { trouble, groupless: false }
    }

    /// For a client that only reads, from offsets that it is given: what is said of its group is nothing to it. The client
    /// looks for the coordinator of any group it has the name of, which takes a right that reading does not.
    pub(crate) fn groupless(trouble: Trouble) -> Self {
        Self { trouble, groupless: true }
    }
}

impl ClientContext for Quiet {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn error(&self, error: ClientError, reason: &str) {
        tracing::debug!(%error, reason, "a Kafka client that only asks reports");
        if !(self.groupless && error.rdkafka_error_code().is_some_and(is_about_group)) {
            self.trouble.note(&error, reason);
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.trouble.token()
    }
}

impl ConsumerContext for Quiet {}

impl Troubled for Quiet {
    fn trouble(&self) -> &Trouble {
        &self.trouble
    }
}

/// How long the reason of a vague failure is looked for.
const REASON_WAIT: Duration = Duration::from_secs(3);

/// A client that asks. Cloning shares it.
#[derive(Clone)]
pub struct Admin {
    connection: Connection,
    client: Arc<AdminClient<Quiet>>,
    asking: Arc<Asking>,
}

/// The half that blocks its thread.
pub(crate) struct Asking {
    consumer: BaseConsumer<Quiet>,
    wait: Duration,
}

impl Admin {
    /// A client for the cluster of `connection` whose calls take at most `wait` each. No broker is asked yet.
    ///
    /// # Errors
    /// [`KafkaError::Setting`] and [`KafkaError::Client`] name what is wrong with the settings.
    pub fn open(connection: &Connection, wait: Duration) -> Result<Self, KafkaError> {
        let made = |source| connection.unusable("making an admin client", source);
        let client = connection
            .client_config(&[])?
            .create_with_context(Quiet::new(connection.trouble()?))
            .map_err(made)?;
        let asking = Asking::open(connection, wait)?;
        Ok(Self { connection: connection.clone(), client: Arc::new(client), asking: Arc::new(asking) })
    }

    /// The client that makes changes hears no events, so that nobody can give it a token.
    fn may_change(&self, doing: &str) -> Result<(), KafkaError> {
        if self.connection.has_token() {
            return Err(KafkaError::ChangeWithToken { doing: doing.to_owned() });
        }
        Ok(())
    }

    fn options(&self) -> AdminOptions {
        let wait = Some(Timeout::After(self.asking.wait));
        AdminOptions::new().request_timeout(wait).operation_timeout(wait)
    }

    /// The error of a change that was asked for. The client that makes changes hears no events; where it only ran
    /// out of time, the one that asks finds out why.
    async fn explain(&self, doing: String, source: ClientError) -> KafkaError {
        let failed = move |asking: &Asking| {
            // What is answered does not matter: a failure brings the reason, and an answer says that the login is taken.
            let wait = asking.wait.min(REASON_WAIT);
            let client = asking.client()?;
            if client.fetch_metadata(None, wait).is_ok() {
                client.context().trouble().over();
            }
            Err::<(), _>(explained(client, doing, source))
        };
        self.blocking(failed).await.err().unwrap_or(KafkaError::Closed)
    }

    /// Runs what blocks on a thread that may.
    async fn blocking<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Asking) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, KafkaError> {
        let asking = Arc::clone(&self.asking);
        // The join fails only where the runtime shuts down.
        tokio::task::spawn_blocking(move || what(&asking)).await.unwrap_or(Err(KafkaError::Closed))
    }
}

impl Asking {
    pub(crate) fn open(connection: &Connection, wait: Duration) -> Result<Self, KafkaError> {
        let consumer = consumer(connection, &[])?;
        Ok(Self { consumer, wait })
    }

    /// The client, ready for a call.
    fn client(&self) -> Result<&BaseConsumer<Quiet>, KafkaError> {
        heed(&self.consumer)?;
        Ok(&self.consumer)
    }

    /// What came of a question.
    fn answered<T>(
        &self,
        doing: impl FnOnce() -> String,
        said: Result<T, ClientError>,
    ) -> Result<T, KafkaError> {
        answered(&self.consumer, doing, said)
    }
}

/// A consumer that asks and reads, and never joins or commits.
pub(crate) fn consumer(
    connection: &Connection,
    more: &[(&str, &str)],
) -> Result<BaseConsumer<Quiet>, KafkaError> {
    let mut owned = vec![
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        // The end of the log, as Kafka's own tools see it, not the end of what transactions have decided.
        ("isolation.level", "read_uncommitted"),
    ];
    owned.extend_from_slice(more);
    let made = |source| connection.unusable("making a client that asks", source);
    connection.client_config(&owned)?.create_with_context(Quiet::new(connection.trouble()?)).map_err(made)
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("connection", &self.connection).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::error::RDKafkaErrorCode as Code;
    use seawall_core::{Class, Classify};

    #[test]
    fn what_is_said_of_its_group_explains_nothing_to_a_client_that_only_reads() {
        let class = |quiet: Quiet| {
            quiet.error(ClientError::Global(Code::GroupAuthorizationFailed), "FindCoordinator");
            quiet.trouble.explain("x", ClientError::Global(Code::OperationTimedOut)).class()
        };
        assert_eq!(class(Quiet::groupless(Trouble::default())), Class::Transient);
        assert_eq!(class(Quiet::new(Trouble::default())), Class::Permanent);
    }
}
