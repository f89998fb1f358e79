//! The way from a node to its cluster: open now and then, narrow, and cut off in the middle of things.

use crate::stage::{Shelf, named};
use seawall_core::token::TOKEN_HEADER;
use seawall_core::{Class, Clock, Durability, Fault, Nanos, Outgoing, Receipt, Sink, TopicPartition, WallMs};
use seawall_testkit::SimClock;
use seawall_testkit::power::{Power, Site};
use std::sync::Arc;
use std::time::Duration;

/// A round trip.
const LATENCY: Duration = Duration::from_millis(60);
/// How long the client of the cluster tries before it says that it could not.
const CLIENT: Duration = Duration::from_secs(2);

/// When the way is open.
#[derive(Clone, Debug)]
pub(crate) struct Windows(Arc<Vec<(Nanos, Nanos)>>);

impl Windows {
    /// One window somewhere in each of `cycles`, open for a tenth of it.
    pub(crate) fn draw(rng: &mut fastrand::Rng, cycles: u32, cycle: Duration) -> Self {
        let open = cycle / 10;
        let window = |nth: u32| {
            let latest = (open * 9).as_millis() as u64;
            let from = Nanos(0).plus(cycle * nth + Duration::from_millis(rng.u64(0..latest)));
            (from, from.plus(open))
        };
        Self(Arc::new((0..cycles).map(window).collect()))
    }

    pub(crate) fn never() -> Self {
        Self(Arc::new(Vec::new()))
    }

    /// Open from now on.
    pub(crate) fn always() -> Self {
        Self(Arc::new(vec![(Nanos(0), Nanos(u64::MAX))]))
    }

    pub(crate) fn last(&self) -> (Nanos, Nanos) {
        *self.0.last().unwrap()
    }

    /// The window that is open at `now`, or the next one.
    pub(crate) fn next(&self, now: Nanos) -> Option<(Nanos, Nanos)> {
        self.0.iter().find(|(_, end)| now < *end).copied()
    }
}

/// The time that a record carries: a node's clock may show any year.
pub(crate) fn stamp(n: u64) -> WallMs {
    WallMs(n as i64 * 86_400_000 - 400_000_000_000)
}

#[derive(Clone)]
pub(crate) struct Uplink {
    pub(crate) shelf: Shelf,
    pub(crate) clock: SimClock,
    pub(crate) windows: Windows,
    pub(crate) bytes_per_second: u64,
    pub(crate) power: Power,
}

impl Uplink {
    async fn until(&self, at: Nanos) {
        tokio::time::sleep(at.since(self.clock.now())).await;
    }

    fn write(&self, outgoing: &Outgoing) -> Receipt {
        let (key, n) = named(outgoing);
        assert_eq!(outgoing.record.timestamp, stamp(n), "{key}:{n} has another time than it was given");
        let id = outgoing.record.headers.get_str(TOKEN_HEADER).unwrap().to_owned();
        self.shelf.put(std::iter::once((key, n, id)));
        let partition = TopicPartition::new(outgoing.topic.clone(), 0);
        Receipt { partition, offset: 0, durability: Durability::Replicated }
    }
}

impl Sink for Uplink {
    async fn send(&self, records: Vec<Outgoing>) -> Vec<Result<Receipt, Fault>> {
        self.power.alive(Site::BeforeSend).await;
        let give_up = self.clock.now().plus(CLIENT);
        let away = || Err(Fault::new(Class::Transient, "no way to the cluster"));
        let mut answers: Vec<_> = records.iter().map(|_| away()).collect();
        let window = self.windows.next(self.clock.now()).filter(|(from, _)| *from < give_up);
        let Some((from, end)) = window else {
            self.until(give_up).await;
            return answers;
        };
        self.until(from).await;
        tokio::time::sleep(LATENCY / 2).await;
        for (outgoing, answer) in records.iter().zip(&mut answers) {
            let nanos = outgoing.record.weight() as u64 * 1_000_000_000 / self.bytes_per_second;
            tokio::time::sleep(Duration::from_nanos(nanos)).await;
            self.power.alive(Site::BeforeSend).await;
            if self.clock.now() >= end {
                break;
            }
            let receipt = self.write(outgoing);
            // The way back may close before it is used.
            if self.clock.now().plus(LATENCY / 2) < end {
                *answer = Ok(receipt);
            }
        }
        tokio::time::sleep(LATENCY / 2).await;
        if answers.iter().any(Result::is_err) {
            self.until(give_up).await;
        }
        self.power.alive(Site::AfterSend).await;
        answers
    }
}
