//! A handler that does nothing: what is left is the price of the runtime, log and exact commits included.

use super::shelf::{Done, Reading, Shelf, Stock};
use crate::compare::{BenchError, Better, Contender, Contest, Effort};
use seawall_consumer::Ordering;
use seawall_core::{Delivery, Handler, Outcome};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

const RECORDS: u64 = 2_000_000;
/// What the design demands of two cores, in records a second.
const BUDGET: f64 = 1_000_000.0;

pub(super) fn contests(effort: &Effort) -> Result<Vec<Contest>, BenchError> {
    let stock = Stock { records: effort.scaled(RECORDS), value_bytes: 100, keys: 1_000, partitions: 8 };
    let shelf = Rc::new(RefCell::new(Shelf::fill(effort, "consumer-noop", stock)?));
    let contest = |ordering: Ordering| {
        let shelf = Rc::clone(&shelf);
        let reading = Reading { ordering, limit: 10_000 };
        let measure = move || shelf.borrow_mut().read(reading, Nothing);
        Contest {
            name: format!("no-op handler, 100 B, ordering {}", ordering.as_str()),
            unit: "records/s",
            rounds: 7,
            better: Better::Higher,
            ours: Contender::new("consumer over the log", env!("CARGO_PKG_VERSION"), measure),
            peers: vec![Contender::limit("budget of the design", "1,000,000/s", || Ok(BUDGET)).goal(1.0)],
        }
    };
    Ok([Ordering::Key, Ordering::Unordered].map(contest).into())
}

struct Nothing(Arc<Done>);

impl Handler for Nothing {
    async fn handle(&self, _: &Delivery) -> Outcome {
        self.0.one();
        Outcome::Ack
    }
}
