//! The embedded broker, opened with what nearly everybody wants.

use crate::Error;
use bytes::Bytes;
use seawall_core::{Outgoing, Receipt, Record, Sink};
use seawall_guard::TscClock;
use seawall_log::{Broker, BrokerOptions, Driver, TopicOptions};
use seawall_wal::RealDisk;
use std::path::Path;
use std::sync::Arc;

/// The durable, embedded broker of this process. Clones share it.
#[derive(Clone, Debug)]
pub struct Log {
    broker: Broker,
}

impl Log {
    /// Opens the log in `dir`, or makes one. A torn tail that no receipt was given for is cut; one process owns
    /// the directory.
    ///
    /// # Errors
    /// [`Error::Log`]: another process owns it, it is damaged, or the disk said no.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, Error> {
        let clock = Arc::new(TscClock::new());
        let (broker, _) = Broker::open(RealDisk, BrokerOptions::new(dir.as_ref()), clock, Driver::Thread)?;
        Ok(Self { broker })
    }

    /// Makes a topic of `partitions` (1 to 1,024) partitions; fine where it exists just so. Whether it is new.
    ///
    /// # Errors
    /// [`Error::Log`]: a name or a number that is not accepted, or a topic with other partitions.
    pub fn create_topic(&self, name: &str, partitions: u32) -> Result<bool, Error> {
        Ok(self.broker.create_topic(name, TopicOptions::partitions(partitions))?)
    }

    /// Appends one record; the receipt says [`Synced`](crate::Durability::Synced): no crash and no power cut
    /// loses it. Many callers at once share one fsync.
    ///
    /// # Errors
    /// [`Error::NotTaken`] with the class: `Overload` and `Transient` may be tried again.
    pub async fn send(
        &self,
        topic: &str,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<Receipt, Error> {
        let mut record = Record::new(key.into(), value.into());
        record.timestamp = self.broker.clock().wall();
        let outgoing = Outgoing { topic: Arc::from(topic), partition: None, record };
        let mut receipts = self.broker.send(vec![outgoing]).await;
        receipts.pop().unwrap_or_else(|| Err(seawall_log::LogError::Closed.into())).map_err(Error::NotTaken)
    }

    /// The broker itself, with everything that it can do.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Syncs and closes; sends are refused from now on. Drain the pipelines first.
    ///
    /// # Errors
    /// [`Error::Log`]: what the disk said.
    pub fn close(&self) -> Result<(), Error> {
        Ok(self.broker.close()?)
    }
}
