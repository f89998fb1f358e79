//! What a service's answer means for the record.

use http::{HeaderValue, StatusCode};
use seawall_core::{Class, Classify, Fault, Outcome, WallMs};
use std::time::Duration;

/// The longest `Retry-After` that is honoured.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);
/// What counts when an overloaded service does not say when to come back.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);

/// Why a push did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The service refused the record for good.
    #[error("the service answered {status}{}", said(.body))]
    Refused {
        /// Its status.
        status: StatusCode,
        /// The start of its body.
        body: String,
    },
    /// A redirect: followed by nobody, since it would lead past the rule of where records may go.
    #[error(
        "the service answered {status} to {location:?}; redirects are not followed, configure the final URL"
    )]
    Redirect {
        /// Its status.
        status: StatusCode,
        /// Where it wanted the record.
        location: String,
    },
    /// The service has too much to do.
    #[error("the service answered {status}: overloaded, come back in {} ms", after.as_millis())]
    Overloaded {
        /// Its status.
        status: StatusCode,
        /// When to come back.
        after: Duration,
    },
    /// The service failed.
    #[error("the service answered {status}{}", said(.body))]
    Failed {
        /// Its status.
        status: StatusCode,
        /// The start of its body.
        body: String,
    },
    /// All connections were taken. The record was not sent, so that nothing is said against it or the service.
    #[error(
        "not sent: none of the {connections} connections to the service was free within {} ms; \
         raise push.max_connections, or lower guard.concurrency to it",
        waited.as_millis()
    )]
    Busy {
        /// How long one was waited for.
        waited: Duration,
        /// How many there are.
        connections: usize,
    },
    /// No answer within the deadline.
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// No connection, or one that broke.
    #[error("the service cannot be reached")]
    Unreachable(#[source] hyper_util::client::legacy::Error),
    /// The request could not be built; a defect, since every part of it is encoded.
    #[error("the request could not be built")]
    Request(#[source] http::Error),
}

fn said(body: &str) -> String {
    if body.is_empty() { String::new() } else { format!(": {body}") }
}

impl Classify for PushError {
    fn class(&self) -> Class {
        match self {
            Self::Refused { .. } | Self::Redirect { .. } => Class::Permanent,
            Self::Overloaded { .. } | Self::Busy { .. } => Class::Overload,
            Self::Failed { .. } | Self::Timeout(_) | Self::Unreachable(_) => Class::Transient,
            Self::Request(_) => Class::Bug,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded { after, .. } => Some(*after),
            _ => None,
        }
    }
}

/// The verdict on a status: 2xx and 409 (already done) acknowledge; 429 and 503 come back later; other 4xx and
/// 3xx are for the dead letters; everything else is tried again. `body` is the start of the answer's body.
pub fn judge(
    status: StatusCode,
    headers: &http::HeaderMap,
    body: impl FnOnce() -> String,
    now: WallMs,
) -> Outcome {
    let error = match status.as_u16() {
        200..=299 | 409 => return Outcome::Ack,
        429 | 503 => {
            PushError::Overloaded { status, after: retry_after(headers.get(http::header::RETRY_AFTER), now) }
        }
        300..=399 => {
            let location = headers.get(http::header::LOCATION).map(HeaderValue::as_bytes).unwrap_or_default();
            PushError::Redirect { status, location: excerpt(location) }
        }
        400..=499 => PushError::Refused { status, body: body() },
        _ => PushError::Failed { status, body: body() },
    };
    Outcome::from_fault(Fault::from(error))
}

/// `Retry-After` in seconds or as an HTTP date, at most an hour.
fn retry_after(value: Option<&HeaderValue>, now: WallMs) -> Duration {
    let text = value.and_then(|v| v.to_str().ok()).map(str::trim).unwrap_or_default();
    if let Ok(seconds) = text.parse::<u64>() {
        return Duration::from_secs(seconds).min(RETRY_AFTER_MAX);
    }
    let Ok(date) = httpdate::parse_http_date(text) else { return RETRY_AFTER_DEFAULT };
    let now = std::time::UNIX_EPOCH + Duration::from_millis(u64::try_from(now.0).unwrap_or(0));
    date.duration_since(now).unwrap_or_default().min(RETRY_AFTER_MAX)
}

/// The longest excerpt of a body or header in an error, in bytes.
const EXCERPT_BYTES_MAX: usize = 200;

/// The start of `bytes`, on one line and printable.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(EXCERPT_BYTES_MAX)];
    let text = String::from_utf8_lossy(start);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16) -> Outcome {
        let status = StatusCode::from_u16(status).expect("a status");
        judge(status, &http::HeaderMap::new(), String::new, WallMs(0))
    }

    #[test]
    fn every_status_has_its_verdict() {
        for status in 200..=299 {
            assert!(judged(status).is_ack(), "{status}");
        }
        for status in 300..=399 {
            assert!(matches!(judged(status), Outcome::DeadLetter(_)), "{status}");
        }
        for status in 400..=499 {
            match (status, judged(status)) {
                (409, outcome) => assert!(outcome.is_ack()),
                (429, Outcome::Retry(fault)) => assert_eq!(fault.class(), Class::Overload),
                (_, Outcome::DeadLetter(fault)) => assert_eq!(fault.class(), Class::Permanent),
                (status, outcome) => panic!("{status}: {outcome:?}"),
            }
        }
        for status in 500..=599 {
            let Outcome::Retry(fault) = judged(status) else { panic!("{status}") };
            let expected = if status == 503 { Class::Overload } else { Class::Transient };
            assert_eq!(fault.class(), expected, "{status}");
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let after =
            |text: &'static str| retry_after(Some(&HeaderValue::from_static(text)), WallMs(784_111_777_000));
        assert_eq!(after("17"), Duration::from_secs(17));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:47 GMT"), Duration::from_secs(10));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:00 GMT"), Duration::ZERO);
        assert_eq!(after("999999999"), RETRY_AFTER_MAX);
        assert_eq!(after("soon"), RETRY_AFTER_DEFAULT);
        assert_eq!(retry_after(None, WallMs(0)), RETRY_AFTER_DEFAULT);
    }

    #[test]
    fn an_excerpt_is_one_short_printable_line() {
        assert_eq!(excerpt(b"no\r\nX-Evil: 1\x1b[2J"), "no  X-Evil: 1 [2J");
        assert!(excerpt(&[0xff; 1000]).len() <= 3 * EXCERPT_BYTES_MAX);
    }
}
