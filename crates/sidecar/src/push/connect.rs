//! Connecting to exactly the address that was judged.
//!
//! The name is resolved here, each answer is judged here, and the socket is opened to that answer: between the
//! judgement and the connection nothing asks the resolver again, so a name that changes its mind (DNS
//! rebinding) wins nothing.

use super::target::Target;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;

/// RFC 8305, section 8: the delay between two attempts.
const NEXT_AFTER: Duration = Duration::from_millis(250);

/// The answer of a resolver.
pub type Resolved = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Turns a host name into addresses.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of `host`.
    fn resolve(&self, host: String) -> Resolved;
}

/// The machine's own resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: String) -> Resolved {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name could not be resolved.
    #[error("cannot resolve {host}")]
    Resolve {
        /// The host.
        host: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Every address the name has is one that must not be called.
    #[error(
        "{host} is {address} ({range}), which is not to be called; list its network in allow_networks if it is \
         really meant"
    )]
    Denied {
        /// The host.
        host: String,
        /// The last address that was refused.
        address: IpAddr,
        /// The special range it lies in.
        range: &'static str,
    },
    /// No address took the connection.
    #[error("cannot connect to {address}")]
    Connect {
        /// The last address tried.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// The addresses of `target` that may be called.
///
/// # Errors
/// [`ConnectError::Resolve`] when there are none, [`ConnectError::Denied`] when none may be called.
pub async fn permitted(target: &Target, resolver: &dyn Resolve) -> Result<Vec<SocketAddr>, ConnectError> {
    let host = target.host();
    let unresolved = |source| ConnectError::Resolve { host: host.clone(), source };
    let addresses = match host.parse::<IpAddr>() {
        Ok(literal) => vec![literal],
        Err(_) => resolver.resolve(host.clone()).await.map_err(unresolved)?,
    };
    let mut denied = None;
    let mut permitted = Vec::with_capacity(addresses.len());
    for address in addresses {
        match target.reach().judge(address) {
            Ok(()) => permitted.push(SocketAddr::new(address, target.port())),
            Err(range) => denied = Some(ConnectError::Denied { host: host.clone(), address, range }),
        }
    }
    match (permitted.is_empty(), denied) {
        (false, _) => Ok(permitted),
        (true, Some(denied)) => Err(denied),
        (true, None) => Err(unresolved(io::Error::new(io::ErrorKind::NotFound, "it has no address"))),
    }
}

/// Opens connections to one target, whatever URI it is asked for.
#[derive(Clone)]
pub(super) struct Pinned {
    pub target: Arc<Target>,
    pub resolver: Arc<dyn Resolve>,
}

impl Pinned {
    async fn connect(self) -> Result<TokioIo<TcpStream>, ConnectError> {
        let addresses = permitted(&self.target, &*self.resolver).await?;
        match first_of(addresses, TcpStream::connect).await {
            Ok(stream) => {
                // Small requests wait for nobody; where it cannot be set, they wait a little.
                let _ = stream.set_nodelay(true);
                Ok(TokioIo::new(stream))
            }
            Err(Some((address, source))) => Err(ConnectError::Connect { address, source }),
            Err(None) => Err(ConnectError::Resolve {
                host: self.target.host(),
                source: io::Error::new(io::ErrorKind::NotFound, "it has no address"),
            }),
        }
    }
}

/// The first of `addresses` that connects, tried in their order: the next one when the one before failed, or beside it when
/// that says nothing for [`NEXT_AFTER`]. Otherwise what failed last.
async fn first_of<T, C>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> C,
) -> Result<T, Option<(SocketAddr, io::Error)>>
where
    C: Future<Output = io::Result<T>>,
{
    let mut left = addresses.into_iter();
    let mut tries = FuturesUnordered::new();
    let mut last = None;
    loop {
        if let Some(address) = left.next() {
            let connecting = connect(address);
            tries.push(async move { (address, connecting.await) });
        }
        tokio::select! {
            tried = tries.next() => match tried {
                Some((_, Ok(connected))) => return Ok(connected),
                Some((address, Err(source))) => last = Some((address, source)),
                None => return Err(last),
            },
            () = tokio::time::sleep(NEXT_AFTER), if left.len() > 0 => {}
        }
    }
}

impl tower_service::Service<http::Uri> for Pinned {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    /// Ports say what becomes of them: 0 nothing at all, 1 a refusal, others a connection.
    async fn connect(address: SocketAddr) -> io::Result<u16> {
        match address.port() {
            0 => std::future::pending().await,
            1 => Err(io::ErrorKind::ConnectionRefused.into()),
            port => Ok(port),
        }
    }

    async fn tried(ports: &[u16]) -> (Result<u16, Option<io::ErrorKind>>, Duration) {
        let begun = Instant::now();
        let addresses = ports.iter().map(|port| SocketAddr::from(([10, 0, 0, 1], *port))).collect();
        let first = first_of(addresses, connect).await;
        (first.map_err(|last| last.map(|(_, source)| source.kind())), begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_says_nothing_does_not_take_the_time_of_the_others() {
        assert_eq!(tried(&[7, 8]).await, (Ok(7), Duration::ZERO));
        assert_eq!(tried(&[1, 8]).await, (Ok(8), Duration::ZERO));
        assert_eq!(tried(&[0, 8]).await, (Ok(8), NEXT_AFTER));
        assert_eq!(tried(&[0, 1, 0, 9]).await, (Ok(9), 2 * NEXT_AFTER));
        assert_eq!(tried(&[1, 1]).await, (Err(Some(io::ErrorKind::ConnectionRefused)), Duration::ZERO));
        assert_eq!(tried(&[]).await, (Err(None), Duration::ZERO));
    }
}
