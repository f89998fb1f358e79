//! How fast the runtime is: records of 100 bytes from memory, a handler that does nothing; and a handler of
//! 10 ms, one partition, 10,000 keys, at most 500 at a time.
//!
//! `cargo run --release -p seawall-consumer --example consumer_rate`

use bytes::Bytes;
use seawall_consumer::{Consumer, ConsumerOptions, Driver, NoSink, NoStore};
use seawall_core::handler::HandlerFn;
use seawall_core::{
    Batch, Clock, Commit, Event, Fault, Fetched, Generation, Handler, Limit, Offset, Origin, Outcome,
    Position, Record, Source, SystemClock, TopicPartition,
};
use seawall_guard::{ConcurrencyOptions, Guard, GuardOptions};
use std::sync::Arc;
use std::time::Duration;

/// Makes its records up: the key is one of `keys`, the bytes are shared.
struct Made {
    id: TopicPartition,
    keys: Vec<Bytes>,
    value: Bytes,
    next: Offset,
    end: Offset,
    assigned: bool,
    paused: bool,
}

impl Source for Made {
    fn poll(&mut self, wait: Duration, limit: Limit) -> Result<Vec<Event>, Fault> {
        let (partition, generation, end) = (self.id.clone(), Generation(1), self.end);
        if !self.assigned {
            self.assigned = true;
            let (position, origin) = (Position::default(), Origin::Committed);
            return Ok(vec![Event::Assigned { partition, generation, position, origin, end }]);
        }
        let count = (limit.records as u64).min(self.end - self.next);
        if self.paused || count == 0 {
            std::thread::sleep(wait.min(Duration::from_millis(1)));
            return Ok(Vec::new());
        }
        let record = |offset: Offset| {
            let key = self.keys[offset as usize % self.keys.len()].clone();
            Fetched { offset, record: Record::new(Some(key), self.value.clone()) }
        };
        let records: Vec<Fetched> = (self.next..self.next + count).map(record).collect();
        self.next += count;
        let batch = Batch { records, next: self.next };
        Ok(vec![Event::Records { partition, generation, batch, end }])
    }

    fn pause(&mut self, _: &TopicPartition) {
        self.paused = true;
    }

    fn resume(&mut self, _: &TopicPartition) {
        self.paused = false;
    }

    fn commit(&mut self, _: &[Commit]) -> Result<(), Fault> {
        Ok(())
    }

    fn release(&mut self, _: &TopicPartition, _: Generation) {}

    fn reread(&mut self, _: &TopicPartition, from: Offset, _: Offset, _: Limit) -> Result<Batch, Fault> {
        Ok(Batch { records: Vec::new(), next: from })
    }
}

#[expect(clippy::print_stdout, reason = "an example tells what it measured")]
async fn measure(name: &str, records: u64, limit: u32, handler: impl Handler) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let concurrency = ConcurrencyOptions { limit, ..ConcurrencyOptions::default() };
    let options = GuardOptions { concurrency, ..GuardOptions::default() };
    let guard = Arc::new(Guard::new(options, Arc::clone(&clock), 1).expect("options are right"));
    let source = Made {
        id: TopicPartition::new("made", 0),
        keys: (0..10_000).map(|key| Bytes::from(format!("key-{key:08}"))).collect(),
        value: Bytes::from(vec![b'v'; 88]),
        next: 0,
        end: records,
        assigned: false,
        paused: false,
    };
    let options = ConsumerOptions { dead_letter: None, ..ConsumerOptions::new("rate") };
    let begun = clock.now();
    let store = None::<Arc<NoStore>>;
    let clock_of = Arc::clone(&clock);
    let running =
        Consumer::start(options, source, handler, store, guard, NoSink, clock_of, 1, Driver::Thread)
            .expect("options are right");
    while running.snapshot().totals.acked < records {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let took = clock.now().since(begun).as_secs_f64();
    let snapshot = running.snapshot();
    let rate = records as f64 / took;
    let mean = snapshot.latency_sum_seconds / records as f64;
    println!("{name}: {rate:.0} records/s, mean {:.2} ms, p99 {:?}", mean * 1e3, snapshot.latency.p99);
    if mean > 0.001 {
        let share = |latency: f64| rate / (f64::from(limit) / latency);
        println!("  of limit / latency: {:.3} of the measured, {:.3} of 10 ms", share(mean), share(0.010));
    }
    running.drain(Duration::from_secs(1)).await;
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    for _ in 0..3 {
        measure("no-op", 5_000_000, 500, HandlerFn(|_| async { Outcome::Ack })).await;
    }
    let slow = HandlerFn(|_| async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Outcome::Ack
    });
    measure("10 ms", 250_000, 500, slow).await;
}
