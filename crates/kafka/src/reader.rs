//! Records by offset, without a group.

use crate::connection::Connection;
use crate::error::KafkaError;
use crate::source::Rereader;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use seawall_core::{Batch, Clock, Limit, Offset, SystemClock, TopicPartition};
use std::sync::Arc;
use std::time::Duration;

/// Reads records of any partition by offset. It joins no group and moves no position; one read at a time.
pub struct Reader {
    inner: Rereader,
    timeout: Duration,
    clock: SystemClock,
}

impl Reader {
    /// A reader of the cluster of `connection` whose reads wait for a broker at most `timeout`. No broker is
    /// asked yet.
    pub fn open(connection: &Connection, timeout: Duration) -> Self {
        // The client wants a group's name to assign anything, and never uses it.
        let inner = Rereader::of_ranges(connection.clone(), Arc::from("seawall-reader"), timeout);
        Self { inner, timeout, clock: SystemClock::new() }
    }

    /// Records of `partition` in `from..to`, at least one where there is one. An answer without records has
    /// nothing but gaps up to its `next`, which lies above `from`.
    ///
    /// # Errors
    /// [`KafkaError::Refused`], of the class `Transient` where no broker answered in time.
    pub fn read(
        &mut self,
        partition: &TopicPartition,
        from: Offset,
        to: Offset,
        limit: Limit,
    ) -> Result<Batch, KafkaError> {
        let until = self.clock.now().plus(self.timeout);
        loop {
            let batch = self.inner.read(partition, from, to, limit)?;
            if batch.next > from || from >= to {
                return Ok(batch);
            }
            if until.since(self.clock.now()).is_zero() {
                let source = ClientError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
                return Err(KafkaError::refused(format!("reading {partition} from {from}"), source));
            }
        }
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
