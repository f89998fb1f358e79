//! What a broker said outside of any answer.
//!
//! A client whose login is refused, or whose TLS fails, tries again for ever; whatever is asked of it meanwhile
//! only runs out of time. The reason comes by another way, as an event, and is kept here until an attempt fails.

use super::reports::Reports;
use super::{KafkaError, meaning};
use crate::token::{TokenError, TokenFile};
use rdkafka::client::OAuthToken;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use seawall_core::{Class, Clock, SystemClock};
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Events that may lie before the one that matters: a line of the client's log is one, too.
const EVENTS_MAX: usize = 64;

/// The last trouble that cannot pass by itself, and the client's token, whose absence is one that may.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    any: AtomicBool,
    last: Mutex<Option<(Code, String)>>,
    token: Option<TokenFile>,
    no_token: Mutex<Option<TokenError>>,
    reports: Mutex<Reports>,
    clock: SystemClock,
}

impl Trouble {
    pub(crate) fn with_token(token: Option<TokenFile>) -> Self {
        Self { token, ..Self::default() }
    }

    /// Why there was no token when the client asked for one.
    fn no_token(&self) -> Option<TokenError> {
        self.no_token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The token that the client asks for now. A refusal of the one before is over with it.
    pub(crate) fn token(&self) -> Result<OAuthToken, Box<dyn Error>> {
        let file = self.token.as_ref().ok_or(KafkaError::Closed)?;
        let read = file.read(SystemClock::new().wall());
        *self.no_token.lock().unwrap_or_else(PoisonError::into_inner) = read.as_ref().err().cloned();
        if read.is_ok() {
            self.over();
        }
        Ok(read?)
    }

    /// Takes what an event says. Brokers that cannot be reached are nothing to be kept: they come back.
    pub(crate) fn note(&self, error: &ClientError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        if meaning(code).class == Class::Permanent {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((code, reason.to_owned()));
            self.any.store(true, Ordering::Release);
        }
    }

    /// As [`Trouble::note`], and told to whoever reads the log: each kind seldom.
    pub(crate) fn report(&self, client: &'static str, error: &ClientError, reason: &str) {
        let code = error.rdkafka_error_code();
        let told = self.reports.lock().unwrap_or_else(PoisonError::into_inner).hear(code, self.clock.now());
        if let Some(left_out) = told {
            tracing::warn!(client, %error, reason, left_out, "a Kafka client reports");
        } else {
            tracing::debug!(client, %error, reason, "a Kafka client reports");
        }
        self.note(error, reason);
    }

    /// Something worked: what was said before is over. Costs a load where nothing was said.
    pub(crate) fn over(&self) {
        if self.any.swap(false, Ordering::AcqRel) {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// The error of an attempt; where that only found no broker or ran out of time, with what a broker said.
    pub(crate) fn explain(&self, doing: impl Into<String>, source: ClientError) -> KafkaError {
        let code = source.rdkafka_error_code().unwrap_or(Code::Unknown);
        if (vague(code) || code == Code::Authentication)
            && let Some(error) = self.no_token()
        {
            return error.into();
        }
        match self.last.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some((noted, said)) if vague(code) || *noted == code => {
                KafkaError::told(doing, ClientError::Global(*noted), said)
            }
            _ => KafkaError::refused(doing, source),
        }
    }
}

/// Codes that say no more than that nothing came of it.
fn vague(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::RequestTimedOut
            | Code::TimedOutQueue
            | Code::LeaderNotAvailable
            | Code::PurgeQueue
            | Code::PurgeInflight
    )
}

/// A context that keeps what brokers say.
pub(crate) trait Troubled: ConsumerContext {
    fn trouble(&self) -> &Trouble;
}

/// Lets `client`, which nobody polls, hear what has come in since its last call: above all that it needs a token, which
/// comes before all else. Before each call; one without a token would only wait until its time is over.
pub(crate) fn heed<C: Troubled>(client: &BaseConsumer<C>) -> Result<(), KafkaError> {
    // Errors go to the context as well.
    let _ = client.poll(Duration::ZERO);
    client.context().trouble().no_token().map_or(Ok(()), |error| Err(error.into()))
}

/// The error of an attempt of `client`, which nobody polls: the events that lie there are read first.
pub(crate) fn explained<C: Troubled>(
    client: &BaseConsumer<C>,
    doing: impl Into<String>,
    source: ClientError,
) -> KafkaError {
    if source.rdkafka_error_code().is_none_or(vague) {
        for _ in 0..EVENTS_MAX {
            // Errors go to the context as well. `None` is no end: a line of the log is answered so, too.
            let _ = client.poll(Duration::ZERO);
        }
    }
    client.context().trouble().explain(doing, source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(error: &KafkaError) -> Class {
        seawall_core::Classify::class(error)
    }

    #[test]
    fn a_token_that_is_missing_passes_by_itself_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let url = format!("file://{}", file.display());
        let trouble = Trouble::with_token(Some(TokenFile::at(&url).unwrap()));
        assert!(trouble.token().is_err());
        // What the client makes of it.
        trouble.note(&ClientError::Global(Code::Authentication), "Failed to acquire a token");
        let error = trouble.explain("x", ClientError::Global(Code::OperationTimedOut));
        assert!(matches!(error, KafkaError::Token(TokenError::Read { .. })), "{error}");
        assert_eq!(class(&error), Class::Transient);
        std::fs::write(&file, "opaque-0123456789").unwrap();
        assert_eq!(trouble.token().unwrap().token, "opaque-0123456789");
        let error = trouble.explain("x", ClientError::Global(Code::OperationTimedOut));
        assert!(matches!(error, KafkaError::Refused { code: Code::OperationTimedOut, .. }), "{error}");
    }

    #[test]
    fn a_vague_failure_is_explained_and_a_clear_one_stands() {
        let trouble = Trouble::default();
        let attempt = |code| trouble.explain("x", ClientError::Global(code));
        trouble.note(&ClientError::Global(Code::AllBrokersDown), "1/1 brokers are down");
        assert_eq!(class(&attempt(Code::OperationTimedOut)), Class::Transient, "that passes by itself");
        trouble.note(&ClientError::Global(Code::Authentication), "Invalid username or password");
        let error = attempt(Code::MessageTimedOut);
        assert_eq!(class(&error), Class::Permanent);
        let said = error.to_string();
        assert!(said.contains("Invalid username") && said.contains("SASL mechanism"), "{said}");
        assert!(attempt(Code::InvalidTopic).to_string().contains("249"), "its own reason");
        trouble.over();
        assert_eq!(class(&attempt(Code::MessageTimedOut)), Class::Transient, "a login that worked since");
    }
}
