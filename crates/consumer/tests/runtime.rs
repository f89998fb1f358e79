//! The consumer as a whole, under a paused clock, over a broker in memory.

#[path = "runtime/claims.rs"]
mod claims;
#[path = "runtime/order.rs"]
mod order;
#[path = "runtime/outage.rs"]
mod outage;
#[path = "runtime/positions.rs"]
mod positions;
#[path = "runtime/retry.rs"]
mod retry;
#[path = "runtime/retry_topics.rs"]
mod retry_topics;
#[path = "runtime/running.rs"]
mod running;
#[allow(unreachable_pub, clippy::panic, reason = "shared by test binaries")]
mod stage;

use seawall_core::{Class, Fault};
use std::time::Duration;

fn transient() -> Fault {
    Fault::new(Class::Transient, "not now")
}

async fn ms(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
