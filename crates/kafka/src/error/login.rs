//! Logins that brokers refuse, or seem to.
//!
//! A broker that stalls or goes away while a client logs in looks to the client like one that refuses the login
//! (librdkafka 2.12, `rd_kafka_broker_handle_SaslHandshake`: any error becomes `_AUTHENTICATION`). One of many is enough
//! to say so, and one that starts again is often met in that moment. So of a client whose login was taken before only a
//! refusal that is repeated for a while, with nothing taken between, is believed.

use rdkafka::error::RDKafkaErrorCode as Code;
use seawall_core::Nanos;
use std::time::Duration;

/// How long a login that was taken before has to be refused by all. Longer than a broker takes to start.
const BELIEVED_AFTER: Duration = Duration::from_mins(1);
/// Refusals further apart are not one trouble. The client repeats the same one after 30 s, once it has tried again.
const APART: Duration = Duration::from_mins(2);

/// Whether `code` says that a login, or the TLS before it, failed.
pub(super) fn is_login(code: Code) -> bool {
    matches!(code, Code::Authentication | Code::SSL)
}

/// The first and the last refusal of those that belong together, while nothing has worked.
#[derive(Debug, Default)]
pub(super) struct Refusals(Option<(Nanos, Nanos)>);

impl Refusals {
    /// Something has worked.
    pub(super) fn over(&mut self) {
        self.0 = None;
    }

    /// One more refusal.
    pub(super) fn add(&mut self, now: Nanos) {
        let first = if self.are_recent(now) { self.0 } else { None }.map_or(now, |(first, _)| first);
        self.0 = Some((first, now));
    }

    /// Whether there was one not long ago.
    pub(super) fn are_recent(&self, now: Nanos) -> bool {
        self.0.is_some_and(|(_, last)| now.since(last) <= APART)
    }

    /// Whether they are meant.
    pub(super) fn are_believed(&self, now: Nanos) -> bool {
        self.are_recent(now) && self.0.is_some_and(|(first, last)| last.since(first) >= BELIEVED_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_believed_once_nobody_took_the_login_for_a_minute() {
        let at = |s: u64| Nanos(0).plus(Duration::from_secs(s));
        let mut refusals = Refusals::default();
        let mut add = |s| {
            refusals.add(at(s));
            refusals.are_believed(at(s))
        };
        assert!(!add(10) && !add(40) && !add(69));
        assert!(add(70));
        assert!(!add(300), "so late it is another trouble");
        assert!(!add(330) && add(360));
        assert!(!refusals.are_believed(at(500)), "nobody says so any more");
        refusals.over();
        refusals.add(at(501));
        assert!(!refusals.are_believed(at(600)), "one alone, however long ago");
    }
}
