//! The claim machine: the words ([`request`]) and the rules ([`machine`]).

pub mod machine;
pub mod request;

pub use machine::{Fenced, Slot};
pub use request::{Claim, ClaimRequest, Completion, OwnerId, Release, Renewal, State};
