//! What the watchdog found standing still.

use seawall_consumer::Stall;
use serde_json::{Value, json};

/// Null where the stall has no such part. The key's hash is text: a number in JSON is exact only below 2^53.
pub(super) fn stall(stall: &Stall) -> Value {
    let Stall { kind, since: _, lasted, worker, partition, offset, key, token } = stall;
    json!({
        "kind": kind.as_str(),
        "worker": worker,
        "topic": partition.as_ref().map(|partition| &*partition.topic),
        "partition": partition.as_ref().map(|partition| partition.partition),
        "offset": offset,
        "key": key.map(|hash| format!("{hash:016x}")),
        "token": token.as_ref().map(ToString::to_string),
        "lasted_s": lasted.as_secs(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_consumer::StallKind;
    use seawall_core::{Nanos, Token, TopicPartition};
    use std::time::Duration;

    fn of(kind: StallKind) -> Stall {
        let lasted = Duration::from_millis(12_900);
        let since = Nanos(7);
        Stall { kind, since, lasted, worker: None, partition: None, offset: None, key: None, token: None }
    }

    #[test]
    fn a_handler_is_named_with_its_record() {
        let token = Token::new("orders-3-41").expect("a token");
        let found = Stall {
            worker: Some(2),
            partition: Some(TopicPartition::new("orders", 3)),
            offset: Some(41),
            key: Some(u64::MAX - 1),
            token: Some(token),
            ..of(StallKind::Handler)
        };
        let shown = json!({
            "kind": "handler", "worker": 2, "topic": "orders", "partition": 3, "offset": 41,
            "key": "fffffffffffffffe", "token": "orders-3-41", "lasted_s": 12,
        });
        assert_eq!(stall(&found), shown);
    }

    #[test]
    fn what_has_no_record_has_nulls() {
        let shown = json!({
            "kind": "fetch", "worker": null, "topic": null, "partition": null, "offset": null,
            "key": null, "token": null, "lasted_s": 12,
        });
        assert_eq!(stall(&of(StallKind::Fetch)), shown);
    }
}
