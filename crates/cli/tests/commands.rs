//! The binary as a user meets it: each command by its arguments, its output, its exit code, and what it says
//! when something stands in its way.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it measured"
)]
#![allow(missing_docs, unreachable_pub, reason = "the house is shared by test binaries, not published")]

mod house;

#[path = "commands/checked.rs"]
mod checked;
#[path = "commands/config.rs"]
mod config;
#[path = "commands/disk.rs"]
mod disk;
#[path = "commands/letters.rs"]
mod letters;
#[path = "commands/lines.rs"]
mod lines;
#[path = "commands/owned.rs"]
mod owned;
#[path = "commands/serving.rs"]
mod serving;
#[path = "commands/tool.rs"]
mod tool;
#[path = "commands/wal.rs"]
mod wal;
