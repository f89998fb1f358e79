//! The names of the headers that tell a dead letter's story.

/// The error of the last attempt, the whole chain in one line.
pub const ERROR: &str = "seawall-dlq-error";
/// The class of that error: `transient`, `permanent`, `overload` or `bug`.
pub const CLASS: &str = "seawall-dlq-class";
/// Attempts that counted, in decimal.
pub const ATTEMPTS: &str = "seawall-dlq-attempts";
/// When the first attempt failed, in milliseconds since the Unix epoch.
pub const FIRST_FAILED_MS: &str = "seawall-dlq-first-failed-ms";
/// When the last attempt failed, in milliseconds since the Unix epoch.
pub const LAST_FAILED_MS: &str = "seawall-dlq-last-failed-ms";
/// The topic it was read from.
pub const ORIGIN_TOPIC: &str = "seawall-dlq-origin-topic";
/// The partition it was read from.
pub const ORIGIN_PARTITION: &str = "seawall-dlq-origin-partition";
/// Its offset there.
pub const ORIGIN_OFFSET: &str = "seawall-dlq-origin-offset";
/// The token its effect is known by; a redrive keeps it.
pub const TOKEN: &str = "seawall-dlq-token";
/// The pipeline that gave up.
pub const PIPELINE: &str = "seawall-dlq-pipeline";
/// The timestamp that the record had before, in milliseconds since the Unix epoch. As a dead letter it has the time at which it
/// was sent there: brokers judge by it what is too old to be kept.
pub const TIMESTAMP_MS: &str = "seawall-dlq-timestamp-ms";

/// All of them: what a redrive takes off again.
pub const ALL: [&str; 11] = [
    ERROR,
    CLASS,
    ATTEMPTS,
    FIRST_FAILED_MS,
    LAST_FAILED_MS,
    ORIGIN_TOPIC,
    ORIGIN_PARTITION,
    ORIGIN_OFFSET,
    TOKEN,
    PIPELINE,
    TIMESTAMP_MS,
];
