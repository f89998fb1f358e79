//! Bad input and bad days, each on a real broker: what is said of it, whether it is worth another attempt, and
//! whether what can recover does so by itself.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test may panic, and waits"
)]

#[path = "refusals/batches.rs"]
mod batches;
#[path = "refusals/codes.rs"]
mod codes;
#[path = "refusals/damage.rs"]
mod damage;
#[path = "refusals/rights.rs"]
mod rights;
#[path = "refusals/stage.rs"]
mod stage;
