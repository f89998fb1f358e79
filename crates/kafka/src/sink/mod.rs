//! Records into Kafka: an idempotent producer that answers for each record, and a transactional one.
//!
//! **What idempotence gives.** The broker knows each producer session and numbers its batches per partition: a
//! batch that is sent again because its acknowledgement was lost is recognised and not written twice, and with
//! up to five batches on the way none overtakes an earlier one. So within one [`KafkaSink`] a record that got a
//! receipt stands in the log exactly once, and the records of one call keep their order per key.
//!
//! **What it does not give.** A record that got an error may still be written; sent again it stands there twice, told
//! apart by its token. Order across calls is the caller's: wait for the first before the second.
//!
//! **Time.** A client that drops a record whose time is up drops it out of the middle of its queue: the broker comes back
//! in that moment, and a later record of the key stands before it. So the client's queue has no time limit. A call whose
//! answers do not come within [`SinkOptions::delivery_timeout`] is given up, and its records stay in the queue, in
//! order, before everything that is sent later. Until they are answered further records of their keys are refused,
//! class `Transient`: sent again, they would only fill the queue with copies. Where a broker refuses an earlier record for
//! a while and takes a later one of its key, the later one is reported as failed, too ([`SinkError::Overtook`]).
//!
//! **Bounds.** Records wait for their broker in the client's queue, bounded in bytes and records, given up or not; a call
//! waits a bounded time for room and is then refused with the class `Overload`, from that record on. How large a record may be
//! is [`SinkOptions::record_bytes_max`] and the topic's `max.message.bytes`, and nothing else: what came from a cluster fits.
//! A broker measures batches by the latter: to a topic that refuses one, smaller ones are sent from then on.
//!
//! **A client that failed for good** is replaced, at most every ten seconds; what it had not written is told as failed.

mod call;
mod client;
mod delivery;
mod error;
mod narrow;
mod options;
mod order;
mod pieces;
mod send;
mod stale;
mod transaction;

pub use error::SinkError;
pub use options::{Compression, SinkOptions};
pub use send::KafkaSink;
pub use transaction::{GroupMetadata, Transaction, TransactionalSink};
