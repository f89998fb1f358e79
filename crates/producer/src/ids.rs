//! The ids of one life's records: its seed and a number, in hexadecimal digits.

use bytes::{Bytes, BytesMut};
use seawall_core::token::TOKEN_HEADER;
use seawall_core::{Header, Outgoing};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The longest id: two numbers and a dash.
const ID_BYTES_MAX: usize = 33;
/// Ids cut out of one buffer: it lives as long as the last of their records.
const IDS_OF_A_BUFFER: usize = 64;

/// What an id adds to a record at most.
pub(crate) const NAMED_BYTES_MAX: usize = TOKEN_HEADER.len() + ID_BYTES_MAX;

/// Gives each record of this life another id.
pub(crate) struct Ids {
    /// The seed and a dash: all ids begin with them.
    life: Bytes,
    next: AtomicU64,
}

/// The ids for the records of one send.
pub(crate) struct Names<'a> {
    life: &'a [u8],
    next: u64,
    left: usize,
    buffer: BytesMut,
}

impl Ids {
    pub(crate) fn new(seed: u64) -> Self {
        Self { life: Bytes::from(format!("{seed:016x}-")), next: AtomicU64::new(0) }
    }

    /// Numbers for `records` records; those that are not used are left out.
    pub(crate) fn names(&self, records: usize) -> Names<'_> {
        let next = self.next.fetch_add(records as u64, Relaxed);
        Names { life: &self.life, next, left: records, buffer: BytesMut::new() }
    }
}

impl Names<'_> {
    /// Gives the record an id where it has none.
    pub(crate) fn name(&mut self, outgoing: &mut Outgoing) {
        if outgoing.record.headers.get(TOKEN_HEADER).is_none() {
            let header = Header::named(TOKEN_HEADER, self.id());
            if outgoing.record.headers.is_empty() {
                // Room for this one alone, as is all that most records ever need.
                outgoing.record.headers = std::iter::once(header).collect();
            } else {
                outgoing.record.headers.push(header);
            }
        }
        self.left = self.left.saturating_sub(1);
    }

    fn id(&mut self) -> Bytes {
        if self.buffer.capacity() < ID_BYTES_MAX {
            self.buffer = BytesMut::with_capacity(ID_BYTES_MAX * self.left.clamp(1, IDS_OF_A_BUFFER));
        }
        let (digits, first) = hex(self.next);
        self.buffer.extend_from_slice(self.life);
        self.buffer.extend_from_slice(digits.get(first..).unwrap_or_default());
        self.next += 1;
        self.buffer.split().freeze()
    }
}

/// The digits of `number`, and where they begin without leading zeros. Formatting takes a tenth of what a whole send may.
fn hex(number: u64) -> ([u8; 16], usize) {
    let digit = |at: usize| b"0123456789abcdef"[(number >> (60 - 4 * at)) as usize & 0xf];
    let digits = std::array::from_fn(digit);
    (digits, (number.leading_zeros() / 4).min(15) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_core::Record;

    fn named(names: &mut Names<'_>, id: Option<&'static str>) -> String {
        let mut outgoing = Outgoing { topic: "t".into(), partition: None, record: Record::new(None, "v") };
        outgoing.record.headers = id.map(|id| Header::new(TOKEN_HEADER, id)).into_iter().collect();
        names.name(&mut outgoing);
        outgoing.record.headers.get_str(TOKEN_HEADER).unwrap().to_owned()
    }

    #[test]
    fn each_record_has_an_id_of_its_own_and_keeps_one_that_it_has() {
        let ids = Ids::new(0xa1);
        let (mut first, mut second) = (ids.names(200), ids.names(2));
        let all: Vec<String> = (0..200).map(|_| named(&mut first, None)).collect();
        let expected: Vec<String> = (0..200).map(|n| format!("{:016x}-{n:x}", 0xa1)).collect();
        assert_eq!(all, expected);
        assert_eq!(named(&mut second, Some("mine")), "mine");
        assert_eq!(named(&mut second, None), "00000000000000a1-c8");
        assert!(format!("{:016x}-{:x}", u64::MAX, u64::MAX).len() == ID_BYTES_MAX);
    }

    #[test]
    fn numbers_are_written_as_people_write_them() {
        for number in [0, 1, 0xf, 0x10, 0xff, 0x100, 0x1234_5678_9abc_def0, u64::MAX] {
            let (digits, first) = hex(number);
            assert_eq!(digits[first..], *format!("{number:x}").as_bytes());
        }
    }
}
