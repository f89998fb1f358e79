//! Refusals as responses, and responses as verdicts.

use crate::guard::{Refusal, Verdict};
use seawall_core::{Class, Fault, Outcome};

/// Between a guard and the responses of a service.
pub trait Refuse<Response> {
    /// The response to a refused call.
    fn refuse(&self, refusal: Refusal) -> Response;

    /// What a response of the service says of it.
    fn judge(&self, response: &Response) -> Verdict;
}

/// For `Service<Delivery, Response = Outcome>`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RefuseDelivery;

impl Refuse<Outcome> for RefuseDelivery {
    fn refuse(&self, refusal: Refusal) -> Outcome {
        Outcome::Retry(Fault::from(refusal))
    }

    /// A dead letter is the record's fault: the service is well.
    fn judge(&self, outcome: &Outcome) -> Verdict {
        match outcome {
            Outcome::Ack | Outcome::DeadLetter(_) => Verdict::Ok,
            Outcome::Retry(fault) => match fault.class() {
                Class::Overload => Verdict::Overloaded,
                Class::Permanent => Verdict::Ok,
                Class::Transient | Class::Bug => Verdict::Failed,
            },
        }
    }
}

/// For `Service<http::Request<_>, Response = http::Response<B>>`: 429 where the caller came too often, 503
/// where the service has too much to do, `Retry-After` where the time is known (in whole seconds, rounded up,
/// at least 1), and an `application/problem+json` body (RFC 9457) that names the limit.
#[cfg(feature = "http")]
#[derive(Clone, Copy, Debug, Default)]
pub struct RefuseHttp;

#[cfg(feature = "http")]
impl<B: From<String>> Refuse<http::Response<B>> for RefuseHttp {
    fn refuse(&self, refusal: Refusal) -> http::Response<B> {
        use crate::guard::LimitKind;
        use http::{HeaderValue, StatusCode, header};

        let (status, title) = match refusal.limit {
            LimitKind::Rate => (StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"),
            LimitKind::Concurrency | LimitKind::Adaptive | LimitKind::Breaker => {
                (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
            }
        };
        // Every text here is this crate's own, with nothing in it that JSON would have to escape.
        let body = format!(
            r#"{{"type":"about:blank","title":"{title}","status":{},"detail":"{refusal}","limit":"{}"}}"#,
            status.as_u16(),
            refusal.limit,
        );
        let mut response = http::Response::new(B::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(after) = refusal.retry_after {
            let seconds = after.as_nanos().div_ceil(1_000_000_000).max(1);
            let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// 429 and 503 say overload, other 5xx failure; anything else is an answer of a service that is well.
    fn judge(&self, response: &http::Response<B>) -> Verdict {
        match response.status().as_u16() {
            429 | 503 => Verdict::Overloaded,
            500..=599 => Verdict::Failed,
            _ => Verdict::Ok,
        }
    }
}
