//! The tracker and its codec against the plainest model there is: a set of numbers.

use proptest::prelude::*;
use seawall_consumer::track::{OffsetSet, Tracker, codec};
use seawall_core::{Fetched, Offset, Position, Record};
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
enum Move {
    /// Fetch so many records, each so far from the one before, and then a gap.
    Admit { steps: Vec<u64>, gap: u64 },
    /// Settle the nth outstanding one.
    Complete(prop::sample::Index),
    /// Settle an offset that may be anything.
    Stray(Offset),
    /// Commit, forget everything, start from the commit.
    Restart,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let step = prop_oneof![8 => Just(1_u64), 1 => 1..10_u64, 1 => 1..20_000_u64];
    let admit = (prop::collection::vec(step, 0..40), prop_oneof![4 => Just(0_u64), 1 => 0..10_000_u64])
        .prop_map(|(steps, gap)| Move::Admit { steps, gap });
    let one = prop_oneof![
        2 => admit,
        20 => any::<prop::sample::Index>().prop_map(Move::Complete),
        1 => (0..100_000_u64).prop_map(Move::Stray),
        1 => Just(Move::Restart),
    ];
    prop::collection::vec(one, 0..300)
}

/// What is true, kept as plainly as possible.
struct Model {
    start: Offset,
    next: Offset,
    outstanding: BTreeSet<Offset>,
    /// Records the source holds; a restart fetches them again.
    log: BTreeSet<Offset>,
}

impl Model {
    fn watermark(&self) -> Offset {
        self.outstanding.first().copied().unwrap_or(self.next)
    }
}

fn fetched(offsets: &BTreeSet<Offset>) -> Vec<Fetched> {
    offsets.iter().map(|offset| Fetched { offset: *offset, record: Record::default() }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_tracker_is_the_model(start in 0..10_000_u64, moves in moves()) {
        let mut tracker = Tracker::new(start, OffsetSet::default());
        let mut model = Model { start, next: start, outstanding: BTreeSet::new(), log: BTreeSet::new() };
        for step in moves {
            match step {
                Move::Admit { steps, gap } => {
                    let mut at = model.next;
                    let mut offsets = BTreeSet::new();
                    for step in steps {
                        at += step;
                        offsets.insert(at - 1);
                    }
                    let mut records = fetched(&offsets);
                    let admitted = tracker.admit(&mut records, at + gap);
                    prop_assert_eq!(admitted.fresh, offsets.len() as u64);
                    model.next = at + gap;
                    model.outstanding.extend(&offsets);
                    model.log.extend(&offsets);
                }
                Move::Complete(index) => {
                    if !model.outstanding.is_empty() {
                        let offset = *model.outstanding.iter().nth(index.index(model.outstanding.len())).unwrap();
                        prop_assert!(tracker.complete(offset));
                        model.outstanding.remove(&offset);
                        prop_assert!(!tracker.complete(offset), "settled twice");
                    }
                }
                Move::Stray(offset) => {
                    prop_assert_eq!(tracker.complete(offset), model.outstanding.remove(&offset));
                }
                Move::Restart => {
                    let encoded = tracker.position(1 << 20);
                    prop_assert!(!encoded.truncated);
                    let beyond = codec::decode(&encoded.position).expect("own encoding");
                    tracker = Tracker::new(encoded.position.watermark, beyond);
                    let from = encoded.position.watermark;
                    let again: BTreeSet<Offset> = model.log.range(from..).copied().collect();
                    let mut records = fetched(&again);
                    tracker.admit(&mut records, model.next);
                    let rerun: BTreeSet<Offset> = records.iter().map(|r| r.offset).collect();
                    prop_assert_eq!(&rerun, &model.outstanding, "a restart reruns exactly what was open");
                }
            }
            prop_assert_eq!(tracker.watermark(), model.watermark());
            prop_assert_eq!(tracker.next(), model.next);
            prop_assert!(tracker.watermark() >= model.start);
        }
        for offset in model.log {
            prop_assert_eq!(tracker.is_settled(offset), !model.outstanding.contains(&offset));
        }
    }

    #[test]
    fn the_set_is_the_model(ranges in prop::collection::vec((0..40_000_u64, 0..9_000_u64), 0..30), from in 0..50_000_u64) {
        let (mut set, mut model) = (OffsetSet::default(), BTreeSet::new());
        for (start, length) in ranges {
            let new = (start..start + length).filter(|offset| model.insert(*offset)).count() as u64;
            prop_assert_eq!(set.insert_range(start, start + length), new);
        }
        prop_assert_eq!(set.count_from(from), model.range(from..).count() as u64);
        prop_assert_eq!(set.first_present(from), model.range(from..).next().copied());
        let absent = (from..=100_000).find(|offset| !model.contains(offset)).unwrap();
        prop_assert_eq!(set.first_absent(from), absent);
        let listed: Vec<Offset> = set.runs(from).flat_map(|(start, end)| start..end).collect();
        prop_assert_eq!(listed, model.range(from..).copied().collect::<Vec<_>>());
        let mut short = set.clone();
        short.truncate(from);
        let listed: Vec<Offset> = short.runs(0).flat_map(|(start, end)| start..end).collect();
        prop_assert_eq!(listed, model.range(..from).copied().collect::<Vec<_>>());
        set.forget_below(from);
        prop_assert_eq!(set.count_from(from), model.range(from..).count() as u64);
    }

    #[test]
    fn what_is_encoded_is_decoded_and_what_is_cut_is_the_highest(
        watermark in 0..1_u64 << 40,
        offsets in prop::collection::btree_set(1..60_000_u64, 0..2_000),
        bytes_max in 32..9_000_usize,
    ) {
        let mut set = OffsetSet::default();
        for offset in &offsets {
            set.insert(watermark + offset);
        }
        let encoded = codec::encode(watermark, &set, offsets.len() as u64, bytes_max);
        prop_assert!(encoded.position.beyond.len() <= bytes_max);
        let back = codec::decode(&encoded.position).expect("own encoding");
        let kept: Vec<Offset> = back.runs(0).flat_map(|(start, end)| start..end).map(|o| o - watermark).collect();
        prop_assert!(offsets.iter().copied().take(kept.len()).eq(kept.iter().copied()));
        prop_assert_eq!(encoded.truncated, kept.len() < offsets.len());
    }

    #[test]
    fn any_bytes_decode_or_fail_without_a_panic(watermark: u64, mut bytes in prop::collection::vec(any::<u8>(), 0..200), lead: bool) {
        if lead && bytes.len() > 4 {
            bytes[..4].copy_from_slice(&[b'S', b'W', 1, 1]);
        }
        let _ = codec::decode(&Position { watermark, beyond: bytes.into() });
    }
}
