//! What a broker said outside of any answer.
//!
//! A client whose login is refused, or whose TLS fails, tries again for ever; whatever is asked of it meanwhile
//! only runs out of time. The reason comes by another way, as an event, and is kept here until an attempt fails, or one
//! succeeds. A login that was taken before may only seem to be refused ([`login`](super::login)).

use super::login::{Refusals, is_login};
use super::reports::Reports;
use super::{KafkaError, meaning};
use crate::token::{TokenError, TokenFile};
use rdkafka::Statistics;
use rdkafka::client::OAuthToken;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use seawall_core::{Class, Clock, Nanos, SystemClock};
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Events that may lie before the one that matters: a line of the client's log is one, too.
const EVENTS_MAX: usize = 64;

/// The last trouble that cannot pass by itself, and the client's token, whose absence is one that may.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    any: AtomicBool,
    /// Some broker took this client's login before, or asked for none.
    let_in: AtomicBool,
    noted: Mutex<Noted>,
    token: Option<TokenFile>,
    no_token: Mutex<Option<TokenError>>,
    reports: Mutex<Reports>,
    clock: SystemClock,
}

/// What events said.
#[derive(Debug, Default)]
struct Noted {
    last: Option<(Code, String)>,
    refusals: Refusals,
}

impl Trouble {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

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
            self.noted().last = None;
        }
        Ok(read?)
    }

    /// Takes what an event says. Brokers that cannot be reached are nothing to be kept: they come back.
    pub(crate) fn note(&self, error: &ClientError, reason: &str) {
        self.note_at(self.clock.now(), error, reason);
    }

    fn note_at(&self, now: Nanos, error: &ClientError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        // What is said of one partition is told for that one, and explains nothing else.
        let of_one = matches!(code, Code::UnknownTopic | Code::UnknownPartition);
        if meaning(code).class == Class::Permanent && !of_one {
            let mut noted = self.noted();
            noted.last = Some((code, reason.to_owned()));
            if is_login(code) {
                noted.refusals.add(now);
            }
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

    /// Something worked: what was said before is over. Costs two loads where nothing was said.
    pub(crate) fn over(&self) {
        self.let_in();
        if self.any.load(Ordering::Acquire) {
            let mut noted = self.noted();
            noted.last = None;
            noted.refusals.over();
            self.any.store(false, Ordering::Release);
        }
    }

    /// The client's login was taken: from now on it is believed to be refused only once that is repeated for a while.
    pub(crate) fn let_in(&self) {
        if !self.let_in.load(Ordering::Relaxed) {
            self.let_in.store(true, Ordering::Relaxed);
        }
    }

    /// Whether some broker is known to have taken the login.
    pub(crate) fn was_let_in(&self) -> bool {
        self.let_in.load(Ordering::Relaxed)
    }

    /// What the client's statistics say: a broker that is up has taken the login, whatever others seem to say.
    pub(crate) fn heed_statistics(&self, statistics: &Statistics) {
        if statistics.brokers.values().any(|broker| broker.state == "UP") {
            self.let_in();
            self.noted().refusals.over();
        }
    }

    /// The error of an attempt; where that only found no broker or ran out of time, with what a broker said.
    pub(crate) fn explain(&self, doing: impl Into<String>, source: ClientError) -> KafkaError {
        self.explain_at(self.clock.now(), doing, source)
    }

    fn explain_at(&self, now: Nanos, doing: impl Into<String>, source: ClientError) -> KafkaError {
        let code = source.rdkafka_error_code().unwrap_or(Code::Unknown);
        if (vague(code) || code == Code::Authentication)
            && let Some(error) = self.no_token()
        {
            return error.into();
        }
        let Noted { last, refusals } = &*self.noted();
        // A refusal of which nothing was heard for long explains nothing any more.
        let explains = |noted: Code| {
            let over = self.let_in.load(Ordering::Relaxed) && is_login(noted) && !refusals.are_recent(now);
            noted == code || (vague(code) && !over)
        };
        let (code, error) = match last {
            Some((noted, said)) if explains(*noted) => {
                (*noted, KafkaError::told(doing, ClientError::Global(*noted), said))
            }
            _ => (code, KafkaError::refused(doing, source)),
        };
        if is_login(code) && self.let_in.load(Ordering::Relaxed) && !refusals.are_believed(now) {
            return KafkaError::MayPass { source: Box::new(error) };
        }
        error
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

/// What came of an attempt of `client`, which nobody polls. An answer ends what was said before.
pub(crate) fn answered<C: Troubled, T>(
    client: &BaseConsumer<C>,
    doing: impl FnOnce() -> String,
    said: Result<T, ClientError>,
) -> Result<T, KafkaError> {
    match said {
        Ok(answer) => {
            client.context().trouble().over();
            Ok(answer)
        }
        Err(source) => Err(explained(client, doing(), source)),
    }
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

    fn refuse(trouble: &Trouble, now: Nanos) {
        trouble.note_at(now, &ClientError::Global(Code::Authentication), "Disconnected while logging in");
    }

    #[test]
    fn a_login_that_was_taken_is_refused_for_good_only_after_a_minute() {
        let trouble = Trouble::default();
        let at = |s: u64| Nanos(0).plus(Duration::from_secs(s));
        let attempt = |now, code| trouble.explain_at(now, "x", ClientError::Global(code));
        refuse(&trouble, at(0));
        let error = attempt(at(1), Code::MessageTimedOut);
        assert_eq!(class(&error), Class::Permanent, "nobody ever took it");
        trouble.over();
        refuse(&trouble, at(10));
        for code in [Code::MessageTimedOut, Code::Authentication] {
            let error = attempt(at(11), code);
            assert!(matches!(error, KafkaError::MayPass { .. }), "{error}");
            assert_eq!(class(&error), Class::Transient);
            assert!(error.to_string().contains("Disconnected while"), "{error}");
        }
        let error = attempt(at(200), Code::MessageTimedOut);
        assert!(matches!(error, KafkaError::Refused { code: Code::MessageTimedOut, .. }), "{error}");
        for s in [300, 330, 361] {
            refuse(&trouble, at(s));
        }
        let error = attempt(at(362), Code::MessageTimedOut);
        assert_eq!(class(&error), Class::Permanent);
        assert!(error.to_string().contains("Disconnected while"), "{error}");
        trouble.over();
        assert_eq!(class(&attempt(at(363), Code::MessageTimedOut)), Class::Transient);
    }

    #[test]
    fn a_broker_that_is_up_has_taken_the_login() {
        let trouble = Trouble::default();
        let at = |s: u64| Nanos(0).plus(Duration::from_secs(s));
        let state = |state: &str| {
            let broker = rdkafka::statistics::Broker { state: state.to_owned(), ..Default::default() };
            let brokers = [("b:1/1".to_owned(), broker)].into();
            trouble.heed_statistics(&Statistics { brokers, ..Statistics::default() });
        };
        let attempt = |now| class(&trouble.explain_at(now, "x", ClientError::Global(Code::MessageTimedOut)));
        state("AUTH_REQ");
        refuse(&trouble, at(0));
        assert_eq!(attempt(at(1)), Class::Permanent, "none took it");
        state("UP");
        for s in [10, 40, 71] {
            refuse(&trouble, at(s));
        }
        assert_eq!(attempt(at(72)), Class::Permanent);
        state("UP");
        refuse(&trouble, at(73));
        assert_eq!(attempt(at(74)), Class::Transient, "another took it meanwhile");
    }

    #[test]
    fn an_answer_ends_what_was_said_to_a_client_that_only_asks() {
        let nowhere = crate::Connection::new(["127.0.0.1:1"]);
        let client = crate::admin::consumer(&nowhere, &[]).unwrap();
        let ask = |said: Result<(), Code>| {
            answered(&client, || "x".to_owned(), said.map_err(ClientError::Global)).map_err(|e| class(&e))
        };
        client.context().trouble().note(&ClientError::Global(Code::Authentication), "Disconnected");
        assert_eq!(ask(Err(Code::OperationTimedOut)), Err(Class::Permanent));
        assert_eq!(ask(Ok(())), Ok(()));
        assert_eq!(ask(Err(Code::OperationTimedOut)), Err(Class::Transient));
    }
}
