//! Reading without a group: for tools and for dead letters.

use crate::broker::Broker;
use crate::error::LogError;
use seawall_core::{Batch, Limit, Offset, TopicPartition};
use seawall_wal::Disk;

impl<D: Disk> Broker<D> {
    /// Reads from offset `from` on; below the start it begins at the start, at the end it is empty. Blocks for
    /// the disk.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`], [`LogError::UnknownPartition`]; [`LogError::Wal`] and [`LogError::Frame`]
    /// name damage.
    pub fn fetch(&self, topic: &str, partition: u32, from: Offset, limit: Limit) -> Result<Batch, LogError> {
        let topic = self.shared.topic(topic)?;
        let partition = topic.partition(partition)?;
        partition.read(&partition.reader(), from, limit)
    }

    /// The lowest offset that can be read.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`], [`LogError::UnknownPartition`].
    pub fn start_offset(&self, topic: &str, partition: u32) -> Result<Offset, LogError> {
        Ok(self.shared.topic(topic)?.partition(partition)?.start())
    }

    /// One past the last durable record.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`], [`LogError::UnknownPartition`].
    pub fn end_offset(&self, topic: &str, partition: u32) -> Result<Offset, LogError> {
        Ok(self.shared.topic(topic)?.partition(partition)?.end())
    }

    /// Waits until the partition holds a durable record at or above `offset`; its end then.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`], [`LogError::UnknownPartition`], [`LogError::Closed`].
    pub async fn await_beyond(&self, partition: &TopicPartition, offset: Offset) -> Result<Offset, LogError> {
        let mut ends = self.shared.partition(partition)?.watch();
        // The broker is borrowed, so the partition outlives the wait; what ends it early is a close.
        loop {
            let end = *ends.borrow_and_update();
            if end > offset {
                return Ok(end);
            }
            if self.shared.queue.is_closed() {
                return Err(LogError::Closed);
            }
            ends.changed().await.map_err(|_| LogError::Closed)?;
        }
    }
}
