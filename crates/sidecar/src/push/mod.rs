//! HTTP push: a handler that POSTs each delivery to a service.
//!
//! The contract is in two parts: what the request says ([`request`](self)) and what the answer means
//! ([`answer::judge`]). Where it may go is decided by [`network`] on the address that is connected to.
//! Connections are pooled; an answer's body is read to a bound and thrown away, so that its connection can be
//! used again.

pub mod answer;
pub mod connect;
pub mod network;
mod request;
pub mod target;

pub use answer::PushError;
pub use connect::{Resolve, SystemResolver};
pub use target::{Target, TargetError, Trust};

use crate::config::BearerToken;
use bytes::Bytes;
use connect::Pinned;
use http::{HeaderValue, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use seawall_core::{Clock, Delivery, Fault, Handler, Outcome};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// The most of an answer's body that is read so that its connection can be used again, in bytes.
const DRAIN_BYTES_MAX: usize = 64 * 1024;
/// The longest that an answer body is waited for.
const DRAIN_MAX: Duration = Duration::from_secs(1);
/// The part of an attempt's time for which a free connection is waited for: what is sent then has nearly all of it.
const WAIT_PART: u32 = 10;
/// How long an idle connection is kept.
const IDLE_MAX: Duration = Duration::from_mins(1);

/// How a service is called.
#[derive(Clone, Debug)]
pub struct PushOptions {
    /// The deadline of one attempt, where the delivery brings no earlier one.
    pub timeout: Duration,
    /// Connections at the same time.
    pub max_connections: usize,
    /// Sent as `Authorization: Bearer …`.
    pub token: Option<BearerToken>,
}

/// POSTs deliveries to a service.
pub struct Push {
    route: RwLock<Arc<Route>>,
    options: PushOptions,
    authorization: Option<HeaderValue>,
    resolver: Arc<dyn Resolve>,
    clock: Arc<dyn Clock>,
}

/// One target, with the connections to it.
struct Route {
    target: Arc<Target>,
    uri: Uri,
    client: Client<HttpsConnector<Pinned>, Full<Bytes>>,
    connections: Semaphore,
}

/// Why a push handler cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The URL is valid for the web but not for HTTP.
    #[error("the target URL cannot be called")]
    Uri(#[source] http::uri::InvalidUri),
    /// The TLS library has no usable settings.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

impl seawall_core::Classify for SetupError {
    fn class(&self) -> seawall_core::Class {
        seawall_core::Class::Permanent
    }
}

impl Push {
    /// A handler that calls `target`, resolved by the machine's resolver.
    ///
    /// # Errors
    /// [`SetupError`] when the URL or the TLS settings cannot be used.
    pub fn new(target: Target, options: PushOptions, clock: Arc<dyn Clock>) -> Result<Self, SetupError> {
        Self::with_resolver(target, options, clock, Arc::new(SystemResolver))
    }

    /// The same, with names resolved by `resolver`.
    ///
    /// # Errors
    /// As [`Push::new`].
    pub fn with_resolver(
        target: Target,
        options: PushOptions,
        clock: Arc<dyn Clock>,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, SetupError> {
        let route = RwLock::new(Arc::new(Route::new(target, &options, resolver.clone())?));
        let authorization = options.token.as_ref().and_then(BearerToken::header);
        Ok(Self { route, options, authorization, resolver, clock })
    }

    /// The target in force.
    pub fn target(&self) -> Arc<Target> {
        self.route().target.clone()
    }

    /// Calls `target` from the next delivery on; what is in flight finishes where it is.
    ///
    /// # Errors
    /// As [`Push::new`]; the old target stays in force.
    pub fn retarget(&self, target: Target) -> Result<(), SetupError> {
        let route = Arc::new(Route::new(target, &self.options, self.resolver.clone())?);
        *self.route.write().unwrap_or_else(PoisonError::into_inner) = route;
        Ok(())
    }

    /// Whether any address behind `target` may be called, by this handler's resolver.
    ///
    /// # Errors
    /// [`TargetError::Denied`] or [`TargetError::Unresolved`].
    pub async fn vet(&self, target: &Target) -> Result<(), TargetError> {
        match connect::permitted(target, &*self.resolver).await {
            Ok(_) => Ok(()),
            Err(connect::ConnectError::Denied { address, range, .. }) => {
                Err(TargetError::Denied { address, range })
            }
            Err(_) => Err(TargetError::Unresolved(target.host())),
        }
    }

    fn route(&self) -> Arc<Route> {
        self.route.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Connections at the same time.
    pub fn max_connections(&self) -> usize {
        self.options.max_connections
    }

    fn remaining(&self, delivery: &Delivery) -> Duration {
        let left = delivery.context.remaining(self.clock.now()).unwrap_or(Duration::MAX);
        left.min(self.options.timeout)
    }

    async fn attempt(&self, delivery: &Delivery) -> Result<Outcome, PushError> {
        let route = self.route();
        let patience = self.remaining(delivery) / WAIT_PART;
        // The semaphore is never closed; if it were, the worst would be one connection too many.
        let _connection = tokio::time::timeout(patience, route.connections.acquire())
            .await
            .map_err(|_| PushError::Busy { waited: patience, connections: self.options.max_connections })?;
        let remaining = self.remaining(delivery);
        tokio::time::timeout(remaining, self.exchange(&route, delivery, remaining))
            .await
            .map_err(|_| PushError::Timeout(remaining))?
    }

    async fn exchange(
        &self,
        route: &Route,
        delivery: &Delivery,
        remaining: Duration,
    ) -> Result<Outcome, PushError> {
        let until = Instant::now() + remaining;
        let request = request::build(&route.uri, delivery, remaining, self.authorization.as_ref())
            .map_err(PushError::Request)?;
        let response = route.client.request(request).await.map_err(PushError::Unreachable)?;
        let (head, body) = Response::into_parts(response);
        let start = drain(body, until.saturating_duration_since(Instant::now())).await;
        Ok(answer::judge(head.status, &head.headers, || answer::excerpt(&start), self.clock.wall()))
    }
}

impl Handler for Push {
    async fn handle(&self, delivery: &Delivery) -> Outcome {
        self.attempt(delivery).await.unwrap_or_else(|error| Outcome::from_fault(Fault::from(error)))
    }
}

impl std::fmt::Debug for Push {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Push({})", self.target())
    }
}

impl Route {
    fn new(target: Target, options: &PushOptions, resolver: Arc<dyn Resolve>) -> Result<Self, SetupError> {
        let uri: Uri = target.url().as_str().parse().map_err(SetupError::Uri)?;
        let target = Arc::new(target);
        let provider = rustls::crypto::ring::default_provider();
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(provider)
            .map_err(SetupError::Tls)?
            .https_or_http()
            .enable_http1()
            .wrap_connector(Pinned { target: target.clone(), resolver });
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(options.max_connections)
            .build(connector);
        Ok(Self { target, uri, client, connections: Semaphore::new(options.max_connections) })
    }
}

/// Reads `body` to its end or its bound, and gives its first frame. The verdict is in the status: a body that
/// breaks or never ends changes nothing but the connection, which is then not used again.
async fn drain(mut body: Incoming, left: Duration) -> Bytes {
    let mut start = Bytes::new();
    let read = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            bytes += data.len();
            if start.is_empty() {
                start = data;
            }
            if bytes > DRAIN_BYTES_MAX {
                return;
            }
        }
    };
    // Half of what is left of the attempt's time, so that a verdict that is already here is not turned into a
    // timeout.
    let _ = tokio::time::timeout((left / 2).min(DRAIN_MAX), read).await;
    start
}

#[cfg(test)]
mod tests;
