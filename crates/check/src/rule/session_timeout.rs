use crate::client::{Client, Name};
use crate::finding::Finding;

/// Kafka's default since 3.0 (KIP-735).
pub(super) const SESSION_MS: f64 = 45_000.0;

/// A session shorter than pauses that healthy processes have.
pub(super) fn check(client: &Client) -> Option<Finding> {
    if client.broker_assigns() {
        return None;
    }
    let (setting, session) = client.milliseconds(Name::SessionTimeout)?;
    (session < SESSION_MS).then(|| {
        Finding::new(
            "kafka/session-timeout",
            setting.line,
            format!("`{}` is {}: less than {SESSION_MS} ms", setting.written, setting.value),
            "a pause of the runtime, a busy machine or a short cut of the network throws a healthy member out: \
             the group rebalances, and what was in flight is handled twice",
            "set it to 45000 ms, or use static membership where a dead member must be noticed sooner",
        )
    })
}
