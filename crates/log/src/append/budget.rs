//! The bound of the append queue, in records and in bytes. Policy: wait, at most so long, then refuse.

use crate::error::LogError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for what waits to be written. First come, first served.
#[derive(Debug)]
pub(crate) struct Budget {
    records: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    records_max: usize,
    bytes_max: usize,
    wait_max: Duration,
}

/// Room taken; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Room {
    _records: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Budget {
    pub(crate) fn new(records_max: usize, bytes_max: usize, wait_max: Duration) -> Self {
        Self {
            records: Arc::new(Semaphore::new(records_max)),
            bytes: Arc::new(Semaphore::new(bytes_max)),
            records_max,
            bytes_max,
            wait_max,
        }
    }

    /// The most a single call should ask for, so that several callers fit at once.
    pub(crate) fn share(&self) -> (usize, usize) {
        ((self.records_max / 4).max(1), (self.bytes_max / 4).max(1))
    }

    /// Takes room for `records` of `bytes`. What is larger than the whole takes the whole.
    pub(crate) async fn admit(&self, records: usize, bytes: usize) -> Result<Room, LogError> {
        // Both bounds are checked to fit at opening.
        let records = u32::try_from(records.min(self.records_max)).unwrap_or(u32::MAX);
        let bytes = u32::try_from(bytes.min(self.bytes_max)).unwrap_or(u32::MAX);
        let taken = (
            Arc::clone(&self.records).try_acquire_many_owned(records),
            Arc::clone(&self.bytes).try_acquire_many_owned(bytes),
        );
        if let (Ok(records), Ok(bytes)) = taken {
            return Ok(Room { _records: records, _bytes: bytes });
        }
        let both = async {
            // Always in this order, so that no two callers hold what the other waits for.
            let records = Arc::clone(&self.records).acquire_many_owned(records).await;
            let bytes = Arc::clone(&self.bytes).acquire_many_owned(bytes).await;
            (records, bytes)
        };
        match tokio::time::timeout(self.wait_max, both).await {
            Ok((Ok(records), Ok(bytes))) => Ok(Room { _records: records, _bytes: bytes }),
            Ok(_) => Err(LogError::Closed),
            Err(_) => Err(LogError::Overload {
                records_max: self.records_max,
                bytes_max: self.bytes_max,
                waited: self.wait_max,
            }),
        }
    }

    /// Refuses everybody from now on, those who wait too.
    pub(crate) fn close(&self) {
        self.records.close();
        self.bytes.close();
    }
}
