//! Records into Kafka: an idempotent producer that answers for each record, and a transactional one.
//!
//! **What idempotence gives.** The broker knows each producer session and numbers its batches per partition: a
//! batch that is sent again because its acknowledgement was lost is recognised and not written twice, and with
//! up to five batches on the way none overtakes an earlier one. So within one [`KafkaSink`] a record that got a
//! receipt stands in the log exactly once, and the records of one call keep their order per key.
//!
//! **What it does not give.** A record that got an error may still have been written (its acknowledgement never
//! came in time); sent again it stands there twice, told apart by its token. And while a broker is away an
//! earlier record can run out of time that a later one of its key still has. Such a later record is reported as
//! failed, too ([`SinkError::Overtook`]), so that a caller who resends what failed, in order, ends with the
//! last word of each key last. Order across calls is the caller's: wait for the first before the second.
//!
//! **Bounds.** Records wait for their broker in the client's queue, bounded in bytes and records; a call waits a
//! bounded time for room and is then refused with the class `Overload`, from that record on. A record that
//! was taken waits at most [`SinkOptions::delivery_timeout`].

mod call;
mod delivery;
mod error;
mod options;
mod order;
mod send;
mod transaction;

pub use error::SinkError;
pub use options::{Compression, SinkOptions};
pub use send::KafkaSink;
pub use transaction::{GroupMetadata, Transaction, TransactionalSink};
