//! The load on a proxy: kept connections, one request at a time on each.

use super::{BODY_BYTES, IN_FLIGHT};
use crate::compare::{BenchError, timed};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// A load on one address.
pub(super) struct Load {
    runtime: Runtime,
    address: String,
    records: u64,
    body: Bytes,
}

impl Load {
    pub(super) fn new(address: &str, records: u64) -> Result<Self, BenchError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(BenchError::io("a tokio runtime"))?;
        let body = Bytes::from(vec![b'x'; BODY_BYTES]);
        Ok(Self { runtime, address: address.to_owned(), records, body })
    }

    /// Sends everything once; answers records per second. Only answers of 200 count.
    pub(super) fn run(&self) -> Result<f64, BenchError> {
        let next = Arc::new(AtomicU64::new(0));
        let (answered, took) = timed(|| {
            self.runtime.block_on(async {
                let connections: Vec<_> = (0..IN_FLIGHT)
                    .map(|_| {
                        let (address, body) = (self.address.clone(), self.body.clone());
                        tokio::spawn(connection(address, body, Arc::clone(&next), self.records))
                    })
                    .collect();
                let mut answered = 0;
                for connection in connections {
                    answered += connection.await.map_err(BenchError::of("load"))??;
                }
                Ok::<u64, BenchError>(answered)
            })
        });
        let done = answered?;
        if done != self.records {
            return Err(BenchError::Incomplete { who: "proxy".to_owned(), done, asked: self.records });
        }
        Ok(self.records as f64 / took.as_secs_f64())
    }
}

/// Takes numbers until there are no more; answers how many came back well.
async fn connection(
    address: String,
    body: Bytes,
    next: Arc<AtomicU64>,
    records: u64,
) -> Result<u64, BenchError> {
    let stream = TcpStream::connect(&address).await.map_err(BenchError::io("connect"))?;
    stream.set_nodelay(true).map_err(BenchError::io("connect"))?;
    let (mut sender, driver) =
        http1::handshake(TokioIo::new(stream)).await.map_err(BenchError::of("load"))?;
    tokio::spawn(driver);
    let mut well = 0;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= records {
            return Ok(well);
        }
        let request = request(&address, number, body.clone()).map_err(BenchError::of("load"))?;
        let response = sender.send_request(request).await.map_err(BenchError::of("load"))?;
        well += u64::from(response.status() == StatusCode::OK);
        response.into_body().collect().await.map_err(BenchError::of("load"))?;
    }
}

/// As our push writes it.
fn request(host: &str, number: u64, body: Bytes) -> Result<Request<Full<Bytes>>, http::Error> {
    let token = format!("shelf/{}/{number}", number % 8);
    Request::post("/")
        .header("host", host)
        .header("ce-id", &token)
        .header("ce-source", "/seawall/shelf")
        .header("ce-specversion", "1.0")
        .header("ce-type", "seawall.record")
        .header("ce-time", "2026-01-01T00:00:00Z")
        .header("ce-partitionkey", format!("key-{:08}", number % 1_000))
        .header("content-type", "application/octet-stream")
        .header("x-idempotent-token", &token)
        .header("seawall-topic", "shelf")
        .header("seawall-partition", number % 8)
        .header("seawall-offset", number)
        .header("seawall-attempt", 1)
        .header("seawall-fence", 0)
        .header("seawall-generation", 1)
        .header("seawall-deadline-ms", 10_000)
        .body(Full::new(body))
}
