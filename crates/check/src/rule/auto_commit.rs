use crate::client::{Client, Dialect, Name, Setting};
use crate::finding::Finding;

/// Offsets committed by a timer, whatever became of the records. librdkafka's timer is right where the program
/// itself stores what it has finished.
pub(super) fn check(client: &Client) -> Option<Finding> {
    if client.truth(Name::OffsetStore).is_some_and(|(_, stores)| !stores) {
        return None;
    }
    let (line, what) = match (client.get(Name::AutoCommit), client.get(Name::GroupId)) {
        (Some(setting), _) => {
            client.truth(Name::AutoCommit).filter(|(_, on)| *on)?;
            (setting.line, format!("`{}` is {}", setting.written, setting.value))
        }
        (None, Some(group)) if client.dialect != Dialect::Other && is_plain(group) => {
            (group.line, "`enable.auto.commit` is not set, and on by default".to_owned())
        }
        _ => return None,
    };
    let fix = match client.dialect {
        Dialect::Librdkafka => {
            "set `enable.auto.offset.store` to false and store an offset once its record is done, or set \
             `enable.auto.commit` to false and commit by hand"
        }
        Dialect::Java | Dialect::Other => "set it to false and commit what is done",
    };
    Some(Finding::new(
        "kafka/auto-commit",
        line,
        what,
        "the timer commits what was polled, not what was done: where records are handled beside the poll loop, \
         a crash loses all that was committed and not finished",
        fix,
    ))
}

/// Frameworks have prefixes of their own and turn the timer off: Spring since 2.3, SmallRye always.
fn is_plain(group: &Setting) -> bool {
    matches!(group.written.as_str(), "group.id" | "consumer.group.id")
}
