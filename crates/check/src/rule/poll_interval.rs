use crate::client::{Client, Name};
use crate::finding::Finding;

/// Kafka's default since 0.10.1.
const POLL_MS: f64 = 300_000.0;

/// Less time between polls than Kafka's own default.
pub(super) fn check(client: &Client) -> Option<Finding> {
    let (setting, interval) = client.milliseconds(Name::PollInterval)?;
    (interval < POLL_MS).then(|| {
        Finding::new(
            "kafka/poll-interval",
            setting.line,
            format!("`{}` is {}: less than {POLL_MS} ms", setting.written, setting.value),
            "a handler that takes longer once, as when a database is slow, makes the member leave its group; \
             the next owner gets the same records, and slows down the same way",
            "leave it at 300000 ms or more, and poll from a thread that never waits for a handler",
        )
    })
}
