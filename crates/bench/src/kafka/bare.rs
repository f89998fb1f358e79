//! rdkafka without us: the loops that its own documentation starts with.

use super::ground::{Ground, Pace, Stock};
use super::process::cpu;
use super::sink::{CALL, CALLERS, Load, TOPIC};
use crate::compare::{BenchError, timed};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{
    BaseRecord, DeliveryResult, FutureProducer, FutureRecord, Producer, ProducerContext, ThreadedProducer,
};
use rdkafka::{ClientConfig, ClientContext};
use seawall_core::{Clock, SystemClock};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering as Memory};
use std::time::Duration;

const WAIT: Duration = Duration::from_millis(100);

/// Polls every record of `stock` once, as a new group, with the settings of our source; commits nothing.
pub(super) fn poll_loop(ground: &Ground, stock: &Stock) -> Result<Pace, BenchError> {
    ground.fill(stock)?;
    let of = |error| BenchError::of("rdkafka")(error);
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", ground.cluster.bootstrap())
        .set("group.id", ground.new_group())
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("check.crcs", "true")
        .set("queued.max.messages.kbytes", "16384")
        .set("fetch.queue.backoff.ms", "10");
    let consumer: BaseConsumer = config.create().map_err(of)?;
    consumer.subscribe(&[stock.topic]).map_err(of)?;
    let clock = SystemClock::new();
    let mut first = None;
    let (mut records, mut bytes) = (0_u64, 0_usize);
    while records < stock.records {
        match consumer.poll(WAIT) {
            Some(message) => {
                let message = message.map_err(of)?;
                bytes += message.payload().map_or(0, <[u8]>::len);
                records += 1;
                if first.is_none() {
                    first = Some((clock.now(), cpu()));
                }
            }
            None if first.is_none() && clock.now().since(seawall_core::Nanos(0)) > Duration::from_mins(1) => {
                break;
            }
            None => {}
        }
    }
    black_box(bytes);
    match first {
        Some((since, spent)) => Ok(Pace::new(records, clock.now().since(since), cpu().saturating_sub(spent))),
        None => Err(BenchError::Incomplete { who: "rdkafka".to_owned(), done: 0, asked: stock.records }),
    }
}

/// The settings of our sink.
fn producer_config(ground: &Ground) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", ground.cluster.bootstrap())
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "5")
        .set("queue.buffering.max.kbytes", "65536")
        .set("queue.buffering.max.messages", "1000000")
        .set("batch.size", "1000000");
    config
}

/// As many callers as ours has, each waiting for as many records at a time.
pub(crate) fn write_futures(ground: &Ground, load: &Load) -> Result<f64, BenchError> {
    let producer: FutureProducer = producer_config(ground).create().map_err(BenchError::of("rdkafka"))?;
    let caller = |caller: u64| {
        let (producer, load) = (producer.clone(), load.clone());
        async move {
            for numbers in load.calls(caller) {
                let mut answers = Vec::with_capacity(CALL as usize);
                for number in numbers {
                    let record = FutureRecord::to(TOPIC).key(&load.key(number)[..]).payload(&load.value[..]);
                    answers.push(producer.send_result(record).map_err(|(error, _)| error)?);
                }
                for answer in answers {
                    answer.await.map_err(|_| ClientError::Canceled)?.map_err(|(error, _)| error)?;
                }
            }
            Ok::<_, ClientError>(())
        }
    };
    let (written, took) = timed(|| {
        ground.runtime.block_on(async {
            let callers: Vec<_> = (0..CALLERS).map(|number| tokio::spawn(caller(number))).collect();
            for caller in callers {
                let done = caller.await.map_err(BenchError::of("rdkafka"))?;
                done.map_err(BenchError::of("rdkafka"))?;
            }
            Ok::<_, BenchError>(())
        })
    });
    written?;
    Ok(load.records as f64 / took.as_secs_f64())
}

/// Counts what was acknowledged.
#[derive(Default)]
struct Acknowledged(AtomicU64);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.0.fetch_add(u64::from(result.is_ok()), Memory::Relaxed);
    }
}

/// What handing one record over costs its caller, in nanoseconds.
pub(crate) fn one_send(ground: &Ground, load: &Load) -> Result<f64, BenchError> {
    let mut config = producer_config(ground);
    config.set("queue.buffering.max.kbytes", "262144");
    let producer: ThreadedProducer<Acknowledged> =
        config.create_with_context(Acknowledged::default()).map_err(BenchError::of("rdkafka"))?;
    let (sent, took) = timed(|| {
        for number in 0..load.records {
            let record = BaseRecord::to(TOPIC).key(&load.key(number)[..]).payload(&load.value[..]);
            producer.send(record).map_err(|(error, _)| error)?;
        }
        Ok::<_, ClientError>(())
    });
    sent.map_err(BenchError::of("rdkafka"))?;
    producer.flush(Duration::from_mins(1)).map_err(BenchError::of("rdkafka"))?;
    Ok(took.as_nanos() as f64 / load.records as f64)
}

/// One thread that hands over as fast as the client takes records.
pub(crate) fn write_threaded(ground: &Ground, load: &Load) -> Result<f64, BenchError> {
    let producer: ThreadedProducer<Acknowledged> = producer_config(ground)
        .create_with_context(Acknowledged::default())
        .map_err(BenchError::of("rdkafka"))?;
    let (written, took) = timed(|| {
        for number in 0..load.records {
            let mut record = BaseRecord::to(TOPIC).key(&load.key(number)[..]).payload(&load.value[..]);
            loop {
                match producer.send(record) {
                    Ok(()) => break,
                    Err((error, back)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                        record = back;
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    Err((error, _)) => return Err(error),
                }
            }
        }
        producer.flush(Duration::from_mins(1))
    });
    written.map_err(BenchError::of("rdkafka"))?;
    let done = producer.context().0.load(Memory::Relaxed);
    if done != load.records {
        return Err(BenchError::Incomplete { who: "rdkafka".to_owned(), done, asked: load.records });
    }
    Ok(load.records as f64 / took.as_secs_f64())
}
