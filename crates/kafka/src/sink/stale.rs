//! Keys whose records the client still holds although their call was given up.

use super::call::Call;
use bytes::Bytes;
use seawall_core::Outgoing;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What keeps one order: a key of a topic, or of one partition of it that was asked for.
type Lane = (Arc<str>, Option<u32>, Bytes);

/// See the module. Records without a key promise no order and are not held back.
#[derive(Clone, Debug, Default)]
pub(super) struct Stale(Arc<Mutex<HashMap<Lane, usize>>>);

impl Stale {
    /// The places in `records` that must wait. All are looked at in one moment: of two records of a key the first
    /// would otherwise be refused and the second taken.
    pub(super) fn among(&self, records: &[Outgoing]) -> HashSet<usize> {
        let held = self.held();
        if held.is_empty() {
            return HashSet::new();
        }
        let waits = |(place, outgoing): (usize, &Outgoing)| {
            lane(outgoing).is_some_and(|lane| held.contains_key(&lane)).then_some(place)
        };
        records.iter().enumerate().filter_map(waits).collect()
    }

    /// Holds the keys of `records` back until the client has answered all of `call`.
    pub(super) fn hold<'a>(&self, records: impl Iterator<Item = &'a Outgoing>, call: Arc<Call>) {
        let lanes: HashSet<Lane> = records.filter_map(lane).collect();
        if lanes.is_empty() {
            return;
        }
        let mut held = self.held();
        for lane in &lanes {
            *held.entry(lane.clone()).or_default() += 1;
        }
        drop(held);
        let stale = self.clone();
        tokio::spawn(async move {
            call.answered().await;
            let mut held = stale.held();
            for lane in lanes {
                if let Some(calls) = held.get_mut(&lane) {
                    *calls -= 1;
                    if *calls == 0 {
                        held.remove(&lane);
                    }
                }
            }
        });
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Lane, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lane(outgoing: &Outgoing) -> Option<Lane> {
    let key = outgoing.record.key.clone()?;
    Some((outgoing.topic.clone(), outgoing.partition, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::narrow::Narrow;
    use seawall_core::Record;

    fn outgoing(key: Option<&'static str>) -> Outgoing {
        let record = Record::new(key.map(|key| Bytes::from_static(key.as_bytes())), "v");
        Outgoing { topic: "orders".into(), partition: None, record }
    }

    #[tokio::test]
    async fn a_key_waits_until_every_call_that_holds_it_is_answered() {
        let records = [outgoing(Some("a")), outgoing(Some("b")), outgoing(None), outgoing(Some("a"))];
        let stale = Stale::default();
        assert_eq!(stale.among(&records), HashSet::new());
        let calls = [(); 2].map(|()| Call::new(1, Narrow::default().wide_call()));
        let [first, second] = calls.each_ref().map(|call| call.ticket(0));
        for call in &calls {
            call.handed_over();
            stale.hold([&records[0], &records[2]].into_iter(), Arc::clone(call));
        }
        assert_eq!(stale.among(&records), HashSet::from([0, 3]));
        drop(first);
        while stale.held().values().any(|calls| *calls > 1) {
            tokio::task::yield_now().await;
        }
        assert_eq!(stale.among(&records), HashSet::from([0, 3]));
        drop(second);
        while !stale.among(&records).is_empty() {
            tokio::task::yield_now().await;
        }
    }
}
