//! The service behind all members: takes a record by HTTP, writes down whose delivery it was and when it was
//! answered, a moment later.

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// A process and an assignment of its source: under one of these no record comes twice.
    pub(crate) owner: (u64, u64),
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    pub(crate) key: String,
    pub(crate) token: String,
    pub(crate) at: SystemTime,
    /// When its answer was ready to go; none where the connection ended before.
    pub(crate) answered: Option<SystemTime>,
}

type Deliveries = Arc<Mutex<Vec<Delivery>>>;

pub(crate) struct Service {
    address: SocketAddr,
    deliveries: Deliveries,
}

impl Service {
    pub(crate) async fn start(seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let deliveries = Deliveries::default();
        let taken = Arc::clone(&deliveries);
        tokio::spawn(async move {
            let mut number = seed;
            while let Ok((stream, _)) = listener.accept().await {
                number = number.wrapping_add(1);
                let rng = Arc::new(Mutex::new(fastrand::Rng::with_seed(number)));
                let taken = Arc::clone(&taken);
                let answer = service_fn(move |request| answer(request, Arc::clone(&taken), Arc::clone(&rng)));
                let serving = hyper::server::conn::http1::Builder::new();
                // A member's connection ends with its process.
                tokio::spawn(serving.serve_connection(TokioIo::new(stream), answer));
            }
        });
        Self { address, deliveries }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        self.deliveries.lock().unwrap().clone()
    }
}

async fn answer(
    request: Request<Incoming>,
    taken: Deliveries,
    rng: Arc<Mutex<fastrand::Rng>>,
) -> Result<Response<Empty<Bytes>>, hyper::Error> {
    let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
    let number = |name: &str| header(name).parse::<u64>().unwrap();
    let incarnation = request.uri().path().trim_start_matches('/').parse().unwrap();
    let delivery = Delivery {
        owner: (incarnation, number("seawall-generation")),
        partition: number("seawall-partition") as u32,
        offset: number("seawall-offset"),
        key: header("ce-partitionkey"),
        token: header("x-idempotent-token"),
        at: SystemTime::now(),
        answered: None,
    };
    request.into_body().collect().await?;
    let place = {
        let mut taken = taken.lock().unwrap();
        taken.push(delivery);
        taken.len() - 1
    };
    let pause = rng.lock().unwrap().u64(0..8);
    tokio::time::sleep(Duration::from_millis(pause)).await;
    taken.lock().unwrap()[place].answered = Some(SystemTime::now());
    Ok(Response::new(Empty::new()))
}
