//! Logins that brokers refuse, or seem to.
//!
//! A broker that stalls or goes away while a client logs in looks to the client like one that refuses the login
//! (librdkafka 2.12, `rd_kafka_broker_handle_SaslHandshake`: any error becomes `_AUTHENTICATION`). One of many is enough
//! to say so, and one that starts again is often met in that moment.

use seawall_core::Nanos;
use std::time::Duration;

/// How long a login that was taken before has to be refused by all. Longer than a broker takes to start.
const BELIEVED_AFTER: Duration = Duration::from_mins(1);

/// Since when the login is refused, while nothing has worked.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    since: Option<Nanos>,
}

impl Refusals {
    /// Something has worked.
    pub(super) fn over(&mut self) {
        self.since = None;
    }

    /// One more refusal: whether it is meant.
    pub(super) fn is_believed(&mut self, any_broker_up: bool, now: Nanos) -> bool {
        if any_broker_up {
            self.since = None;
        }
        now.since(*self.since.get_or_insert(now)) >= BELIEVED_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_believed_once_nobody_took_the_login_for_a_minute() {
        let at = |s: u64| Nanos(0).plus(Duration::from_secs(s));
        let mut refusals = Refusals::default();
        assert!(!refusals.is_believed(false, at(10)) && !refusals.is_believed(false, at(69)));
        assert!(refusals.is_believed(false, at(70)));
        assert!(!refusals.is_believed(true, at(71)), "another broker takes it");
        assert!(!refusals.is_believed(false, at(130)) && refusals.is_believed(false, at(131)));
        refusals.over();
        assert!(!refusals.is_believed(false, at(132)));
    }
}
