//! A handler that takes 5 ms, in the order of 1,000 keys, beside what others run on the same topic.
//!
//! With even keys the limit is keys ÷ latency; under a Zipf distribution it is the hottest key of each partition,
//! which nobody who keeps the order can hand out faster. Rounds end by the clock, since the peers' speeds lie
//! far apart.

use super::ground::{Ground, Pace, Reading, Stock};
use super::pair::{self, Paced};
use crate::asked::Asked;
use crate::compare::{BenchError, Contest, Effort};
use crate::{go, java, versions};
use seawall_consumer::Ordering;
use seawall_core::{Delivery, Handler, Outcome};
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;

const KEYS: usize = 1_000;
const HANDLER_MS: &str = "5";
/// The runtime's timer rounds up to its next millisecond, half a millisecond on average.
const HANDLER: Duration = Duration::from_micros(4_500);
/// Handlers at once: one a key. Those that go by partition cannot use so many.
const LIMIT: u32 = KEYS as u32;
const RECORDS: u64 = 800_000;

fn even(number: u64) -> u64 {
    number % KEYS as u64
}

/// Zipf's law with the exponent 1.
fn zipf(number: u64) -> u64 {
    static SUMS: OnceLock<Vec<f64>> = OnceLock::new();
    let sums = SUMS.get_or_init(|| {
        let mut sum = 0.0;
        let add = |rank: usize| {
            sum += 1.0 / rank as f64;
            sum
        };
        (1..=KEYS).map(add).collect()
    });
    let at = fastrand::Rng::with_seed(number).f64() * sums[KEYS - 1];
    sums.partition_point(|sum| *sum < at) as u64
}

/// The programs that are measured beside us.
struct Peers {
    go: PathBuf,
    /// The class path; none where this machine cannot build it.
    java: Option<PathBuf>,
}

pub(super) fn contests(effort: &Effort, ground: &Rc<Ground>) -> Result<Vec<Contest>, BenchError> {
    let java = match java::missing() {
        None => Some(java::build(&effort.dir)?),
        Some(tool) => {
            println!("SKIP Confluent parallel-consumer: {tool} is missing");
            None
        }
    };
    let peers = Peers { go: go::build(&effort.dir, "go-kafka")?, java };
    let stock = |topic, key| Stock { topic, partitions: 4, records: RECORDS, value_bytes: 100, key };
    let mut contests = Vec::new();
    for (keys, stock) in [("even", stock("paced-even", even)), ("Zipf", stock("paced-zipf", zipf))] {
        let stock = Stock { records: effort.scaled(stock.records), ..stock };
        contests.extend(contest(effort, ground, keys, stock, &peers)?);
    }
    Ok(contests)
}

fn contest(
    effort: &Effort,
    ground: &Rc<Ground>,
    keys: &str,
    stock: Stock,
    peers: &Peers,
) -> Result<Vec<Contest>, BenchError> {
    let window = Duration::from_millis(if effort.quick { 1_000 } else { 2_500 });
    let reading = Reading { ordering: Ordering::Key, limit: LIMIT, window };
    let ours = {
        let ground = Rc::clone(ground);
        Paced {
            name: "source and consumer",
            version: env!("CARGO_PKG_VERSION").to_owned(),
            goal: None,
            cpu_goal: None,
            measure: Box::new(move || ground.read(&stock, reading, Waits)),
        }
    };
    let bootstrap = ground.cluster.bootstrap();
    let mut measured = Vec::new();
    let mut add = |name, version, goal, command: &mut Command| -> Result<(), BenchError> {
        let asked = Asked::start(command)?;
        let measure = measure(Rc::clone(ground), name, asked, stock, window);
        measured.push(Paced { name, version, goal, cpu_goal: Some(1.0), measure });
        Ok(())
    };
    // Where a hot key is the limit, it is so for all who keep the order: there only the cost tells.
    let goal = (keys == "even").then_some(2.0);
    if let Some(target) = &peers.java {
        let mut command = java::command(target, "ParallelConsumerPeer");
        command.args([&*bootstrap, stock.topic, HANDLER_MS, &LIMIT.to_string()]);
        let version = versions::of_maven("parallel-consumer.version");
        add("Confluent parallel-consumer by key", version, goal, &mut command)?;
    }
    for (name, kind, module) in [
        ("franz-go, a goroutine a partition", "franz", "github.com/twmb/franz-go"),
        ("Watermill", "watermill", "github.com/ThreeDotsLabs/watermill-kafka/v3"),
    ] {
        let mut command = Command::new(&peers.go);
        command.args([kind, &bootstrap, stock.topic, HANDLER_MS]);
        add(name, versions::of_go_module(module), Some(2.0).filter(|_| goal.is_some()), &mut command)?;
    }
    let name = format!("5 ms handler, 4 partitions, {KEYS} keys ({keys}), {LIMIT} at once");
    Ok(pair::contests(&name, 3, ours, measured))
}

fn measure(
    ground: Rc<Ground>,
    who: &'static str,
    mut asked: Asked,
    stock: Stock,
    window: Duration,
) -> Box<dyn FnMut() -> Result<Pace, BenchError>> {
    let records = stock.records;
    Box::new(move || {
        ground.fill(&stock)?;
        let answer = asked.ask(&format!("{} {records} {}", ground.new_group(), window.as_millis()))?;
        let numbers: Vec<u64> = answer.split(' ').filter_map(|number| number.parse().ok()).collect();
        match numbers[..] {
            [done, nanos, cpu] if done > 0 => {
                Ok(Pace::new(done, Duration::from_nanos(nanos), Duration::from_nanos(cpu)))
            }
            _ => Err(BenchError::Incomplete { who: who.to_owned(), done: 0, asked: records }),
        }
    })
}

struct Waits;

impl Handler for Waits {
    async fn handle(&self, _: &Delivery) -> Outcome {
        tokio::time::sleep(HANDLER).await;
        Outcome::Ack
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_keys_have_what_the_law_gives_them() {
        let mut counts = vec![0_u32; KEYS];
        for number in 0..100_000 {
            counts[zipf(number) as usize] += 1;
        }
        let harmonic: f64 = (1..=KEYS).map(|rank| 1.0 / rank as f64).sum();
        for rank in [1, 2, 10] {
            let expected = 100_000.0 / harmonic / f64::from(rank);
            let found = f64::from(counts[rank as usize - 1]);
            assert!((found / expected - 1.0).abs() < 0.1, "key {rank}: {found} of {expected}");
        }
    }
}
