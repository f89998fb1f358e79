//! The sample fulfilment service: an HTTP service on loopback that keeps its own record of what it did, by
//! token, and is slow, failing, panicking and overloaded at the rates it was given.

use super::Misbehaviour;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::{HashSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;

/// Tokens remembered for de-duplication; the oldest are forgotten first.
const TOKENS_REMEMBERED: usize = 100_000;
/// How long one order's work takes when nothing goes wrong.
const WORK: Duration = Duration::from_millis(4);

/// Tokens the service has seen through to the end, bounded.
#[derive(Debug, Default)]
struct Fulfilled {
    tokens: HashSet<Bytes>,
    order: VecDeque<Bytes>,
}

impl Fulfilled {
    /// Notes `token`; false where it was noted before.
    fn note(&mut self, token: Bytes) -> bool {
        if !self.tokens.insert(token.clone()) {
            return false;
        }
        self.order.push_back(token);
        if self.order.len() > TOKENS_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.tokens.remove(&oldest);
        }
        true
    }
}

/// The service's worker died: hyper closes the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the sample service's worker panicked, as it was asked to")]
struct WorkerPanicked;

#[derive(Clone)]
struct Fulfilment {
    misbehaviour: Misbehaviour,
    fulfilled: Arc<Mutex<Fulfilled>>,
}

impl Fulfilment {
    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, WorkerPanicked> {
        let token = request.headers().get("x-idempotent-token").map(|t| Bytes::copy_from_slice(t.as_bytes()));
        if request.into_body().collect().await.is_err() {
            return Ok(says(StatusCode::BAD_REQUEST, "the body broke off"));
        }
        let mut die = fastrand::f64();
        let mut falls_on = |share: f64| {
            let hit = (0.0..share).contains(&die);
            die -= share;
            hit
        };
        let m = self.misbehaviour;
        if falls_on(m.panic) {
            return Err(WorkerPanicked);
        }
        if falls_on(m.fail) {
            return Ok(says(StatusCode::INTERNAL_SERVER_ERROR, "the warehouse did not answer"));
        }
        if falls_on(m.reject) {
            return Ok(says(StatusCode::UNPROCESSABLE_ENTITY, "this order names no article"));
        }
        if falls_on(m.overload) {
            let mut response = says(StatusCode::SERVICE_UNAVAILABLE, "too many orders at once");
            response.headers_mut().insert(http::header::RETRY_AFTER, http::HeaderValue::from_static("1"));
            return Ok(response);
        }
        tokio::time::sleep(WORK).await;
        if falls_on(m.slow) {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(200..400))).await;
        }
        let Some(token) = token else { return Ok(says(StatusCode::BAD_REQUEST, "no X-Idempotent-Token")) };
        let fresh = self.fulfilled.lock().unwrap_or_else(PoisonError::into_inner).note(token);
        Ok(if fresh {
            says(StatusCode::OK, "fulfilled")
        } else {
            says(StatusCode::CONFLICT, "fulfilled before")
        })
    }
}

fn says(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}

/// Starts the service on a free loopback port; it ends with the runtime.
///
/// # Errors
/// When no port can be bound.
pub(crate) async fn start(misbehaviour: Misbehaviour) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let addr = listener.local_addr()?;
    let fulfilment = Fulfilment { misbehaviour, fulfilled: Arc::default() };
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let fulfilment = fulfilment.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| fulfilment.clone().answer(request));
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service);
                // A broken connection is this sample's purpose, not an event.
                let _ = connection.await;
            });
        }
    });
    Ok(addr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_a_token_once_and_forgets_the_oldest() {
        let mut fulfilled = Fulfilled::default();
        for n in 0..=TOKENS_REMEMBERED {
            assert!(fulfilled.note(Bytes::from(n.to_string())));
        }
        assert!(!fulfilled.note(Bytes::from(TOKENS_REMEMBERED.to_string())));
        assert!(fulfilled.note(Bytes::from("0")), "the oldest was forgotten to keep the bound");
    }
}
