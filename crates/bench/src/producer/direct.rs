//! Against a real broker: the direct path beside the bare client, one `send` beside the client's, and the replay.

use super::switch::Switch;
use crate::compare::{BenchError, Better, Contender, Contest, Effort, timed};
use crate::kafka::bare;
use crate::kafka::ground::Ground;
use crate::kafka::process::cpu;
use crate::kafka::sink::{CALLERS, Load, TOPIC, topic};
use seawall_core::{Outgoing, Record};
use seawall_kafka::{KafkaSink, SinkOptions};
use seawall_producer::{Producer, ProducerOptions, Replicated, SpillOptions, Synced, Target};
use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What `send` may cost beside the client's own.
const SEND_NS: f64 = 2_000.0;

pub(super) fn contests(effort: &Effort, ground: &Rc<Ground>) -> Result<Vec<Contest>, BenchError> {
    topic(ground)?;
    let load = Load::new(effort.scaled(300_000), 1_024);
    let threaded = ("rdkafka ThreadedProducer", bare::write_threaded as Write);
    let futures = ("rdkafka FutureProducer", bare::write_futures as Write);
    Ok(vec![
        throughput(ground, &load, "as fast as it takes records", flood, threaded),
        throughput(ground, &load, "acknowledged writes", write, futures),
        processor_time(ground, &load),
        one_send(ground, effort),
        replay(ground, &load, effort),
    ])
}

fn producer(ground: &Ground, options: ProducerOptions, up: &Arc<AtomicBool>) -> Result<Producer, BenchError> {
    let sink = KafkaSink::open(&ground.connection(), &SinkOptions::default());
    let to = Some(Arc::new(sink.map_err(BenchError::of("sink"))?));
    let _entered = ground.runtime.enter();
    let target = Target::new("kafka", Switch { up: Arc::clone(up), to });
    Producer::open(options, vec![target]).map_err(BenchError::of("producer"))
}

fn options() -> ProducerOptions {
    ProducerOptions { memory_bytes_max: 256 << 20, memory_records_max: 1 << 20, ..ProducerOptions::default() }
}

fn outgoing(load: &Load, topic: &Arc<str>, number: u64) -> Outgoing {
    let record = Record::new(load.key(number).clone(), load.value.clone());
    Outgoing { topic: Arc::clone(topic), partition: None, record }
}

/// As many callers as the client's, each waiting for as many records at a time.
fn write(ground: &Ground, load: &Load) -> Result<f64, BenchError> {
    let producer = producer(ground, options(), &Arc::new(AtomicBool::new(true)))?;
    let caller = |caller: u64| {
        let (producer, load, topic) = (producer.clone(), load.clone(), Arc::<str>::from(TOPIC));
        async move {
            for numbers in load.calls(caller) {
                let records = numbers.map(|number| outgoing(&load, &topic, number)).collect();
                for receipt in producer.send_all::<Replicated>(records).await {
                    receipt.map_err(BenchError::of("producer"))?;
                }
            }
            Ok::<_, BenchError>(())
        }
    };
    let (written, took) = timed(|| {
        ground.runtime.block_on(async {
            let callers: Vec<_> = (0..CALLERS).map(|number| tokio::spawn(caller(number))).collect();
            for caller in callers {
                caller.await.map_err(BenchError::of("producer"))??;
            }
            Ok::<_, BenchError>(())
        })
    });
    written?;
    ground.runtime.block_on(producer.close(Duration::from_secs(5)));
    Ok(load.records as f64 / took.as_secs_f64())
}

/// One task hands records over as fast as there is room, and nobody waits for a receipt: as the client's own producer is
/// driven, with as much memory as its queue.
fn flood(ground: &Ground, load: &Load) -> Result<f64, BenchError> {
    let options = ProducerOptions { memory_records_max: 1 << 20, ..ProducerOptions::default() };
    let producer = producer(ground, options, &Arc::new(AtomicBool::new(true)))?;
    let (topic, delivered) = (Arc::<str>::from(TOPIC), Arc::new(AtomicU64::new(0)));
    let flood = {
        let (producer, load, delivered) = (producer.clone(), load.clone(), Arc::clone(&delivered));
        async move {
            for number in 0..load.records {
                let delivered = Arc::clone(&delivered);
                let heard = move |outcome: seawall_producer::Outcome| {
                    delivered.fetch_add(u64::from(outcome.is_ok()), Relaxed);
                };
                let _ = producer.send_buffered(outgoing(&load, &topic, number), heard).await?;
            }
            producer.close(Duration::from_mins(1)).await;
            Ok::<_, seawall_producer::SendError>(())
        }
    };
    let (sent, took) = timed(|| ground.runtime.block_on(ground.runtime.spawn(flood)));
    sent.map_err(BenchError::of("producer"))?.map_err(BenchError::of("producer"))?;
    let done = delivered.load(Relaxed);
    if done != load.records {
        return Err(BenchError::Incomplete { who: "producer".to_owned(), done, asked: load.records });
    }
    Ok(load.records as f64 / took.as_secs_f64())
}

/// A round of writing `load`: records a second.
type Write = fn(&Ground, &Load) -> Result<f64, BenchError>;

/// Our way of writing beside the client's.
fn throughput(ground: &Rc<Ground>, load: &Load, how: &str, ours: Write, client: (&str, Write)) -> Contest {
    let at = |write: Write| {
        let (ground, load) = (Rc::clone(ground), load.clone());
        move || write(&ground, &load)
    };
    let (name, theirs) = client;
    Contest {
        name: format!("direct, {how}, 1 KiB"),
        unit: "records/s",
        rounds: 15,
        better: Better::Higher,
        ours: Contender::new("producer", env!("CARGO_PKG_VERSION"), at(ours)),
        peers: vec![Contender::new(name, version(), at(theirs)).goal(0.95)],
    }
}

/// Callers that wait, in the processor time of this process: what else runs on the machine, the broker too, changes it little.
fn processor_time(ground: &Rc<Ground>, load: &Load) -> Contest {
    let of = |write: Write| {
        let (ground, load) = (Rc::clone(ground), load.clone());
        move || {
            let before = cpu();
            let _ = write(&ground, &load)?;
            Ok(cpu().saturating_sub(before).as_nanos() as f64 / load.records as f64)
        }
    };
    Contest {
        name: "direct, processor time of a record, 1 KiB".to_owned(),
        unit: "ns",
        rounds: 15,
        better: Better::Lower,
        ours: Contender::new("producer", env!("CARGO_PKG_VERSION"), of(write)),
        peers: vec![Contender::new("rdkafka FutureProducer", version(), of(bare::write_futures))],
    }
}

fn version() -> String {
    crate::versions::of_crate("rdkafka")
}

/// Handing one record over, without waiting for its receipt: nanoseconds of the caller's.
fn one_send(ground: &Rc<Ground>, effort: &Effort) -> Contest {
    let load = Load::new(effort.scaled(50_000), 1_024);
    let ours = {
        let (ground, load) = (Rc::clone(ground), load.clone());
        move || {
            let producer = producer(&ground, options(), &Arc::new(AtomicBool::new(true)))?;
            let (topic, answered) = (Arc::<str>::from(TOPIC), Arc::new(AtomicU64::new(0)));
            let (sent, took) = timed(|| {
                ground.runtime.block_on(async {
                    for number in 0..load.records {
                        let answered = Arc::clone(&answered);
                        let heard = move |_| {
                            answered.fetch_add(1, Relaxed);
                        };
                        let _ = producer.send_buffered(outgoing(&load, &topic, number), heard).await?;
                    }
                    Ok::<_, seawall_producer::SendError>(())
                })
            });
            sent.map_err(BenchError::of("producer"))?;
            ground.runtime.block_on(producer.close(Duration::from_mins(1)));
            if answered.load(Relaxed) != load.records {
                let done = answered.load(Relaxed);
                return Err(BenchError::Incomplete { who: "producer".to_owned(), done, asked: load.records });
            }
            Ok(took.as_nanos() as f64 / load.records as f64)
        }
    };
    let theirs = {
        let (ground, load) = (Rc::clone(ground), load);
        move || bare::one_send(&ground, &load).map(|nanos| nanos + SEND_NS)
    };
    Contest {
        name: "one send, 1 KiB".to_owned(),
        unit: "ns",
        rounds: 9,
        better: Better::Lower,
        ours: Contender::new("producer", env!("CARGO_PKG_VERSION"), ours),
        peers: vec![Contender::new("rdkafka send and 2 us more", version(), theirs).goal(1.0)],
    }
}

/// From the disk to the broker, once it is back.
fn replay(ground: &Rc<Ground>, load: &Load, effort: &Effort) -> Contest {
    let ours = {
        let (ground, load, dir) = (Rc::clone(ground), load.clone(), effort.dir.join("producer/replay"));
        let life = Cell::new(0);
        move || {
            life.set(life.get() + 1);
            replayed(&ground, &load, dir.join(life.get().to_string()))
        }
    };
    let direct = {
        let (ground, load) = (Rc::clone(ground), load.clone());
        move || write(&ground, &load)
    };
    Contest {
        name: "replay, 1 KiB".to_owned(),
        unit: "records/s",
        rounds: 15,
        better: Better::Higher,
        ours: Contender::new("replay", env!("CARGO_PKG_VERSION"), ours),
        peers: vec![Contender::new("our direct path", env!("CARGO_PKG_VERSION"), direct).goal(0.9)],
    }
}

fn replayed(ground: &Ground, load: &Load, dir: PathBuf) -> Result<f64, BenchError> {
    std::fs::create_dir_all(&dir).map_err(BenchError::io(dir.display()))?;
    let up = Arc::new(AtomicBool::new(false));
    let spill = SpillOptions::new(dir.join("spill"), "bench");
    let producer = producer(ground, ProducerOptions { spill: Some(spill), ..options() }, &up)?;
    let topic = Arc::<str>::from(TOPIC);
    ground.runtime.block_on(async {
        for numbers in (0..CALLERS).flat_map(|caller| load.calls(caller)) {
            let records = numbers.map(|number| outgoing(load, &topic, number)).collect();
            for receipt in producer.send_all::<Synced>(records).await {
                receipt.map_err(BenchError::of("producer"))?;
            }
        }
        Ok::<_, BenchError>(())
    })?;
    up.store(true, Relaxed);
    // The breaker's wait is no part of the replay's pace, nor are the last records that it does not count yet.
    let left = || producer.snapshot().backlog_records;
    let rest = || std::thread::sleep(Duration::from_millis(1));
    while producer.snapshot().replayed_records == 0 {
        rest();
    }
    let first = left();
    let ((), took) = timed(|| {
        while left() > 0 {
            rest();
        }
    });
    ground.runtime.block_on(producer.close(Duration::from_secs(5)));
    std::fs::remove_dir_all(&dir).map_err(BenchError::io(dir.display()))?;
    Ok(first as f64 / took.as_secs_f64())
}
