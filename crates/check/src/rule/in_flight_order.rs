use crate::client::{Client, Dialect, Name};
use crate::finding::Finding;

/// More than the idempotent producer can keep in order.
const IDEMPOTENT_MAX: i64 = 5;

/// Several batches on the way of which a later one may overtake one that is sent again.
pub(super) fn check(client: &Client) -> Option<Finding> {
    let set = client.number(Name::InFlight);
    let idempotent = client.idempotent();
    if idempotent == Some(true) {
        let (setting, _) = set.filter(|(_, count)| *count > IDEMPOTENT_MAX)?;
        return Some(Finding::new(
            RULE,
            setting.line,
            format!("`{}` is {} with idempotence", setting.written, setting.value),
            "the idempotent producer keeps the order of at most five batches: the client refuses to start",
            format!("set it to {IDEMPOTENT_MAX} or leave it out"),
        ));
    }
    let (line, what) = match (set, client.get(Name::Idempotence).or_else(|| client.get(Name::NoIdempotence)))
    {
        (Some((setting, count)), _) if count > 1 => {
            (setting.line, format!("`{}` is {count} without idempotence", setting.written))
        }
        // The defaults: 5 batches with Java, a million with librdkafka.
        (None, Some(off)) if idempotent == Some(false) => {
            (off.line, format!("`{}` is {}, and several batches may be on the way", off.written, off.value))
        }
        (None, None) if client.dialect == Dialect::Librdkafka => {
            let producer = client.producer()?;
            (producer.line, "`enable.idempotence` is not set, and off by default".to_owned())
        }
        _ => return None,
    };
    Some(Finding::new(
        RULE,
        line,
        what,
        "a batch that is sent again comes behind one that was sent after it, and a repeated one stands in the \
         log twice: the order of a key breaks exactly when the broker has trouble",
        "set `enable.idempotence` to true (and `acks` to all)",
    ))
}

const RULE: &str = "kafka/in-flight-order";
