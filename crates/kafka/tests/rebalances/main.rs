//! The shipped consumer runtime over real groups of a real broker, through rebalances and stalls: a test for each
//! bug that users of other systems report, named by what holds here instead.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test may panic, and waits"
)]

mod commits;
mod diary;
mod halts;
mod members;
mod order;
mod parked;
mod retries;
mod stage;
mod stalls;
mod zombies;
