//! Which letters are done with, as far as this process knows.

use super::BEYOND_BYTES_MAX;
use super::shelf::{Found, Span};
use seawall_consumer::track::{OffsetSet, codec};
use seawall_core::{Offset, Position};
use std::collections::BTreeMap;

/// What was redriven or purged, by partition.
#[derive(Default)]
pub(super) struct Done(BTreeMap<u32, Settled>);

/// What was redriven or purged of a partition.
#[derive(Default)]
struct Settled {
    /// The lowest offset not done with.
    watermark: Offset,
    /// What is done with at or above it.
    beyond: OffsetSet,
}

impl Settled {
    /// What is written down; a set that does not read is forgotten, which only lists letters again.
    fn read(position: &Position) -> Self {
        let mut settled = Self::default();
        settled.learn(&Self {
            watermark: position.watermark,
            beyond: codec::decode(position).unwrap_or_default(),
        });
        settled
    }

    fn learn(&mut self, told: &Self) {
        self.watermark = self.watermark.max(told.watermark);
        for (from, to) in told.beyond.runs(self.watermark) {
            self.beyond.insert_range(from, to);
        }
        self.advance();
    }

    fn advance(&mut self) {
        self.watermark = self.beyond.first_absent(self.watermark);
        self.beyond.forget_below(self.watermark);
    }

    fn holds(&self, offset: Offset) -> bool {
        offset < self.watermark || self.beyond.contains(offset)
    }

    fn add(&mut self, offset: Offset) -> bool {
        if offset < self.watermark || !self.beyond.insert(offset) {
            return false;
        }
        self.advance();
        true
    }

    /// One past the last offset that is done with.
    fn end(&self) -> Offset {
        self.beyond.runs(self.watermark).map(|(_, to)| to).last().unwrap_or(self.watermark)
    }

    fn position(&self) -> Position {
        let beyond = self.beyond.count_from(self.watermark);
        codec::encode(self.watermark, &self.beyond, beyond, BEYOND_BYTES_MAX).position
    }
}

impl Done {
    /// How far each partition is known: to be taken before the cluster is asked.
    pub(super) fn ends(&self) -> BTreeMap<u32, Offset> {
        self.0.iter().map(|(partition, settled)| (*partition, settled.end())).collect()
    }

    /// Adds what was found, where `before` are the [`Self::ends`] of before it was looked for. A partition that ends
    /// below what is done with is another one, or lost its end: its letters are new, and what is known speaks of others.
    /// The positions that are to be written over for that, or they would count again once it has grown past them.
    pub(super) fn learn(&mut self, before: &BTreeMap<u32, Offset>, found: &Found) -> Vec<(u32, Position)> {
        let mut stale = Vec::new();
        for span in &found.spans {
            let settled = self.0.entry(span.partition).or_default();
            // What somebody has settled since the look began may lie behind the end that was found.
            let known = before.get(&span.partition).copied().unwrap_or(0).min(settled.end());
            if known > span.end {
                *settled = Settled { watermark: span.start, ..Settled::default() };
            }
            let written = found.written.iter().find(|(partition, _)| *partition == span.partition);
            let Some((_, position)) = written else { continue };
            let told = Settled::read(position);
            if told.end() > span.end {
                stale.push((span.partition, settled.position()));
            } else {
                settled.learn(&told);
            }
        }
        stale
    }

    /// The lowest offset of `partition` that is not done with.
    pub(super) fn watermark(&self, partition: u32) -> Offset {
        self.0.get(&partition).map_or(0, |settled| settled.watermark)
    }

    /// Whether it is done with; where nothing is known of a partition, it is.
    pub(super) fn holds(&self, partition: u32, offset: Offset) -> bool {
        self.0.get(&partition).is_none_or(|settled| settled.holds(offset))
    }

    /// False when it was done with already.
    pub(super) fn add(&mut self, partition: u32, offset: Offset) -> bool {
        self.0.get_mut(&partition).is_some_and(|settled| settled.add(offset))
    }

    /// How many of `span` are not done with.
    pub(super) fn left(&self, span: Span) -> u64 {
        let Some(settled) = self.0.get(&span.partition) else { return span.end - span.start };
        let from = settled.watermark.max(span.start);
        span.end.saturating_sub(from).saturating_sub(settled.beyond.count_from(from))
    }

    /// What is to be written down of `spans`.
    pub(super) fn positions(&self, spans: &[Span]) -> Vec<(u32, Position)> {
        let position = |span: &Span| Some((span.partition, self.0.get(&span.partition)?.position()));
        spans.iter().filter_map(position).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTITION: u32 = 3;

    fn span(start: Offset, end: Offset) -> Span {
        Span { partition: PARTITION, start, end }
    }

    fn look(done: &mut Done, written: Option<Position>, span: Span) -> Vec<(u32, Position)> {
        let written = written.into_iter().map(|position| (PARTITION, position)).collect();
        let before = done.ends();
        done.learn(&before, &Found { written, spans: vec![span] })
    }

    fn done_with(offsets: impl IntoIterator<Item = Offset>, end: Offset) -> Done {
        let mut done = Done::default();
        assert_eq!(look(&mut done, None, span(0, end)), []);
        for offset in offsets {
            assert!(done.add(PARTITION, offset));
        }
        done
    }

    fn written(done: &Done) -> Position {
        done.positions(&[span(0, 0)])[0].1.clone()
    }

    #[test]
    fn the_letters_of_a_topic_that_was_made_anew_or_cut_are_new() {
        for offsets in [(0..100).collect::<Vec<_>>(), vec![0, 99]] {
            let mut done = done_with(offsets, 100);
            let position = written(&done);
            assert_eq!(look(&mut done, Some(position.clone()), span(0, 100)), [], "nothing happened");
            let before = Position::default();
            let stale = look(&mut done, Some(position.clone()), span(2, 5));
            assert_eq!((done.left(span(2, 5)), stale.len()), (3, 1), "{position:?}");
            assert_eq!((stale[0].1.watermark, &stale[0].1.beyond), (2, &before.beyond));
            // Another process meets only what is written.
            let mut other = Done::default();
            assert_eq!(look(&mut other, Some(position), span(0, 5)).len(), 1);
            assert_eq!(other.left(span(0, 5)), 5);
        }
    }

    #[test]
    fn what_is_settled_while_a_look_is_on_its_way_is_not_forgotten() {
        let mut done = done_with([], 10);
        let before = done.ends();
        let found = Found { written: vec![], spans: vec![span(0, 10)] };
        assert!(done.add(PARTITION, 11), "of a look that began later and was over sooner");
        done.learn(&before, &found);
        assert!(done.holds(PARTITION, 11));
    }

    #[test]
    fn what_others_have_written_is_added() {
        let others = written(&done_with([0, 1, 5], 10));
        let mut done = done_with([2, 7], 10);
        assert_eq!(look(&mut done, Some(others), span(0, 10)), []);
        assert_eq!((done.watermark(PARTITION), done.left(span(0, 10))), (3, 5));
    }
}
