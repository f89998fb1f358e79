//! A producer that is offline more than online: a bounded disk, compressed, read again after every restart.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod compressed;
mod node;
mod nodes;
mod resumed;
mod room;
#[path = "../stage/mod.rs"]
mod stage;
mod uplink;
