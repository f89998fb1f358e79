//! Keeping leases alive while handlers run.
//!
//! A claim is renewed at a third of its lease, so that two renewals may fail before it ends. One that could not
//! be renewed is called lost *before* its lease ends, a margin earlier, so that the handler is cancelled while
//! nobody else can hold the claim yet. That is as good as cancellation gets: a handler that does not stop
//! at once is stopped by its fence.
//!
//! [`schedule`] decides what is due when, and is pure; [`keeper`] asks the store and tells the handlers.

pub mod keeper;
pub mod schedule;

pub use keeper::{Keeper, Kept, LostLease};
pub use schedule::{LeaseTimes, Live, Renewals};
