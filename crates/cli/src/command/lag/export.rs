//! `/metrics` for Prometheus: samples are taken on a thread of their own, and a scrape never asks a broker.

use crate::exit::{Failure, Outcome};
use crate::output;
use crate::shutdown::{Asked, Signals};
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use seawall_core::{Clock, Fault, Nanos, SystemClock};
use seawall_kafka::lag::{self, LagMonitor, LagSnapshot, Scrape};
use seawall_sidecar::access::Access;
use seawall_sidecar::config::BearerToken;
use seawall_sidecar::listen::{Answer, Bounds, Listening};
use seawall_sidecar::problem::Problem;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A sample that is older than so many intervals is not shown any more.
const INTERVALS_FRESH: u32 = 3;
/// Prometheus and its pair need two connections; the rest is for a person who looks.
const CONNECTIONS_MAX: usize = 64;

/// Where to serve, and who may ask.
#[derive(Debug, clap::Args)]
pub(crate) struct Door {
    /// Print nothing and serve /metrics for Prometheus at this IP:PORT; port 0 picks a free one.
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["watch", "samples"])]
    pub(super) listen: Option<SocketAddr>,
    /// A further name that Prometheus may call this exporter by; its address always works.
    #[arg(long, value_name = "NAME", requires = "listen")]
    host: Vec<String>,
    /// A file with the token that Prometheus presents (`authorization: credentials_file`); demanded for any
    /// address other than loopback.
    #[arg(long, value_name = "FILE", requires = "listen")]
    token_file: Option<PathBuf>,
}

impl Door {
    fn access(&self, bound: SocketAddr) -> Result<Access, Failure> {
        if self.token_file.is_none() && !bound.ip().is_loopback() {
            return Err(Failure::input(format_args!(
                "--listen {bound} is open to the network: add --token-file FILE, or listen on 127.0.0.1"
            )));
        }
        let load = |path: &PathBuf| {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::input(format_args!("--token-file {}: {error}", path.display())))?;
            BearerToken::new("--token-file", text.lines().next().unwrap_or_default()).map_err(Failure::input)
        };
        let token = self.token_file.as_ref().map(load).transpose()?;
        Ok(Access { bound, hosts: self.host.clone(), token })
    }
}

/// The newest sample, and how the sampling goes.
struct Newest {
    snapshot: Arc<LagSnapshot>,
    taken: Nanos,
    /// How long it may be shown.
    fresh_for: Duration,
    failures: u64,
}

/// Answers scrapes.
struct Exporter {
    access: Access,
    newest: Mutex<Newest>,
    clock: SystemClock,
}

impl Exporter {
    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn scrape(&self) -> Scrape {
        let newest = self.newest();
        let fresh = self.clock.now().since(newest.taken) <= newest.fresh_for;
        Scrape { snapshot: Arc::clone(&newest.snapshot), fresh, failures: newest.failures }
    }

    fn metrics(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Problem> {
        let (parts, _) = request.into_parts();
        self.access.check(&parts)?;
        if parts.uri.path() != "/metrics" {
            return Err(Problem::not_found("no-such-path", "only /metrics is served here"));
        }
        if parts.method != Method::GET {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            return Err(Problem::new(status, "method", "Method not allowed", "/metrics is read with GET"));
        }
        let text = lag::render(self.scrape()).map_err(|error| {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Problem::new(status, "render", "The metrics cannot be written", error.to_string())
        })?;
        let mut response = Response::new(Full::new(Bytes::from(text)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(lag::CONTENT_TYPE));
        Ok(response)
    }
}

impl Answer for Exporter {
    type Body = Full<Bytes>;

    async fn answer(&self, request: Request<Incoming>) -> Response<Self::Body> {
        self.metrics(request).unwrap_or_else(|problem| {
            let mut response = problem.response();
            if problem.status() == StatusCode::METHOD_NOT_ALLOWED {
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            }
            response
        })
    }
}

/// Serves the newest sample until SIGINT or SIGTERM; a sample that fails is told on stderr and counted.
pub(super) async fn serve(
    at: SocketAddr,
    door: &Door,
    mut monitor: LagMonitor,
    interval: Duration,
    first: LagSnapshot,
) -> Outcome {
    let busy = |error| Failure::environment(format_args!("--listen {at}: {error}"));
    let (listener, bound) = Listening::bind(at).await.map_err(busy)?;
    let clock = SystemClock::new();
    let fresh_for = interval * INTERVALS_FRESH;
    let newest = Newest { snapshot: Arc::new(first), taken: clock.now(), fresh_for, failures: 0 };
    let exporter = Arc::new(Exporter { access: door.access(bound)?, newest: Mutex::new(newest), clock });
    let bounds = Bounds { connections: CONNECTIONS_MAX, ..Bounds::default() };
    let mut signals = Signals::listen()?;
    let listening = Listening::serve(listener, Arc::clone(&exporter), bounds).map_err(busy)?;
    output::note(format_args!("metrics: http://{bound}/metrics"));
    // It ends with the process: a question under way is nobody's to wait for.
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(interval);
            sample(&exporter, &mut monitor, interval);
        }
    });
    while signals.next().await == Asked::Reload {}
    listening.stop().await;
    Ok(())
}

fn sample(exporter: &Exporter, monitor: &mut LagMonitor, interval: Duration) {
    let began = exporter.clock.now();
    match monitor.sample(&exporter.clock) {
        Ok(snapshot) => {
            let taken = exporter.clock.now();
            // Large clusters take long: the next sample may take as long again.
            let fresh_for = (interval + taken.since(began)) * INTERVALS_FRESH;
            let mut newest = exporter.newest();
            let failures = newest.failures;
            *newest = Newest { snapshot: Arc::new(snapshot), taken, fresh_for, failures };
        }
        Err(error) => {
            exporter.newest().failures += 1;
            output::note(format_args!("no new sample: {}", Fault::from(error)));
        }
    }
}
