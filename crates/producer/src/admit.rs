//! Room in memory, in bytes and in records. First come, first served; at its end a send waits, then is refused.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Semaphore;

#[derive(Debug)]
pub(crate) struct Budget {
    bytes: Semaphore,
    records: Semaphore,
    bytes_max: usize,
    records_max: usize,
    refused: AtomicU64,
}

/// Room taken for several records at once; what they did not need comes back when this is dropped.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    budget: &'a Budget,
    bytes: usize,
    records: usize,
}

impl Room<'_> {
    /// Uses room for one record, to be given back by [`Budget::free`]; whether there was enough.
    pub(crate) fn spend(&mut self, bytes: usize) -> bool {
        let fits = self.records > 0 && bytes <= self.bytes;
        if fits {
            (self.bytes, self.records) = (self.bytes - bytes, self.records - 1);
        }
        fits
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.budget.free(self.bytes, self.records);
    }
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    Full,
    Closed,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize, records_max: usize) -> Self {
        let (bytes, records) = (Semaphore::new(bytes_max), Semaphore::new(records_max));
        Self { bytes, records, bytes_max, records_max, refused: AtomicU64::new(0) }
    }

    /// Room for `records` records of `bytes` altogether, where it is there at once and nobody waits for it; else none.
    pub(crate) fn take_ahead(&self, bytes: usize, records: usize) -> Room<'_> {
        let none = Room { budget: self, bytes: 0, records: 0 };
        let (Ok(wanted), Ok(count)) = (u32::try_from(bytes), u32::try_from(records)) else { return none };
        match (self.bytes.try_acquire_many(wanted), self.records.try_acquire_many(count)) {
            (Ok(taken), Ok(places)) => {
                taken.forget();
                places.forget();
                Room { bytes, records, ..none }
            }
            _ => none,
        }
    }

    /// Takes room, to be given back by [`Budget::free`].
    pub(crate) async fn admit(&self, bytes: usize, max_block: Duration) -> Result<(), NoRoom> {
        let wanted = u32::try_from(bytes.min(self.bytes_max)).unwrap_or(u32::MAX);
        if let Ok(taken) = self.bytes.try_acquire_many(wanted)
            && let Ok(record) = self.records.try_acquire()
        {
            taken.forget();
            record.forget();
            return Ok(());
        }
        // Always in this order, so that no two callers hold what the other waits for.
        let both = async {
            let bytes = self.bytes.acquire_many(wanted).await;
            let record = self.records.acquire().await;
            (bytes, record)
        };
        match tokio::time::timeout(max_block, both).await {
            Ok((Ok(bytes), Ok(record))) => {
                bytes.forget();
                record.forget();
                Ok(())
            }
            Ok(_) => Err(NoRoom::Closed),
            Err(_) => {
                self.refused.fetch_add(1, Relaxed);
                Err(NoRoom::Full)
            }
        }
    }

    /// Gives room back.
    pub(crate) fn free(&self, bytes: usize, records: usize) {
        if bytes > 0 {
            self.bytes.add_permits(bytes);
        }
        if records > 0 {
            self.records.add_permits(records);
        }
    }

    /// Refuses everybody from now on, those who wait too.
    pub(crate) fn close(&self) {
        self.bytes.close();
        self.records.close();
    }

    /// Bytes and records taken.
    pub(crate) fn used(&self) -> (usize, usize) {
        let bytes = self.bytes_max.saturating_sub(self.bytes.available_permits());
        (bytes, self.records_max.saturating_sub(self.records.available_permits()))
    }

    /// Sends refused for want of room.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_taken_ahead_comes_back_where_it_was_not_needed() {
        let budget = Budget::new(1_000, 10);
        let mut room = budget.take_ahead(600, 2);
        assert!(room.spend(200) && !room.spend(500) && room.spend(100) && !room.spend(1));
        drop(room);
        assert_eq!(budget.used(), (300, 2));
        assert!(!budget.take_ahead(800, 1).spend(1), "all of it or none");
        assert!(!budget.take_ahead(1, 9).spend(1), "all of it or none");
        budget.free(300, 2);
        assert_eq!(budget.used(), (0, 0));
    }
}
