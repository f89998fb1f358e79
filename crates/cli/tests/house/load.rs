//! A load of orders with Zipf-popular keys, posted by several producers; each owns its keys, waits for each
//! receipt, and sends again with the same tokens what got none.

use super::http::Connection;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// The shape of a load.
#[derive(Clone, Copy)]
pub struct Shape {
    pub records: u64,
    pub keys: usize,
    pub batch: usize,
    pub producers: usize,
    pub seed: u64,
}

/// A load that is being posted.
pub struct Load {
    threads: Vec<JoinHandle<()>>,
    addr: Arc<Mutex<SocketAddr>>,
    receipts: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Load {
    pub fn start(addr: SocketAddr, shape: Shape) -> Self {
        let addr = Arc::new(Mutex::new(addr));
        let receipts = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..shape.producers)
            .map(|n| {
                let producer =
                    Producer { n, shape, addr: addr.clone(), receipts: receipts.clone(), stop: stop.clone() };
                std::thread::spawn(move || producer.post())
            })
            .collect();
        Self { threads, addr, receipts, stop }
    }

    /// Where Seawall listens from now on.
    pub fn redirect(&self, addr: SocketAddr) {
        *self.addr.lock().unwrap() = addr;
    }

    /// Records with a receipt so far.
    pub fn receipts(&self) -> u64 {
        self.receipts.load(Ordering::SeqCst)
    }

    pub fn finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Waits for the producers; gives the number of receipts.
    pub fn join(self) -> u64 {
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.receipts.load(Ordering::SeqCst)
    }

    /// No further batch; what is under way gets its receipt.
    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.join()
    }
}

struct Producer {
    n: usize,
    shape: Shape,
    addr: Arc<Mutex<SocketAddr>>,
    receipts: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Producer {
    fn post(&self) {
        let mut rng = fastrand::Rng::with_seed(self.shape.seed ^ self.n as u64);
        let cumulative = zipf(self.shape.keys);
        let mut next = vec![0_u64; self.shape.keys];
        let mut left = self.shape.records / self.shape.producers as u64;
        let mut connection = None;
        while left > 0 && !self.stop.load(Ordering::SeqCst) {
            let count = left.min(self.shape.batch as u64);
            let events: Vec<_> = (0..count)
                .map(|_| {
                    let rank = draw(&cumulative, &mut rng);
                    let key = format!("p{}-k{rank}", self.n);
                    let seq = next[rank];
                    next[rank] += 1;
                    serde_json::json!({
                        "specversion": "1.0", "id": format!("{key}-{seq}"), "source": "/test", "type": "order",
                        "partitionkey": key, "datacontenttype": "application/json", "data": {"key": key, "seq": seq},
                    })
                })
                .collect();
            let body = serde_json::Value::from(events).to_string();
            while !self.posted(&mut connection, body.as_bytes()) {
                std::thread::sleep(Duration::from_millis(20));
            }
            self.receipts.fetch_add(count, Ordering::SeqCst);
            left -= count;
        }
    }

    fn posted(&self, connection: &mut Option<(SocketAddr, Connection)>, body: &[u8]) -> bool {
        let addr = *self.addr.lock().unwrap();
        if connection.as_ref().is_none_or(|(to, _)| *to != addr) {
            *connection = Connection::open(addr).ok().map(|c| (addr, c));
        }
        let Some((_, open)) = connection else { return false };
        let headers = [("content-type", "application/cloudevents-batch+json")];
        match open.send("POST", "/v1/topics/orders/records", &headers, body) {
            Ok(answer) if answer.status == 200 || answer.status == 201 => true,
            Ok(answer) if answer.status == 429 || answer.status == 503 => false,
            Ok(answer) => panic!("{}: {}", answer.status, answer.text()),
            Err(_) => {
                *connection = None;
                false
            }
        }
    }
}

fn zipf(n: usize) -> Vec<f64> {
    let mut sum = 0.0;
    (1..=n)
        .map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        })
        .collect()
}

fn draw(cumulative: &[f64], rng: &mut fastrand::Rng) -> usize {
    let at = rng.f64() * cumulative.last().copied().unwrap_or(0.0);
    cumulative.partition_point(|&c| c < at).min(cumulative.len() - 1)
}
