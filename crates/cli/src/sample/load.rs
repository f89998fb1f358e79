//! The small load of `seawall up`: orders of Zipf-popular customers, posted over HTTP like anybody's.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Customers that order.
const CUSTOMERS: usize = 1_000;
/// Orders a request carries at most, at high rates.
const BATCH_MAX: u32 = 256;

/// Draws ranks 0..n with probability proportional to 1/(rank+1): Zipf's law with exponent 1.
#[derive(Debug)]
pub(crate) struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    /// A distribution over `n` ranks.
    pub(crate) fn new(n: usize) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=n)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        Self { cumulative }
    }

    /// The next rank.
    pub(crate) fn draw(&self, rng: &mut fastrand::Rng) -> usize {
        let total = self.cumulative.last().copied().unwrap_or(0.0);
        let at = rng.f64() * total;
        self.cumulative.partition_point(|&c| c < at).min(self.cumulative.len().saturating_sub(1))
    }
}

/// Posts about `per_second` orders a second to `topic` at `ingest`, for ever. A refusal is waited out: the
/// load is there to be seen, not to win.
pub(crate) async fn run(ingest: SocketAddr, topic: String, per_second: u32) {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let zipf = Zipf::new(CUSTOMERS);
    let mut rng = fastrand::Rng::new();
    let batch = (per_second / 20).clamp(1, BATCH_MAX);
    let period = Duration::from_secs_f64(f64::from(batch) / f64::from(per_second.max(1)));
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut order = 0_u64;
    loop {
        ticks.tick().await;
        let body = orders(&zipf, &mut rng, &mut order, batch);
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{ingest}/v1/topics/{topic}/records"))
            .header(http::header::CONTENT_TYPE, "application/cloudevents-batch+json")
            .body(Full::new(body));
        let Ok(request) = request else { return };
        let accepted = match client.request(request).await {
            Ok(response) => {
                let status = response.status();
                let _ = response.into_body().collect().await;
                status == StatusCode::OK || status == StatusCode::CREATED
            }
            Err(_) => false,
        };
        if !accepted {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

fn orders(zipf: &Zipf, rng: &mut fastrand::Rng, order: &mut u64, count: u32) -> Bytes {
    let events: Vec<_> = (0..count)
        .map(|_| {
            *order += 1;
            serde_json::json!({
                "specversion": "1.0",
                "id": uuid::Uuid::new_v4().to_string(),
                "source": "/seawall/sample-load",
                "type": "order.paid",
                "partitionkey": format!("customer-{}", zipf.draw(rng)),
                "datacontenttype": "application/json",
                "data": { "order": *order, "amount_cents": rng.u32(500..25_000) },
            })
        })
        .collect();
    Bytes::from(serde_json::Value::from(events).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rank_is_the_most_popular_and_all_are_in_range() {
        let zipf = Zipf::new(100);
        let mut rng = fastrand::Rng::with_seed(7);
        let mut counts = [0_u32; 100];
        for _ in 0..20_000 {
            counts[zipf.draw(&mut rng)] += 1;
        }
        assert!(counts[0] > counts[1] && counts[1] > counts[10] && counts[10] > counts[99]);
        assert!(counts[99] > 0);
    }
}
