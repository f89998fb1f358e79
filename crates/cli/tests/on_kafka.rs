//! What a user meets with pipelines on a real broker: logins, lines in and out, dead letters, brokers that are away,
//! members that are thrown out.

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

#[path = "on_kafka/letters.rs"]
mod letters;
#[path = "on_kafka/lines.rs"]
mod lines;
#[path = "on_kafka/parked.rs"]
mod parked;
#[path = "on_kafka/retry_topics.rs"]
mod retry_topics;
#[path = "on_kafka/stage.rs"]
mod stage;
#[path = "on_kafka/start.rs"]
mod start;
#[path = "commands/tool.rs"]
mod tool;
