//! No record of a key is reported as written while an earlier one of the call is still to be written.

use super::error::{EarlierFault, SinkError};
use seawall_core::{Class, Fault, Outgoing, Receipt};
use std::collections::HashMap;

/// Turns the receipts of records that overtook an earlier one of their key into errors. An earlier one that is
/// refused for good (class `Permanent`) will not be sent again, so nothing has to stay behind it.
pub(super) fn withhold(records: &[Outgoing], answers: &mut [Result<Receipt, Fault>]) {
    let mut failed: HashMap<(&str, Option<u32>, &[u8]), Fault> = HashMap::new();
    for (record, answer) in records.iter().zip(answers) {
        // Records without a key promise no order.
        let Some(key) = &record.record.key else { continue };
        let lane = (&*record.topic, record.partition, &key[..]);
        match answer {
            Err(fault) if fault.class() != Class::Permanent => {
                failed.entry(lane).or_insert_with(|| fault.clone());
            }
            Err(_) => {}
            Ok(_) => {
                if let Some(earlier) = failed.get(&lane) {
                    let topic = record.topic.to_string();
                    *answer =
                        Err(SinkError::Overtook { topic, earlier: EarlierFault(earlier.clone()) }.into());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use seawall_core::{Durability, Record, TopicPartition};

    fn outgoing(key: Option<&'static str>) -> Outgoing {
        let record = Record::new(key.map(|key| Bytes::from_static(key.as_bytes())), "v");
        Outgoing { topic: "orders".into(), partition: None, record }
    }

    type Answer = Result<Receipt, Fault>;

    #[expect(clippy::unnecessary_wraps, reason = "a list of answers reads best with both made alike")]
    fn written(offset: u64) -> Answer {
        let partition = TopicPartition::new("orders", 0);
        Ok(Receipt { partition, offset, durability: Durability::Replicated })
    }

    fn failed(class: Class) -> Answer {
        Err(Fault::new(class, "no answer"))
    }

    fn after(
        keys: [Option<&'static str>; 4],
        mut answers: [Result<Receipt, Fault>; 4],
    ) -> [Option<Class>; 4] {
        withhold(&keys.map(outgoing), &mut answers);
        answers.map(|answer| answer.err().map(|fault| fault.class()))
    }

    #[test]
    fn what_overtook_an_earlier_record_of_its_key_is_sent_again_behind_it() {
        let keys = [Some("a"), Some("a"), Some("b"), Some("a")];
        let answers = [written(0), failed(Class::Transient), written(2), written(3)];
        assert_eq!(after(keys, answers), [None, Some(Class::Transient), None, Some(Class::Transient)]);
        let answers = [failed(Class::Overload), written(1), written(2), written(3)];
        let overload = Some(Class::Overload);
        assert_eq!(after(keys, answers), [overload, overload, None, overload]);
    }

    #[test]
    fn nothing_waits_behind_a_record_that_never_comes_or_has_no_key() {
        let keys = [Some("a"), Some("a"), None, None];
        let answers = [failed(Class::Permanent), written(1), failed(Class::Transient), written(3)];
        assert_eq!(after(keys, answers), [Some(Class::Permanent), None, Some(Class::Transient), None]);
    }
}
