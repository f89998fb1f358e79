//! While the broker is gone: records with a receipt from the disk, beside bare logs at the same batch.

use super::switch::Switch;
use crate::compare::{BenchError, Better, Contender, Contest, Effort, timed};
use crate::wal::{self, Durably, Form, Load};
use bytes::Bytes;
use seawall_core::{Outgoing, Record};
use seawall_kafka::KafkaSink;
use seawall_producer::{Producer, ProducerOptions, Safe, SpillOptions, State, Synced, Target};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::runtime::Runtime;

pub(super) fn contests(effort: &Effort) -> Result<Vec<Contest>, BenchError> {
    let root = effort.dir.join("producer");
    if root.exists() {
        std::fs::remove_dir_all(&root).map_err(BenchError::io(root.display()))?;
    }
    let mut contests = Vec::new();
    // Long enough that the start of a round, and one wait of the disk, are little of it.
    for (per_sync, groups, callers) in [(64, 600, 4), (256, 200, 4), (64, 300, 1), (256, 150, 1)] {
        let load = Load { per_sync, groups: effort.scaled(groups), form: Form::Frames, callers };
        let dir = |name: &str| wal::fresh(&root.join(callers.to_string()), per_sync, name);
        let ours = spill(load, Spilling::open(&dir("spill")?)?);
        let mut peers = vec![wal::ours::group_commit(load, &dir("group-commit")?)?.goal(0.9)];
        if callers > 1 {
            // What the log's own bench gives for the batch: there one caller waits for each sync.
            let mut alone =
                wal::ours::group_commit(Load { callers: 1, ..load }, &dir("group-commit-alone")?)?.goal(0.9);
            "group commit, its one caller of the wal bench".clone_into(&mut alone.name);
            peers.push(alone);
        }
        peers.extend(wal::spills(load, &dir)?);
        contests.push(Contest {
            name: format!("spilled, 1 KiB frames, {per_sync} to a receipt, {}", who(callers)),
            unit: "records/s",
            rounds: 15,
            better: Better::Higher,
            ours,
            peers,
        });
    }
    let load = Load { per_sync: 64, groups: effort.scaled(200), form: Form::Frames, callers: 1 };
    contests.push(Contest {
        name: "p99 of 64 records to the disk while the broker is gone".to_owned(),
        unit: "us",
        rounds: 9,
        better: Better::Lower,
        ours: slowest("spill", load, Spilling::open(&wal::fresh(&root, 64, "p99")?)?),
        peers: vec![
            slowest("bare write + fdatasync", load, wal::bare::opened(&wal::fresh(&root, 64, "bare")?)?)
                .goal(0.5),
        ],
    });
    Ok(contests)
}

fn who(callers: usize) -> String {
    if callers == 1 { "one caller".to_owned() } else { format!("{callers} callers") }
}

/// A producer's round: `load.callers` tasks, each waiting for its own receipts.
fn spill(load: Load, mut spilling: Spilling) -> Contender {
    Contender::new("spill", env!("CARGO_PKG_VERSION"), move || {
        spilling.tidy()?;
        let (written, took) = timed(|| spilling.write_all(load));
        let records = written?;
        Ok(records as f64 / took.as_secs_f64())
    })
}

/// The 99th percentile of a group's time.
fn slowest(name: &str, load: Load, mut log: impl Durably + 'static) -> Contender {
    let frames = wal::frames(load.per_sync);
    Contender::new(name, env!("CARGO_PKG_VERSION"), move || {
        let mut times = Vec::with_capacity(load.groups as usize);
        for _ in 0..load.groups {
            let (written, took) = timed(|| log.write(&frames));
            written?;
            times.push(took.as_secs_f64() * 1e6);
        }
        log.tidy()?;
        times.sort_by(f64::total_cmp);
        Ok(times[(times.len() * 99 / 100).min(times.len() - 1)])
    })
}

/// A producer whose sink is gone. Its caller is a task of the producer's runtime, as a service's handlers are, and its
/// values are `Bytes`, as what was read from a socket is. The runtime has one thread, and leaves the machine's other core to
/// the log's: a second one takes from both what it spends on waking up for work of microseconds.
struct Spilling {
    runtime: Runtime,
    caller: Caller,
    up: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Caller {
    producer: Producer,
    topic: Arc<str>,
    keys: Arc<[Bytes]>,
    values: Arc<[Bytes]>,
}

impl Caller {
    async fn write(&self, records: usize) -> Result<(), BenchError> {
        let record = |(key, value): (&Bytes, &Bytes)| {
            let record = Record::new(key.clone(), value.clone());
            Outgoing { topic: Arc::clone(&self.topic), partition: None, record }
        };
        let records = self.keys.iter().zip(&self.values[..records]).map(record).collect();
        for answer in self.producer.send_all::<Synced>(records).await {
            let receipt = answer.map_err(BenchError::of("producer"))?;
            if !matches!(receipt.place, Safe::Spilled { .. }) {
                return Err(BenchError::Incomplete { who: "the disk".to_owned(), done: 0, asked: 1 });
            }
        }
        Ok(())
    }
}

impl Spilling {
    fn open(dir: &Path) -> Result<Self, BenchError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(BenchError::io("a tokio runtime"))?;
        let up = Arc::new(AtomicBool::new(true));
        let sink = Switch::<KafkaSink> { up: Arc::clone(&up), to: None };
        // Segments as large as those of the logs beside it.
        let disk_bytes_max = 16 * wal::SEGMENT_BYTES;
        let spill = SpillOptions { disk_bytes_max, ..SpillOptions::new(dir.join("log"), "bench") };
        let options = ProducerOptions { spill: Some(spill), ..ProducerOptions::default() };
        let opened = {
            let _entered = runtime.enter();
            Producer::open(options, vec![Target::new("switch", sink)])
        };
        let producer = opened.map_err(BenchError::of("producer"))?;
        let keys = (0..1_000_u64).map(|key| Bytes::copy_from_slice(&key.to_be_bytes())).collect();
        let values = wal::values(256).into_iter().map(Bytes::from).collect();
        let mut spilling =
            Self { runtime, caller: Caller { producer, topic: "spill".into(), keys, values }, up };
        // Segments are recycled in what is measured, as in a long life.
        let groups = wal::SEGMENT_BYTES / (256 * 1024);
        for _ in 0..4 {
            spilling.tidy()?;
            let _ = spilling.write_all(Load { per_sync: 256, groups, form: Form::Frames, callers: 1 })?;
        }
        spilling.tidy()?;
        Ok(spilling)
    }
}

impl Durably for Spilling {
    fn write(&mut self, frames: &[Vec<u8>]) -> Result<(), BenchError> {
        self.runtime.block_on(self.caller.write(frames.len()))
    }

    /// Delivers what is there, and takes the sink away again.
    fn tidy(&mut self) -> Result<(), BenchError> {
        self.up.store(true, Relaxed);
        self.wait(|producer| producer.snapshot().backlog_records == 0);
        self.up.store(false, Relaxed);
        for _ in 0..100 {
            if self.caller.producer.snapshot().state == State::Spilling {
                break;
            }
            self.write(&wal::frames(1))?;
        }
        Ok(())
    }
}

impl Spilling {
    /// Answers how many records there were.
    fn write_all(&mut self, load: Load) -> Result<u64, BenchError> {
        let groups = load.groups / load.callers as u64;
        let write = |_| {
            let caller = self.caller.clone();
            self.runtime.spawn(async move {
                for _ in 0..groups {
                    caller.write(load.per_sync).await?;
                }
                Ok::<_, BenchError>(())
            })
        };
        let callers: Vec<_> = (0..load.callers).map(write).collect();
        for caller in callers {
            self.runtime.block_on(caller).map_err(BenchError::of("a caller"))??;
        }
        Ok(groups * (load.callers * load.per_sync) as u64)
    }

    fn wait(&self, what: impl Fn(&Producer) -> bool) {
        while !what(&self.caller.producer) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
