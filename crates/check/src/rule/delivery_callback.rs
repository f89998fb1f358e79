use crate::client::{Client, Name};
use crate::finding::Finding;

/// Sends whose failure nobody hears of. Only what a file can show; most clients set the callback in code.
pub(super) fn check(client: &Client) -> Option<Finding> {
    let silent = client.truth(Name::DeliveryReports).filter(|(_, told)| !told);
    let unheard = client.truth(Name::Async).filter(|(_, on)| *on);
    let (setting, _) = silent.or(unheard)?;
    Some(Finding::new(
        "kafka/delivery-callback",
        setting.line,
        format!("`{}` is {}", setting.written, setting.value),
        "a record that the broker refuses, or that times out while it is away, is dropped and nobody is told",
        if setting.name == Name::Async {
            "set it to false, or give the writer a `Completion` that looks at every error"
        } else {
            "set it to true, read every report, and send again or keep what failed"
        },
    ))
}
