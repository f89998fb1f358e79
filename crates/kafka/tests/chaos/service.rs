//! The service behind all members: takes a record, writes down whose delivery it was, and answers a moment later.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// One line of a member: `number incarnation generation partition offset key token`.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// A process and an assignment of its source: under one of these no record comes twice.
    pub(crate) owner: (u64, u64),
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    pub(crate) key: String,
    pub(crate) token: String,
    pub(crate) at: Instant,
}

pub(crate) struct Service {
    address: SocketAddr,
    deliveries: Arc<Mutex<Vec<Delivery>>>,
}

impl Service {
    pub(crate) async fn start(seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let deliveries = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&deliveries);
        tokio::spawn(async move {
            let mut number = seed;
            while let Ok((stream, _)) = listener.accept().await {
                number = number.wrapping_add(1);
                tokio::spawn(serve(stream, Arc::clone(&taken), fastrand::Rng::with_seed(number)));
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

/// A member's connection ends with its process.
async fn serve(stream: TcpStream, taken: Arc<Mutex<Vec<Delivery>>>, mut rng: fastrand::Rng) {
    let (read, write) = stream.into_split();
    let write = Arc::new(tokio::sync::Mutex::new(write));
    let mut lines = BufReader::new(read).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let parts: Vec<&str> = line.split(' ').collect();
        let [number, incarnation, generation, partition, offset, key, token] = parts[..] else {
            panic!("not a delivery: {line}");
        };
        let delivery = Delivery {
            owner: (incarnation.parse().unwrap(), generation.parse().unwrap()),
            partition: partition.parse().unwrap(),
            offset: offset.parse().unwrap(),
            key: key.to_owned(),
            token: token.to_owned(),
            at: Instant::now(),
        };
        taken.lock().unwrap().push(delivery);
        let answer = format!("{number}\n");
        let (write, pause) = (Arc::clone(&write), Duration::from_millis(rng.u64(0..8)));
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let _ = write.lock().await.write_all(answer.as_bytes()).await;
        });
    }
}
