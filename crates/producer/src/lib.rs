//! The recoverable producer: what was acknowledged is not lost, whatever breaks.
//!
//! A [`Producer`] stands before one or more [sinks](seawall_core::Sink) in an order of preference. Records go
//! **direct** to the sink; when it fails they wait in a bounded **buffer**; when it is gone, when memory fills, or
//! when a caller asked for [`Synced`], they are **spilled** to disk; and when it is back they are **replayed**, beside
//! live records of other keys.
//!
//! The caller chooses how safe a record is to be, and the receipt's type says it:
//!
//! | receipt | given when | a crash afterwards |
//! | --- | --- | --- |
//! | [`Replicated`] | a sink said so | loses nothing |
//! | [`Synced`] | a sink said so, or the spill's fsync returned | loses nothing: it is replayed from the spill |
//! | [`Buffered`] | it is in memory; its callback hears of either of the above, or of the failure | loses it |
//!
//! Nothing is fire-and-forget: every record is answered for, at the latest after [`ProducerOptions::timeout`], with
//! a receipt or an error that says what is left of the record ([`Left`]).
//!
//! # Order and repeats
//!
//! Records of one key (and topic) are delivered in the order in which they were taken, on every path: once one is on disk or
//! on its way there, later ones queue behind it, and a record is sent again only after the call that carried it
//! has ended. A call whose outcome is unknown (a timeout, a lost acknowledgement) is repeated: **duplicates are
//! possible, reordering is not**. Each record carries one id, in the header [`TOKEN_HEADER`], given here where it
//! has none, and the same on every attempt and after every restart, so that a repeat is recognised downstream. A sink
//! that ends no call within [`ProducerOptions::call_timeout`] is given up on, and may then write its copy late: such a
//! late repeat is recognised by its id, too.
//!
//! A record that fails while the sink takes others holds up its own key alone: it waits on disk, is asked for by itself
//! with the usual backoff, and everything else is delivered past it. (Up to 256 such records at once; further ones slow
//! down their lane. Until it is dealt with, the segments from it on stay on disk and count against the budget.)
//!
//! Over several sinks: a key is handed to another sink only after its last call ended, so each sink sees its records of a
//! key in order. Which sink has which part of the key's history follows from the times of the switches; a reader of
//! both clusters merges them by id and timestamp, the producer gives no order between clusters.
//!
//! # The disk
//!
//! See [`spill`] for what lies there. Opening judges everything by reading before it writes: a spill of another
//! owner or version, a damaged manifest or segment is a named [`OpenError`] and leaves every byte as it is. What the
//! disk can do, and what then happens (each row is the test `disk_trouble` of that name):
//!
//! | trouble | what holds |
//! | --- | --- |
//! | `no_space` (`ENOSPC`), or the spill's own budget used up | nothing of the batch gets a receipt; records wait in memory, sends wait up to `max_block` and are refused with [`SendError::Full`], which names the cause; it goes on by itself when there is room |
//! | `eio_on_write`, `eio_on_fsync` | the segment is never written again; what had no receipt is written to a new one; only if that fails, too, it waits in memory as above |
//! | `hangs`: the disk answers nothing | every caller hears at the end of its `timeout`, with [`Left::Unknown`] where its record was on its way; what the disk takes after all is delivered |
//! | `hangs_while_calls_take_long`: it answers nothing while a sink is slow | after 2 s nothing more is given to it, and its trouble is shown; what the sink answers is told, and the sink's calls go on, but for keys that are on their way to the disk |
//! | `hangs_with_a_part_of_a_call`: it has a part of the records of a key of such a call | the first of them is told; what follows it is written behind it, or told [`Left::Unknown`], since a crash would repeat the first |
//! | `hangs_not_while_it_is_slow`: each sync takes more than a second | it answers, so it does not hang |
//! | `hangs_at_the_end`: it answers nothing while the producer closes | as above; [`Producer::close`] returns a `timeout` after the sinks' time, and the spill is locked until the disk answers |
//! | `hangs_while_a_record_is_put_aside`: it answers nothing while a sink refuses a record for good | that record's lane waits for it; the others go on |
//! | `remounted_read_only` | as no space; what is on disk is still replayed |
//! | `directory_removed` | as no space, once a new segment is needed; what is in files still open is replayed; what was in others is gone, as for any program whose files are deleted |
//! | `segment_corrupted` | at start [`OpenError::Wal`] names segment and byte, and `seawall wal repair` says what can be done; while running the replay stops before it, and says so in [`Snapshot::spill_trouble`] |
//!
//! # Mostly offline
//!
//! A producer that reaches its sink for a few seconds now and then delivers in those:
//!
//! - Progress is durable after [`ReplayOptions::checkpoint_bytes`], and a second after a delivery at the latest: about as much
//!   is sent again by the next life, whatever ended this one. (More seldom where a record that fails alone stays in front of
//!   thousands that were delivered: a millisecond later for each gap, and not at all where the budget has no room for it.)
//! - Each lane begins its replay with calls of 4 KiB and doubles them while they come back within 250 ms, so that a narrow
//!   way brings something to its end before it closes. (A single record that takes longer than every window does not.)
//! - [`SpillOptions::compression`] keeps more on the same disk. What the files take, not what they hold, stays within
//!   [`SpillOptions::disk_bytes_max`].
//! - No timer goes by the wall: it may jump by years in either direction, and nothing waits, expires or is deleted by it.
//!   A record keeps the time it was given. The wall's time stands in [`Event`]s and in the segments' headers, for people.
//!
//! ```
//! use seawall_core::{Durability, Outgoing, Record};
//! use seawall_producer::{Producer, ProducerOptions, SpillOptions, Synced, Target};
//! # use seawall_core::{Fault, Receipt, Sink, TopicPartition};
//! # struct Nowhere;
//! # impl Sink for Nowhere {
//! #     async fn send(&self, records: Vec<Outgoing>) -> Vec<Result<Receipt, Fault>> {
//! #         let receipt = |o: &Outgoing| Receipt { partition: TopicPartition::new(o.topic.clone(), 0), offset: 0, durability: Durability::Replicated };
//! #         records.iter().map(|o| Ok(receipt(o))).collect()
//! #     }
//! # }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let (kafka, dir) = (Nowhere, dir.path().join("spill"));
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let options = ProducerOptions { spill: Some(SpillOptions::new(dir, "orders")), ..ProducerOptions::default() };
//! let producer = Producer::open(options, vec![Target::new("kafka", kafka)])?;
//! let order = Outgoing { topic: "orders".into(), partition: None, record: Record::new(None, "one book") };
//! let receipt = producer.send::<Synced>(order).await?;
//! println!("safe: {:?}", receipt.place);
//! producer.close(std::time::Duration::from_secs(5)).await;
//! # Ok(()) })
//! # }
//! ```
//!
//! [`TOKEN_HEADER`]: seawall_core::token::TOKEN_HEADER

pub mod spill;

mod admit;
mod answer;
mod draft;
mod error;
mod grade;
mod ids;
mod inbox;
mod options;
mod producer;
mod pump;
mod route;
mod sink;
mod stats;

pub use error::{Left, OpenError, SendError};
pub use grade::{Buffered, Grade, Outcome, Replicated, Safe, Synced};
pub use options::{Compression, Driver, ProducerOptions, ReplayOptions, SpillOptions};
pub use producer::Producer;
pub use route::State;
pub use sink::Target;
pub use stats::{Event, Happening, Path, SinkSnapshot, Snapshot};
