//! Log, consumer and push, as a pipeline has them.

use super::serve::Served;
use super::{BODY_BYTES, IN_FLIGHT};
use crate::compare::{BenchError, Contender, Effort};
use crate::consumer::shelf::{Done, Reading, Shelf, Stock};
use seawall_consumer::Ordering;
use seawall_core::{Delivery, Handler, Outcome};
use seawall_sidecar::push::{Push, PushOptions, Target, Trust};
use std::sync::Arc;
use std::time::Duration;

/// Our contender; keeps `echo` alive.
pub(super) fn push(
    effort: &Effort,
    records: u64,
    target: &str,
    echo: Served,
) -> Result<Contender, BenchError> {
    let stock = Stock { records, value_bytes: BODY_BYTES, keys: 1_000, partitions: 8 };
    let mut shelf = Shelf::fill(effort, "push", stock)?;
    let target = Target::parse(target, Trust::ConfigFile, &[]).map_err(BenchError::of("push"))?;
    let options =
        PushOptions { timeout: Duration::from_secs(10), max_connections: IN_FLIGHT as usize, token: None };
    let reading = Reading { ordering: Ordering::Key, limit: IN_FLIGHT };
    // A deadline is told by the clock of the consumer, and means nothing by another one: clocks count from their start.
    let push = Push::new(target, options, shelf.clock()).map_err(BenchError::of("push"))?;
    let push = Arc::new(push);
    Ok(Contender::new("log, consumer and push", env!("CARGO_PKG_VERSION"), move || {
        let _ = &echo;
        let push = Arc::clone(&push);
        shelf.read(reading, |done| Pushes { push, done })
    }))
}

struct Pushes {
    push: Arc<Push>,
    done: Arc<Done>,
}

impl Handler for Pushes {
    async fn handle(&self, delivery: &Delivery) -> Outcome {
        let outcome = self.push.handle(delivery).await;
        if matches!(outcome, Outcome::Ack) {
            self.done.one();
        }
        outcome
    }
}
