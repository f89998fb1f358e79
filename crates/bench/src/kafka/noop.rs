//! A handler that does nothing: the price of our source, our runtime and exact commits, beside the bare client.

use super::bare;
use super::ground::{Ground, Pace, Reading, Stock};
use super::pair::{self, Paced};
use crate::compare::{BenchError, Contest, Effort};
use crate::versions;
use seawall_consumer::Ordering;
use seawall_core::{Delivery, Handler, Outcome};
use std::rc::Rc;
use std::time::Duration;

const PARTITIONS: u32 = 4;

pub(super) fn contests(effort: &Effort, ground: &Rc<Ground>) -> Vec<Contest> {
    let key = |number: u64| number % 1_000;
    let stocks = [
        Stock { topic: "noop-1k", partitions: PARTITIONS, records: 2_400_000, value_bytes: 1_024, key },
        Stock { topic: "noop-100", partitions: PARTITIONS, records: 6_000_000, value_bytes: 100, key },
    ];
    let mut contests = Vec::new();
    for stock in stocks {
        let stock = Stock { records: effort.scaled(stock.records), ..stock };
        contests.extend(contest(ground, stock));
    }
    contests
}

fn contest(ground: &Rc<Ground>, stock: Stock) -> Vec<Contest> {
    let name = format!("no-op handler with exact commits, {} B, {PARTITIONS} partitions", stock.value_bytes);
    let reading = Reading { ordering: Ordering::Key, limit: 10_000, window: Duration::from_mins(1) };
    let paced = |name, version, goal, measure: Box<dyn FnMut() -> Result<Pace, BenchError>>| Paced {
        name,
        version,
        goal,
        cpu_goal: None,
        measure,
    };
    let ours = {
        let ground = Rc::clone(ground);
        Box::new(move || ground.read(&stock, reading, Nothing))
    };
    let ours = paced("source and consumer", env!("CARGO_PKG_VERSION").to_owned(), None, ours);
    let bare = {
        let ground = Rc::clone(ground);
        Box::new(move || bare::poll_loop(&ground, &stock))
    };
    let bare = paced("bare rdkafka BaseConsumer", versions::of_crate("rdkafka"), Some(0.9), bare);
    pair::contests(&name, 7, ours, vec![bare])
}

struct Nothing;

impl Handler for Nothing {
    async fn handle(&self, _: &Delivery) -> Outcome {
        Outcome::Ack
    }
}
