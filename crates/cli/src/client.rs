//! Talking to a running Seawall over HTTP.

use crate::exit::{Failure, Kind};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::path::Path;
use url::Url;

/// A running Seawall, by the address of one of its listeners.
pub(crate) struct Client {
    base: Url,
    token: Option<HeaderValue>,
    /// Sent with every request.
    own: Option<(&'static str, &'static str)>,
    pool: Pool<HttpConnector, Full<Bytes>>,
}

impl Client {
    /// A client of the listener at `base`, with the bearer token in `token` where one is demanded.
    ///
    /// # Errors
    /// When the address is not an `http` URL or the token cannot travel in a header.
    pub(crate) fn new(base: Url, token: Option<&str>) -> Result<Self, Failure> {
        if base.scheme() != "http" {
            return Err(Failure::input(format_args!("address {base}: expected http://HOST:PORT")));
        }
        let token = match token {
            None => None,
            Some(token) => {
                let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim()))
                    .map_err(|_| Failure::input("the token holds bytes that cannot travel in a header"))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Self { base, token, own: None, pool: Pool::builder(TokioExecutor::new()).build_http() })
    }

    /// The same, with a header in every request.
    pub(crate) fn with_header(self, name: &'static str, value: &'static str) -> Self {
        Self { own: Some((name, value)), ..self }
    }

    /// Sends one request; an answer other than 2xx is a failure told with its problem document.
    ///
    /// # Errors
    /// The connection's, or what the other side said.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Bytes)>,
    ) -> Result<Response<Incoming>, Failure> {
        let response = self.answer(method, path, body).await?;
        if response.status().is_success() { Ok(response) } else { Err(refused(response).await) }
    }

    /// Whether something is at `path`: an answer of 404 with a problem of `kind` says that nothing is.
    ///
    /// # Errors
    /// As [`Client::send`], for every other answer.
    pub(crate) async fn has(&self, path: &str, kind: &str) -> Result<bool, Failure> {
        let response = self.answer(Method::GET, path, None).await?;
        let status = response.status();
        let problem: Value = serde_json::from_slice(&collect(response).await?).unwrap_or_default();
        let is_kind = problem["type"].as_str().and_then(|text| text.rsplit(':').next()) == Some(kind);
        match status {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND if is_kind => Ok(false),
            status => Err(told(status, &problem)),
        }
    }

    async fn answer(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Bytes)>,
    ) -> Result<Response<Incoming>, Failure> {
        let url = self.base.join(path).map_err(|e| Failure::input(format_args!("{path}: {e}")))?;
        let mut request = Request::builder().method(method).uri(url.as_str());
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token);
        }
        if let Some((name, value)) = self.own {
            request = request.header(name, value);
        }
        let (kind, bytes) = body.unwrap_or(("application/json", Bytes::new()));
        let request = request
            .header(header::CONTENT_TYPE, kind)
            .body(Full::new(bytes))
            .map_err(|e| Failure::new(Kind::Bug, e))?;
        self.pool.request(request).await.map_err(|e| {
            let told = if e.is_connect() {
                "no Seawall answers at"
            } else {
                "the request may or may not have been done: there was no answer from"
            };
            Failure::environment(format_args!("{told} {}: {}", self.base, chain(&e)))
        })
    }

    /// Sends one request and reads a JSON answer.
    ///
    /// # Errors
    /// As [`Client::send`], and when the answer is not JSON.
    pub(crate) async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let body = body.map(|value| ("application/json", Bytes::from(value.to_string())));
        let response = self.send(method, path, body).await?;
        let bytes = collect(response).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes)
            .map_err(|e| Failure::environment(format_args!("{path} did not answer in JSON: {e}")))
    }
}

/// The bearer token in `file`, where one is named.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn token(file: Option<&Path>) -> Result<Option<String>, Failure> {
    file.map(|file| {
        std::fs::read_to_string(file)
            .map_err(|e| Failure::input(format_args!("--token-file {}: {e}", file.display())))
    })
    .transpose()
}

async fn collect(response: Response<Incoming>) -> Result<Bytes, Failure> {
    let body = response.into_body().collect().await;
    body.map(http_body_util::Collected::to_bytes)
        .map_err(|e| Failure::environment(format_args!("the answer broke off: {e}")))
}

async fn refused(response: Response<Incoming>) -> Failure {
    let status = response.status();
    let body = collect(response).await.unwrap_or_default();
    told(status, &serde_json::from_slice(&body).unwrap_or_default())
}

/// The failure that a status and its problem document tell.
pub(crate) fn told(status: StatusCode, problem: &Value) -> Failure {
    let kind = match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Kind::Overload,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Kind::Environment,
        status if status.is_client_error() => Kind::Input,
        _ => Kind::Environment,
    };
    let title = problem["title"].as_str().unwrap_or("refused");
    let detail = problem["detail"].as_str().unwrap_or_default();
    Failure::new(kind, format_args!("{status}: {title}{}{detail}", if detail.is_empty() { "" } else { ": " }))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
