//! A listener that slow and many clients cannot wear down.
//!
//! Every connection holds one of a bounded number of places, has a bounded time to send a request head (which
//! also ends idle connections), a bounded head, and a bounded time in which nothing of an answer can be written. The
//! time for a body is kept by whoever reads it. A client that vanished while its answer had nothing to say is found
//! by TCP's own probes: no write would.

mod unstalled;

use http::{Request, Response};
use hyper::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use unstalled::Unstalled;

/// The largest request head, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The most headers of a request.
const HEADERS_MAX: usize = 200;
/// A client that says nothing is probed after this, and then as often; after the system's number of probes without an
/// answer (nine on Linux) its connection is over.
const PROBE_AFTER: Duration = Duration::from_secs(30);
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// How long to rest when the system has no more descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// Bounds of a listener.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections open at the same time; one more is closed at once.
    pub connections: usize,
    /// A client has this long to send a request head.
    pub header_timeout: Duration,
    /// A client that takes nothing of its answer for this long has gone.
    pub write_timeout: Duration,
    /// At shutdown, requests have this long to finish.
    pub drain: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 1024,
            header_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_mins(2),
            drain: Duration::from_secs(5),
        }
    }
}

/// Answers requests.
pub trait Answer: Send + Sync + 'static {
    /// The body of an answer.
    type Body: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;
    /// Answers one request.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// A listener at work.
#[derive(Debug)]
pub struct Listening {
    addr: SocketAddr,
    stop: CancellationToken,
    connections: TaskTracker,
    drain: Duration,
}

impl Listening {
    /// Binds `addr`; nothing is accepted before [`Listening::serve`].
    ///
    /// # Errors
    /// What the system said, such as an address in use.
    pub async fn bind(addr: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind(addr).await?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    }

    /// Serves `listener` on the current runtime until stopped.
    ///
    /// # Errors
    /// When the listener has no address any more.
    pub fn serve<A: Answer>(listener: TcpListener, answer: Arc<A>, bounds: Bounds) -> io::Result<Self> {
        let addr = listener.local_addr()?;
        let (stop, connections) = (CancellationToken::new(), TaskTracker::new());
        let serving =
            Self { addr, stop: stop.clone(), connections: connections.clone(), drain: bounds.drain };
        connections.clone().spawn(accept(listener, answer, bounds, stop, connections));
        Ok(serving)
    }

    /// The address in use.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Accepts no more, lets requests finish within the bound, then cuts them off.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.connections.close();
        if tokio::time::timeout(self.drain, self.connections.wait()).await.is_err() {
            tracing::warn!(addr = %self.addr, left = self.connections.len(), "requests cut off at shutdown");
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept<A: Answer>(
    listener: TcpListener,
    answer: Arc<A>,
    bounds: Bounds,
    stop: CancellationToken,
    tracker: TaskTracker,
) {
    let places = Arc::new(Semaphore::new(bounds.connections));
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_REST).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            tracing::debug!("connection closed: all places are taken");
            continue;
        };
        let connection = serve_connection(stream, answer.clone(), bounds, stop.clone());
        tracker.spawn(async move {
            connection.await;
            drop(place);
        });
    }
}

async fn serve_connection<A: Answer>(
    stream: TcpStream,
    answer: Arc<A>,
    bounds: Bounds,
    stop: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    let _ = probe(&stream);
    let service = service_fn(move |request| {
        let answer = answer.clone();
        async move { Ok::<_, Infallible>(answer.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(Unstalled::new(stream, bounds.write_timeout)), service);
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        biased;
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(bounds.drain, connection).await {
                Ok(served) => served,
                Err(_) => Ok(()),
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}

fn probe(stream: &TcpStream) -> io::Result<()> {
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY);
    SockRef::from(stream).set_tcp_keepalive(&probes)
}

#[cfg(test)]
pub(crate) mod client;
#[cfg(test)]
mod tests;
