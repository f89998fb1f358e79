//! Writing: our sink beside the client's own producers, with the same settings and as many callers.

use super::ground::Ground;
use crate::compare::{BenchError, Better, Contender, Contest, Effort, timed};
use bytes::Bytes;
use seawall_core::{Fault, Outgoing, Record, Sink};
use seawall_kafka::{KafkaSink, SinkOptions};
use std::rc::Rc;
use std::sync::Arc;

pub(crate) const TOPIC: &str = "sink";
/// Records of one call.
pub(crate) const CALL: u64 = 2_048;
/// Calls on the way at once.
pub(crate) const CALLERS: u64 = 8;

/// What is written in one round.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) records: u64,
    pub(crate) value: Bytes,
    pub(crate) keys: Arc<[Bytes]>,
}

impl Load {
    pub(crate) fn new(records: u64, value_bytes: usize) -> Self {
        let keys = (0..1_000).map(|number| Bytes::from(format!("key-{number:08}")));
        Self { records, value: Bytes::from(vec![b'x'; value_bytes]), keys: keys.collect() }
    }

    pub(crate) fn key(&self, number: u64) -> &Bytes {
        &self.keys[(number % self.keys.len() as u64) as usize]
    }

    /// The numbers of each call of a caller.
    pub(crate) fn calls(&self, caller: u64) -> impl Iterator<Item = std::ops::Range<u64>> + use<> {
        let records = self.records;
        let starts = (caller * CALL..records).step_by((CALL * CALLERS) as usize);
        starts.map(move |start| start..(start + CALL).min(records))
    }
}

/// Makes the topic that is written to.
pub(crate) fn topic(ground: &Ground) -> Result<(), BenchError> {
    // Old segments go at once, so that the rounds do not fill the disk.
    let configs = [("retention.bytes", "67108864"), ("segment.bytes", "67108864")];
    ground.create(TOPIC, 4, &configs)
}

pub(super) fn contests(effort: &Effort, ground: &Rc<Ground>) -> Result<Vec<Contest>, BenchError> {
    topic(ground)?;
    let sizes = [(1_024, 300_000), (100, 1_000_000)];
    Ok(sizes.map(|(bytes, records)| contest(ground, Load::new(effort.scaled(records), bytes))).into())
}

fn contest(ground: &Rc<Ground>, load: Load) -> Contest {
    let ours = {
        let (ground, load) = (Rc::clone(ground), load.clone());
        move || write(&ground, &load)
    };
    Contest {
        name: format!("acknowledged writes, {} B, 4 partitions", load.value.len()),
        unit: "records/s",
        rounds: 7,
        better: Better::Higher,
        ours: Contender::new("sink", env!("CARGO_PKG_VERSION"), ours),
        peers: peers(ground, &load),
    }
}

/// Ours.
fn write(ground: &Ground, load: &Load) -> Result<f64, BenchError> {
    let sink = KafkaSink::open(&ground.connection(), &SinkOptions::default());
    let sink = Arc::new(sink.map_err(BenchError::of("sink"))?);
    let caller = |caller: u64| {
        let (sink, load, topic) = (Arc::clone(&sink), load.clone(), Arc::<str>::from(TOPIC));
        async move {
            for numbers in load.calls(caller) {
                let records = numbers.map(|number| Outgoing {
                    topic: Arc::clone(&topic),
                    partition: None,
                    record: Record::new(load.key(number).clone(), load.value.clone()),
                });
                for receipt in sink.send(records.collect()).await {
                    let _ = receipt?;
                }
            }
            Ok::<_, Fault>(())
        }
    };
    let (written, took) = timed(|| {
        ground.runtime.block_on(async {
            let callers: Vec<_> = (0..CALLERS).map(|number| tokio::spawn(caller(number))).collect();
            for caller in callers {
                let done = caller.await.map_err(BenchError::of("sink"))?;
                done.map_err(|fault| BenchError::of("sink")(fault.to_string()))?;
            }
            Ok::<_, BenchError>(())
        })
    });
    written?;
    Ok(load.records as f64 / took.as_secs_f64())
}

fn peers(ground: &Rc<Ground>, load: &Load) -> Vec<Contender> {
    let version = crate::versions::of_crate("rdkafka");
    let peer = |name: &str, write: fn(&Ground, &Load) -> Result<f64, BenchError>| {
        let (ground, load) = (Rc::clone(ground), load.clone());
        Contender::new(name, version.clone(), move || write(&ground, &load)).goal(0.95)
    };
    vec![
        peer("rdkafka FutureProducer", super::bare::write_futures),
        peer("rdkafka ThreadedProducer", super::bare::write_threaded),
    ]
}
