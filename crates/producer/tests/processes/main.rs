//! Real processes on real disks: killed at random instants, and flooded in a small memory.
//!
//! The program runs itself as the process that is killed or flooded ([`child`]); its sink is a collector over TCP
//! in the test ([`collector`]), which outlives it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
#![allow(clippy::print_stdout, reason = "a test prints what it measured")]

mod cgroup;
mod child;
mod collector;
mod flood;
mod killed;
#[path = "../stage/mod.rs"]
mod stage;

fn is_soak() -> bool {
    std::env::var_os("SEAWALL_SOAK").is_some()
}
