//! How far the spill was delivered: a watermark, and the few beyond it.

use std::collections::BTreeSet;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    watermark: u64,
    /// Delivered ahead of the watermark: bounded by the replay's window and the calls on their way.
    beyond: BTreeSet<u64>,
}

impl Progress {
    pub(crate) fn from(watermark: u64) -> Self {
        Self { watermark, beyond: BTreeSet::new() }
    }

    /// Every frame below was delivered.
    pub(crate) fn watermark(&self) -> u64 {
        self.watermark
    }

    pub(crate) fn is_done(&self, seq: u64) -> bool {
        seq < self.watermark || self.beyond.contains(&seq)
    }

    pub(crate) fn done(&mut self, seq: u64) {
        if seq > self.watermark {
            self.beyond.insert(seq);
        } else if seq == self.watermark {
            self.watermark += 1;
            while self.beyond.remove(&self.watermark) {
                self.watermark += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_watermark_passes_nothing_undone(mut order in Just((5_u64..60).collect::<Vec<_>>()).prop_shuffle(), cut in 0_usize..55) {
            order.truncate(cut);
            let mut progress = Progress::from(5);
            for seq in &order {
                progress.done(*seq);
                progress.done(*seq);
            }
            let expected = (5..61).find(|seq| !order.contains(seq)).unwrap();
            prop_assert_eq!(progress.watermark(), expected);
            prop_assert!(order.iter().all(|seq| progress.is_done(*seq)));
            prop_assert!(!progress.is_done(expected));
        }
    }
}
