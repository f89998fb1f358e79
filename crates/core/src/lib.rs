//! The words of Seawall, and the seams between its parts.
//!
//! Everything above speaks in these types: a [`Record`] is what a producer wrote, a [`Delivery`] is one
//! attempt to have it handled, an [`Outcome`] is what the handler said of it, a [`Fault`] is why not.
//! The seams are [`source::Source`] (where records come from), [`sink::Sink`] (where they go) and
//! [`handler::Handler`] (who handles them). There is no I/O here, and time is always a parameter
//! ([`clock::Clock`]), so that the same code runs in production and under simulation.

pub mod clock;
pub mod codec;
pub mod context;
pub mod delivery;
pub mod fault;
pub mod handler;
pub mod name;
pub mod outcome;
pub mod record;
pub mod sink;
pub mod source;
pub mod token;

pub use clock::{Clock, Nanos, SystemClock, WallMs};
pub use context::{Cancel, Context};
pub use delivery::{Delivery, Fence};
pub use fault::{Class, Classify, Fault};
pub use handler::{Handler, HandlerFn};
pub use outcome::Outcome;
pub use record::{Header, Headers, Record, RecordError};
pub use sink::{Durability, Outgoing, Receipt, Sink};
pub use source::{
    Batch, Commit, Event, Fetched, Generation, Limit, Offset, Origin, PartitionId, Position, Source,
    TopicPartition, Waker,
};
pub use token::Token;
