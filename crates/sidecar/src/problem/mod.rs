//! Errors over HTTP: `application/problem+json` (RFC 9457).

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value};
use std::time::Duration;

/// What the `type` of every problem begins with.
pub const TYPE_PREFIX: &str = "urn:seawall:problem:";

/// What went wrong with a request, for programs (`type`, `status`, fields) and people (`title`, `detail`).
#[derive(Clone, Debug, PartialEq)]
pub struct Problem(Box<Told>);

#[derive(Clone, Debug, PartialEq)]
struct Told {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    instance: Option<String>,
    retry_after: Option<Duration>,
    fields: Map<String, Value>,
}

impl Problem {
    /// A problem of `kind` (its `type` is `urn:seawall:problem:KIND`); `title` is the same for all of the kind,
    /// `detail` says what is wrong here and what would be right.
    pub fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        let detail = detail.into();
        let (instance, retry_after, fields) = (None, None, Map::new());
        Self(Box::new(Told { status, kind, title, detail, instance, retry_after, fields }))
    }

    /// 400: the request is malformed.
    pub fn bad_request(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, kind, "The request is malformed", detail)
    }

    /// 413.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large", detail)
    }

    /// 404.
    pub fn not_found(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, kind, "There is no such thing", detail)
    }

    /// The path of the request.
    #[must_use]
    pub fn at(mut self, path: &str) -> Self {
        self.0.instance = Some(path.to_owned());
        self
    }

    /// A further field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.fields.insert(name.to_owned(), value.into());
        self
    }

    /// With more to say.
    #[must_use]
    pub(crate) fn and(mut self, more: &str) -> Self {
        self.0.detail.push_str(more);
        self
    }

    /// When to come back; sent as `Retry-After`, in whole seconds, rounded up.
    #[must_use]
    pub fn after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The kind, the last part of `type`.
    pub fn kind(&self) -> &'static str {
        self.0.kind
    }

    /// A further field.
    pub(crate) fn field(&self, name: &str) -> Option<&Value> {
        self.0.fields.get(name)
    }

    /// What is wrong here.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// When to come back.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The same as the value of `Retry-After`.
    pub(crate) fn retry_after_value(&self) -> Option<HeaderValue> {
        let after = self.0.retry_after?;
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        Some(seconds.max(1).into())
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        let mut json = self.0.fields.clone();
        json.insert("type".into(), format!("{TYPE_PREFIX}{}", self.0.kind).into());
        json.insert("title".into(), self.0.title.into());
        json.insert("status".into(), self.0.status.as_u16().into());
        json.insert("detail".into(), self.0.detail.clone().into());
        if let Some(instance) = &self.0.instance {
            json.insert("instance".into(), instance.clone().into());
        }
        Value::Object(json)
    }

    /// As a response.
    pub fn response<B: From<Bytes>>(&self) -> Response<B> {
        let mut response = Response::new(B::from(Bytes::from(self.to_json().to_string())));
        *response.status_mut() = self.0.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_value() {
            headers.insert(header::RETRY_AFTER, seconds);
        }
        if self.0.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_it_all_in_json_and_headers() {
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate", "Too fast", "slow down")
            .at("/v1/x")
            .with("limit", 5)
            .after(Duration::from_millis(1200));
        let response: Response<Bytes> = problem.response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let json: Value = serde_json::from_slice(response.body()).expect("json");
        let expected = serde_json::json!({
            "type": "urn:seawall:problem:rate", "title": "Too fast", "status": 429, "detail": "slow down",
            "instance": "/v1/x", "limit": 5,
        });
        assert_eq!(json, expected);
    }
}
