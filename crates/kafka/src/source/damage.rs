//! Batches whose checksum does not fit.
//!
//! The client reports such a batch without saying where, and goes on behind it. Going along would commit past
//! records that nobody has seen. So the partition is found and stays where it is: fetched again, in case the
//! damage was on the way, and held up by name where it lies on the broker's disk.

use super::KafkaSource;
use crate::error::KafkaError;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use seawall_core::{Clock, Fault, Limit};
use std::time::Duration;

/// How long the damaged partition is looked for: the poll loop waits meanwhile.
const SEARCH: Duration = Duration::from_secs(1);
const ONE: Limit = Limit { records: 1, bytes: 1 };

impl KafkaSource {
    /// Goes back to the next record of the damaged partition, or of all where it cannot be told which it is.
    pub(super) fn fetch_again(&mut self) -> Fault {
        let held = self.assigned.iter().filter(|assigned| !assigned.revoked && !assigned.void);
        let places: Vec<_> = held.map(|assigned| (assigned.tp.clone(), assigned.next)).collect();
        let until = self.clock.now().plus(SEARCH);
        let mut damaged = None;
        for (tp, next) in &places {
            if self.clock.now() >= until {
                break;
            }
            let read = self.rereader.read(tp, *next, next + 1, ONE);
            if let Err(error @ KafkaError::Refused { code: Code::BadMessage, .. }) = read {
                damaged = Some((tp, error));
                break;
            }
        }
        for (tp, next) in places.iter().filter(|(tp, _)| damaged.as_ref().is_none_or(|(it, _)| *it == tp)) {
            if let Err(error) = self.seek(tp, *next) {
                return error.into();
            }
        }
        if let Some((_, error)) = damaged {
            return error.into();
        }
        let doing = format!("fetching for group {}", self.group);
        KafkaError::refused(doing, ClientError::MessageConsumption(Code::BadMessage)).into()
    }
}
