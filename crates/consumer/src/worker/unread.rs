//! The offsets of one lane that were left unread in the source: exact, in order, about a byte or two each.
//!
//! A lane that overflows must later take exactly the records it left, no more, and must notice when one of
//! them is gone. So the offsets themselves are kept, as LEB128 distances in a byte queue: neighbours cost one
//! byte, records of a key among a thousand others two. Ten million of them fit in about 20 MiB.
//!
//! Both ends grow: at the back by newly fetched records, at the front by records that were in memory and are
//! let go again.

use seawall_core::Offset;
use std::collections::VecDeque;

/// Offsets in ascending order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unread {
    first: Offset,
    last: Offset,
    count: u64,
    /// Distances between neighbours, lowest first, `count - 1` of them.
    steps: VecDeque<u8>,
}

impl Unread {
    /// The lowest.
    pub(crate) fn first(&self) -> Option<Offset> {
        (self.count > 0).then_some(self.first)
    }

    #[cfg(test)]
    fn len(&self) -> u64 {
        self.count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds an offset above all others.
    pub(crate) fn push_back(&mut self, offset: Offset) {
        if self.count == 0 {
            self.first = offset;
        } else {
            debug_assert!(offset > self.last, "{offset} follows {}", self.last);
            let (bytes, len) = encode(offset - self.last);
            self.steps.extend(&bytes[..len]);
        }
        self.last = offset;
        self.count += 1;
    }

    /// Adds an offset below all others.
    pub(crate) fn push_front(&mut self, offset: Offset) {
        if self.count == 0 {
            self.last = offset;
        } else {
            debug_assert!(offset < self.first, "{offset} precedes {}", self.first);
            let (bytes, len) = encode(self.first - offset);
            for byte in bytes[..len].iter().rev() {
                self.steps.push_front(*byte);
            }
        }
        self.first = offset;
        self.count += 1;
    }

    /// Takes the lowest.
    pub(crate) fn pop_front(&mut self) -> Option<Offset> {
        let first = self.first()?;
        self.count -= 1;
        if self.count > 0 {
            let mut step = 0_u64;
            let mut shift = 0;
            while let Some(byte) = self.steps.pop_front() {
                step |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            self.first = first + step;
        } else {
            self.steps = VecDeque::new();
        }
        Some(first)
    }
}

fn encode(mut number: u64) -> ([u8; 10], usize) {
    let mut bytes = [0; 10];
    let mut len = 0;
    loop {
        bytes[len] = number as u8 & 0x7f;
        number >>= 7;
        if number == 0 {
            return (bytes, len + 1);
        }
        bytes[len] |= 0x80;
        len += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaves_as_a_queue_of_offsets() {
        for seed in 0..200 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut unread, mut model) = (Unread::default(), VecDeque::<u64>::new());
            for _ in 0..300 {
                let width = rng.u32(0..40);
                let step = 1 + rng.u64(0..1 << width);
                match rng.u8(0..4) {
                    0 | 1 => {
                        let at = model.back().map_or(1 << 62, |last| last + step);
                        unread.push_back(at);
                        model.push_back(at);
                    }
                    2 => {
                        let at = model.front().map_or(1 << 62, |first| first - step);
                        unread.push_front(at);
                        model.push_front(at);
                    }
                    _ => assert_eq!(unread.pop_front(), model.pop_front()),
                }
                assert_eq!((unread.first(), unread.len()), (model.front().copied(), model.len() as u64));
            }
        }
    }

    #[test]
    fn ten_million_among_a_thousand_keys_fit_in_20_mib() {
        let mut unread = Unread::default();
        (0..10_000_000).for_each(|n| unread.push_back(n * 1_000));
        assert!(unread.steps.len() <= 20 << 20, "{}", unread.steps.len());
    }
}
