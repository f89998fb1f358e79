use super::session_timeout::SESSION_MS;
use crate::client::{Client, Name};
use crate::finding::Finding;

/// Kafka's default: a rebalance waits for every member's next heartbeat.
const HEARTBEAT_MS: f64 = 3_000.0;

/// Heartbeats too rare for the session, or so rare that rebalances wait for them.
pub(super) fn check(client: &Client) -> Option<Finding> {
    if client.broker_assigns() {
        return None;
    }
    let (setting, heartbeat) = client.milliseconds(Name::HeartbeatInterval)?;
    let session = client.milliseconds(Name::SessionTimeout).map_or(SESSION_MS, |(_, session)| session);
    let (said, why) = if heartbeat > session / 3.0 {
        (
            format!("more than a third of the session timeout ({session} ms)"),
            "two lost heartbeats throw a healthy member out of its group, and its records are handled twice",
        )
    } else if heartbeat > HEARTBEAT_MS {
        (
            format!("more than {HEARTBEAT_MS} ms"),
            "members hear of a rebalance by their next heartbeat, so the whole group stands still for so long",
        )
    } else {
        return None;
    };
    Some(Finding::new(
        "kafka/heartbeat-interval",
        setting.line,
        format!("`{}` is {}: {said}", setting.written, setting.value),
        why,
        "set it to 3000 ms, and the session timeout to 45000 ms",
    ))
}
