//! HTTP ingest: records in, receipts out.
//!
//! `POST /v1/topics/{topic}/records` takes CloudEvents (binary, structured, batch), lines, or a plain body;
//! `GET` on the same path reads records back as lines; `GET /v1/topics` lists topics. A receipt is given when
//! the record is as safe as the receipt says, and never before. Whatever is refused is refused as a whole
//! record, with a problem that says which bound was met and when to come back. `docs/http.md` tells it to those who call.

mod append;
mod body;
mod durability;
pub mod event;
mod memory;
mod query;
mod read;
mod topics;

use crate::access::Access;
use crate::destination::Destination;
use crate::listen::Answer;
use crate::problem::Problem;
pub(crate) use append::problem_of;
use bytes::Bytes;
pub use durability::DURABILITY_HEADER;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
pub use memory::Memory;
use query::Query;
use seawall_core::Clock;
use seawall_guard::Guard;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What ingest is made of.
#[derive(Clone)]
pub struct Ingest {
    /// Where records go.
    pub sink: Destination,
    /// The time that records are stamped with.
    pub clock: Arc<dyn Clock>,
    /// Who may call.
    pub access: Access,
    /// One permit a request.
    pub requests: Guard,
    /// One token a record.
    pub records: Guard,
    /// The largest body, in bytes, as sent and unpacked.
    pub max_body: usize,
    /// Room for the bodies of all requests.
    pub memory: Arc<Memory>,
    /// A client has this long to send its body.
    pub body_timeout: Duration,
    /// Counts, for the metrics.
    pub counts: Arc<Counts>,
    /// Ends streams at shutdown.
    pub stop: CancellationToken,
}

/// What ingest did since the start.
#[derive(Debug, Default)]
pub struct Counts {
    accepted: AtomicU64,
    refused: [AtomicU64; 5],
}

/// Why a record was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Over the rate.
    Rate,
    /// Too many requests at a time.
    Concurrency,
    /// No room in memory for another body.
    Memory,
    /// No room in the queue or on the disk.
    Full,
    /// A mistake of the caller.
    Invalid,
}

impl Refused {
    /// Every reason, in the order of the counters.
    pub const ALL: [Self; 5] = [Self::Rate, Self::Concurrency, Self::Memory, Self::Full, Self::Invalid];

    /// The name used in metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Concurrency => "concurrency",
            Self::Memory => "memory",
            Self::Full => "full",
            Self::Invalid => "invalid",
        }
    }
}

impl Counts {
    /// Records that got a receipt.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Records (or whole requests) refused for `why`.
    pub fn refused(&self, why: Refused) -> u64 {
        self.refused[why as usize].load(Ordering::Relaxed)
    }

    fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    fn refuse(&self, problem: &Problem) {
        let why = match (problem.kind(), problem.status().as_u16()) {
            ("rate", _) => Refused::Rate,
            ("concurrency", _) => Refused::Concurrency,
            ("memory", _) => Refused::Memory,
            (_, 500..) => Refused::Full,
            _ => Refused::Invalid,
        };
        self.refused[why as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// An answer's body: whole, or a stream of lines.
pub type Body = Either<Full<Bytes>, UnsyncBoxBody<Bytes, Infallible>>;

impl Answer for Ingest {
    type Body = Body;

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        match self.route(&path, request).await {
            Ok(response) => response,
            Err(problem) => {
                self.counts.refuse(&problem);
                problem.at(&path).response::<Full<Bytes>>().map(Either::Left)
            }
        }
    }
}

/// A path that is served.
enum Route {
    Topics,
    Records(String),
}

fn route(path: &str) -> Result<Route, Problem> {
    let mut parts = path.strip_prefix('/').unwrap_or(path).split('/');
    match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("v1"), Some("topics"), None, ..) => Ok(Route::Topics),
        (Some("v1"), Some("topics"), Some(topic), Some("records"), None) => {
            let name = percent_encoding::percent_decode_str(topic).decode_utf8().map_err(|_| {
                Problem::bad_request("topic", format!("the topic {topic:?} is not UTF-8 once decoded"))
            })?;
            seawall_log::topic::check_name("topic", &name)
                .map_err(|e| Problem::bad_request("topic", e.to_string()))?;
            Ok(Route::Records(name.into_owned()))
        }
        _ => Err(Problem::not_found(
            "path",
            "nothing is here; POST and GET /v1/topics/{topic}/records, and GET /v1/topics are served",
        )),
    }
}

impl Ingest {
    async fn route(&self, path: &str, request: Request<Incoming>) -> Result<Response<Body>, Problem> {
        let (parts, body) = request.into_parts();
        self.access.check(&parts)?;
        let query = Query::parse(parts.uri.query().unwrap_or_default())?;
        match (route(path)?, &parts.method) {
            (Route::Records(topic), &Method::POST) => {
                query.only(&["key"])?;
                self.append(&topic, &parts.headers, &query, body).await
            }
            (Route::Records(topic), &Method::GET) => {
                query.only(&["partition", "from", "limit", "follow"])?;
                self.read(&topic, &query)
            }
            (Route::Topics, &Method::GET) => self.topics().await,
            (Route::Records(_), method) => Err(method_not_allowed(method, "GET, POST")),
            (Route::Topics, method) => Err(method_not_allowed(method, "GET")),
        }
    }
}

fn method_not_allowed(method: &Method, allow: &'static str) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method",
        "The method is not served here",
        format!("{method} is not served here; {allow} is"),
    )
}

fn json(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(text))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn stream(body: impl hyper::body::Body<Data = Bytes, Error = Infallible> + Send + 'static) -> Response<Body> {
    let mut response = Response::new(Either::Right(body.boxed_unsync()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(crate::line::CONTENT_TYPE));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
