//! What the handlers of all members did, in the one order in which it happened.

use seawall_core::{Delivery, Outcome};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

/// What a handler came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Began,
    Acked,
    /// Asked to be called again, or gave the record up.
    Failed,
    /// Cancelled, or it panicked.
    Dropped,
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) member: u32,
    pub(crate) place: (u32, u64),
    pub(crate) key: Vec<u8>,
    pub(crate) what: What,
}

/// Shared by all members of a test.
#[derive(Clone, Debug, Default)]
pub(crate) struct Diary(Arc<Mutex<Vec<Line>>>);

impl Diary {
    pub(crate) fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.0.lock().unwrap()
    }

    pub(crate) fn begin(&self, member: u32, delivery: &Delivery) -> Open {
        let line = Line {
            member,
            place: (delivery.origin.partition, delivery.offset),
            key: delivery.record.key.as_deref().unwrap_or_default().to_vec(),
            what: What::Began,
        };
        self.lines().push(line.clone());
        Open { diary: self.clone(), line: Some(line) }
    }

    pub(crate) fn count(&self, which: impl Fn(&Line) -> bool) -> usize {
        self.lines().iter().filter(|line| which(line)).count()
    }

    /// How often each record was acknowledged by its handler.
    pub(crate) fn acked(&self) -> BTreeMap<(u32, u64), usize> {
        let mut acked = BTreeMap::new();
        for line in self.lines().iter().filter(|line| line.what == What::Acked) {
            *acked.entry(line.place).or_default() += 1;
        }
        acked
    }

    /// Every record of `partitions` × `offsets` was acknowledged exactly once.
    pub(crate) fn assert_each_once(&self, partitions: u32, offsets: u64) {
        let acked = self.acked();
        let lost: Vec<_> = (0..partitions)
            .flat_map(|partition| (0..offsets).map(move |offset| (partition, offset)))
            .filter(|place| !acked.contains_key(place))
            .collect();
        assert!(lost.is_empty(), "{} lost: {:?}", lost.len(), &lost[..lost.len().min(20)]);
        let twice: Vec<_> = acked.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "{} more than once: {:?}", twice.len(), &twice[..twice.len().min(20)]);
    }

    /// No key of a partition ever had two handlers at once, whoever's, and none went back.
    pub(crate) fn assert_order(&self) {
        let mut running: BTreeSet<(u32, Vec<u8>)> = BTreeSet::new();
        let mut last: BTreeMap<(u32, Vec<u8>), u64> = BTreeMap::new();
        for line in self.lines().iter() {
            let key = (line.place.0, line.key.clone());
            if line.what == What::Began {
                assert!(running.insert(key.clone()), "two handlers at once for the key of {line:?}");
                if let Some(last) = last.get(&key) {
                    assert!(*last < line.place.1, "{line:?} after {last} was acknowledged");
                }
            } else {
                running.remove(&key);
            }
            if line.what == What::Acked {
                last.insert(key, line.place.1);
            }
        }
    }
}

/// A handler that runs.
pub(crate) struct Open {
    diary: Diary,
    line: Option<Line>,
}

impl Open {
    pub(crate) fn end(mut self, outcome: &Outcome) {
        self.write(if outcome.is_ack() { What::Acked } else { What::Failed });
    }

    fn write(&mut self, what: What) {
        if let Some(mut line) = self.line.take() {
            line.what = what;
            self.diary.lines().push(line);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.write(What::Dropped);
    }
}
