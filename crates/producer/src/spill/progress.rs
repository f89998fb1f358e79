//! How far the spill was delivered: a watermark, and the runs beyond it.

use std::collections::BTreeMap;

/// Runs that one frame may say.
pub(crate) const RUNS_MAX: usize = 1 << 16;

/// Runs that one frame of a log may say: at most [`RUNS_MAX`], and never more than a part of a segment.
pub(crate) fn runs_max(segment_bytes: u64) -> usize {
    (segment_bytes / 64).min(RUNS_MAX as u64) as usize
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    watermark: u64,
    /// Runs delivered ahead of the watermark, first to one past the last; no two touch.
    beyond: BTreeMap<u64, u64>,
}

/// As much of a [`Progress`] as one frame says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) watermark: u64,
    /// In ascending order.
    pub(crate) runs: Vec<(u64, u64)>,
}

impl Proof {
    /// Whether a start that reads it knows that `seq` was delivered.
    pub(crate) fn covers(&self, seq: u64) -> bool {
        let run = self.runs.partition_point(|(first, _)| *first <= seq).checked_sub(1);
        seq < self.watermark || run.is_some_and(|at| seq < self.runs[at].1)
    }
}

impl Progress {
    pub(crate) fn from(watermark: u64) -> Self {
        Self { watermark, beyond: BTreeMap::new() }
    }

    /// Every frame below was delivered.
    pub(crate) fn watermark(&self) -> u64 {
        self.watermark
    }

    pub(crate) fn is_done(&self, seq: u64) -> bool {
        seq < self.watermark || self.beyond.range(..=seq).next_back().is_some_and(|(_, end)| seq < *end)
    }

    pub(crate) fn done(&mut self, seq: u64) {
        if self.is_done(seq) {
            return;
        }
        let end = self.beyond.remove(&(seq + 1)).unwrap_or(seq + 1);
        if seq == self.watermark {
            self.watermark = end;
        } else if let Some((_, before)) = self.beyond.range_mut(..seq).next_back().filter(|(_, e)| **e == seq)
        {
            *before = end;
        } else {
            self.beyond.insert(seq, end);
        }
    }

    /// Runs beyond the watermark.
    pub(crate) fn runs(&self) -> usize {
        self.beyond.len()
    }

    /// What a frame can say of it: the watermark, and the first `runs` runs.
    pub(crate) fn proof(&self, runs: usize) -> Proof {
        let runs = self.beyond.iter().take(runs).map(|(first, end)| (*first, *end)).collect();
        Proof { watermark: self.watermark, runs }
    }

    /// What `proof` says, and that nothing below `first` is there any more.
    pub(crate) fn proven(first: u64, proof: &Proof) -> Self {
        let mut progress = Self::from(first.max(proof.watermark));
        for (start, end) in &proof.runs {
            if *start <= progress.watermark {
                progress.watermark = progress.watermark.max(*end);
            } else {
                progress.beyond.insert(*start, *end);
            }
        }
        progress
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
            let proof = progress.proof(usize::MAX);
            prop_assert_eq!(&Progress::proven(0, &proof), &progress);
            let few = progress.proof(2);
            for seq in 0..70 {
                prop_assert_eq!(proof.covers(seq), progress.is_done(seq));
                prop_assert!(!few.covers(seq) || progress.is_done(seq));
                prop_assert!(progress.is_done(seq) == (seq < 5 || order.contains(&seq)));
            }
        }
    }
}
