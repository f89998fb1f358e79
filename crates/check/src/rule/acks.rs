use crate::client::{Client, Name};
use crate::finding::Finding;

/// Acknowledgements of fewer replicas than are in sync.
pub(super) fn check(client: &Client) -> Option<Finding> {
    let setting = client.get(Name::Acks)?;
    let value = setting.value.trim();
    // A template is filled in later.
    let known =
        ["0", "1", "none", "one", "leader", "noresponse", "waitforlocal", "requirenone", "requireone"];
    if !known.contains(&value.to_ascii_lowercase().replace('_', "").as_str()) {
        return None;
    }
    Some(Finding::new(
        "kafka/acks",
        setting.line,
        format!("`{}` is {value}", setting.written),
        "a record counts as written before its copies exist; when its leader dies, it is lost although the \
         producer was told that all is well",
        format!("set `{}` to all, and `min.insync.replicas` of the topic to 2", setting.written),
    ))
}
