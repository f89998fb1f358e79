//! Decisions, apart from any I/O: which sink, whether to send, hold or spill, and whose turn it is.

mod link;
mod path;
mod select;
mod stride;
mod turn;

pub use path::State;
pub(crate) use path::{Disk, Facts, Machine, Route};
pub(crate) use select::{Grant, Result as Reported, Selector, Switch};
pub(crate) use stride::Stride;
pub(crate) use turn::{Pacer, Turn};
