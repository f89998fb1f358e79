//! What a user meets with a `[producer]`: clusters that go away and come back, a spill that fills up, a choice of
//! receipts, and the commands that look into a spill.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it measured"
)]
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "the house is shared by test binaries, not published"
)]

mod house;

#[path = "recoverable/acknowledged.rs"]
mod acknowledged;
#[path = "recoverable/chosen.rs"]
mod chosen;
#[path = "recoverable/closed.rs"]
mod closed;
#[path = "recoverable/clusters.rs"]
mod clusters;
#[path = "recoverable/codecs.rs"]
mod codecs;
#[path = "recoverable/failed_over.rs"]
mod failed_over;
#[path = "recoverable/full.rs"]
mod full;
#[path = "recoverable/letters.rs"]
mod letters;
#[path = "recoverable/restarted.rs"]
mod restarted;
#[path = "recoverable/spilled.rs"]
mod spilled;
#[path = "on_kafka/stage.rs"]
mod stage;
#[path = "commands/tool.rs"]
mod tool;
