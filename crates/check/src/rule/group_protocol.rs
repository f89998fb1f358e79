use crate::client::{Client, Name};
use crate::finding::Finding;

/// Settings of the classic protocol beside the new one (KIP-848).
pub(super) fn check(client: &Client) -> Option<Finding> {
    if !client.broker_assigns() {
        return None;
    }
    let classic = [Name::SessionTimeout, Name::HeartbeatInterval, Name::Assignor];
    let setting = classic.iter().find_map(|name| client.get(*name))?;
    Some(Finding::new(
        "kafka/group-protocol",
        setting.line,
        format!("`{}` is set, and `group.protocol` is consumer", setting.written),
        "with this protocol the broker decides it, and the client refuses to start",
        format!(
            "leave `{}` out; the broker has `group.consumer.session.timeout.ms`, \
             `group.consumer.heartbeat.interval.ms` and `group.consumer.assignors`",
            setting.written
        ),
    ))
}
