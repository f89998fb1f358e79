//! Frames in, records out: each with its number, whether it stands alone or in a [block](super::block).

use super::block::{Block, BlockError};
use super::frame::{BLOCK, Content, Decoder, FrameError, INSIDE, RECORD, REFUSED};
use bytes::Bytes;
use seawall_core::codec::Cursor;
use seawall_wal::Frame;

/// What was found under a number.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) seq: u64,
    /// Bytes of it, as if it were not compressed.
    pub(crate) bytes: usize,
    pub(crate) content: Content,
}

/// Reads frames one behind the other; after a jump it begins anew.
#[derive(Debug, Default)]
pub(crate) struct Unpacker {
    decoder: Decoder,
    /// The first of the numbers just read whose records are in a block to come.
    inside: Option<u64>,
    next: u64,
}

impl Unpacker {
    /// Puts into `out` what `frame` completes, in order: the records that are `wanted`, refused ones among them, and everything
    /// else. Where it fails, nothing of this frame is in `out`, and it can be read again.
    pub(crate) fn unpack(
        &mut self,
        frame: Frame,
        wanted: impl Fn(u64) -> bool,
        out: &mut Vec<Unpacked>,
    ) -> Result<(), FrameError> {
        let (seq, before) = (frame.seq, out.len());
        if self.next != seq {
            self.inside = None;
        }
        let kind = frame.payload.first().copied();
        let read = match kind {
            Some(INSIDE) => {
                self.inside.get_or_insert(seq);
                self.next = seq + 1;
                return Ok(());
            }
            Some(BLOCK) => self.block(seq, &frame.payload, wanted, out),
            Some(RECORD | REFUSED) if !wanted(seq) => {
                self.nothing_until(seq, out);
                Ok(())
            }
            _ => {
                self.nothing_until(seq, out);
                let bytes = frame.payload.len();
                self.decoder.decode(frame.payload).map(|content| out.push(Unpacked { seq, bytes, content }))
            }
        };
        if read.is_err() {
            out.truncate(before);
        } else {
            self.inside = None;
            self.next = seq + 1;
        }
        read
    }

    /// The first number that waits for its block.
    pub(crate) fn pending(&self) -> Option<u64> {
        self.inside
    }

    /// The log ends before `next`: what waits for its block waits for nothing.
    pub(crate) fn end(&mut self, next: u64, out: &mut Vec<Unpacked>) {
        self.nothing_until(next, out);
        self.inside = None;
    }

    /// A crash cut off the block of the numbers read until now: none of them had a receipt.
    fn nothing_until(&self, end: u64, out: &mut Vec<Unpacked>) {
        let numbers = self.inside.unwrap_or(end)..end;
        out.extend(numbers.map(|seq| Unpacked { seq, bytes: 0, content: Content::Nothing }));
    }

    fn block(
        &mut self,
        seq: u64,
        frame: &Bytes,
        wanted: impl Fn(u64) -> bool,
        out: &mut Vec<Unpacked>,
    ) -> Result<(), FrameError> {
        let block = Block::read(frame)??;
        let first = (seq + 1).saturating_sub(block.records);
        self.nothing_until(first, out);
        // Read from somewhere in its middle: what lies in front is somebody else's.
        let from = first.max(self.inside.unwrap_or(seq));
        if !(from..=seq).any(&wanted) {
            return Ok(());
        }
        let raw = block.unpack()?;
        let mut cursor = Cursor { frame: &raw, at: 0 };
        for at in first..=seq {
            let record = cursor.bytes("record")?;
            if at >= from && wanted(at) {
                let bytes = record.len() + 1;
                out.push(Unpacked { seq: at, bytes, content: Content::Record(self.decoder.record(record)?) });
            }
        }
        if cursor.at != raw.len() {
            return Err(BlockError::Length { said: cursor.at, found: raw.len() }.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::block::pack;
    use super::super::frame::{progress, put_record};
    use super::super::progress::Proof;
    use super::*;
    use bytes::{BufMut, BytesMut};
    use proptest::prelude::*;
    use seawall_core::codec::{put_bytes, put_varint};
    use seawall_core::{Outgoing, Record};

    fn frames(values: &[Vec<u8>]) -> Vec<Bytes> {
        let frame = |value: &Vec<u8>| {
            let record = Record::new(Bytes::from("k"), value.clone());
            let mut out = BytesMut::new();
            put_record(&Outgoing { topic: "orders".into(), partition: None, record }, &mut out);
            out.freeze()
        };
        values.iter().map(frame).collect()
    }

    /// Numbers and values that `frames`, numbered from `from` on, hold.
    fn read(
        unpacker: &mut Unpacker,
        from: u64,
        frames: &[Bytes],
        wanted: impl Fn(u64) -> bool,
    ) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut out = Vec::new();
        for (seq, payload) in (from..).zip(frames) {
            unpacker.unpack(Frame { seq, payload: payload.clone() }, &wanted, &mut out).unwrap();
        }
        let value = |found: Unpacked| match found.content {
            Content::Record(outgoing) => (found.seq, Some(outgoing.record.value.to_vec())),
            _ => (found.seq, None),
        };
        out.into_iter().map(value).collect()
    }

    fn value() -> impl Strategy<Value = Vec<u8>> {
        let like = |(n, len): (u8, usize)| vec![n; len];
        prop_oneof![
            (any::<u8>(), 0_usize..3_000).prop_map(like),
            proptest::collection::vec(any::<u8>(), 0..300)
        ]
    }

    proptest! {
        #[test]
        fn a_record_has_its_number_whether_packed_or_not(
            values in proptest::collection::vec(value(), 1..150), begin in 0_usize..150, hide in 2_u64..9,
        ) {
            let mut plain = frames(&values);
            plain.push(progress(&Proof::default()));
            let packed = pack(plain.clone());
            prop_assert_eq!(plain.len(), packed.len());
            prop_assert_eq!(plain.last(), packed.last());
            let want = read(&mut Unpacker::default(), 7, &plain, |_| true);
            prop_assert_eq!(&read(&mut Unpacker::default(), 7, &packed, |_| true), &want);
            // From anywhere, and without what is not wanted.
            let begin = begin % plain.len();
            let wanted = |seq: u64| !seq.is_multiple_of(hide);
            let rest = read(&mut Unpacker::default(), 7 + begin as u64, &packed[begin..], wanted);
            let want: Vec<_> =
                want[begin..].iter().filter(|(seq, value)| wanted(*seq) || value.is_none()).cloned().collect();
            prop_assert_eq!(rest, want);
        }

        #[test]
        fn any_bytes_are_a_block_or_a_named_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let payload = Bytes::from([&[BLOCK][..], &bytes].concat());
            let mut out = Vec::new();
            let read = Unpacker::default().unpack(Frame { seq: 3, payload }, |_| true, &mut out);
            prop_assert!(read.is_ok() || out.is_empty());
        }
    }

    #[test]
    fn numbers_whose_block_a_crash_cut_off_hold_nothing() {
        let packed = pack(frames(&vec![vec![7; 200]; 5]));
        assert_eq!(packed[..4], vec![Bytes::from_static(&[INSIDE]); 4]);
        let torn = &packed[..3];
        let nothing: Vec<_> = (0..3).map(|seq| (seq, None)).collect();
        // What follows: a block of its own, a record, the end.
        let mut unpacker = Unpacker::default();
        assert_eq!(read(&mut unpacker, 0, torn, |_| true), []);
        let followed = read(&mut unpacker, 3, &packed, |_| true);
        assert_eq!(followed[..3], nothing);
        assert!(
            followed[3..].iter().all(|(_, value)| value.is_some()) && followed.len() == 8,
            "{followed:?}"
        );
        let mut unpacker = Unpacker::default();
        let alone = frames(&[vec![1]]);
        read(&mut unpacker, 0, torn, |_| true);
        assert_eq!(read(&mut unpacker, 3, &alone, |_| true)[..3], nothing);
        let (mut unpacker, mut out) = (Unpacker::default(), Vec::new());
        read(&mut unpacker, 0, torn, |_| true);
        unpacker.end(3, &mut out);
        assert_eq!(out.iter().map(|found| found.seq).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn numbers_that_were_jumped_over_are_not_taken_for_empty() {
        let packed = pack(frames(&vec![vec![7; 200]; 5]));
        let mut unpacker = Unpacker::default();
        read(&mut unpacker, 0, &packed[..3], |_| true);
        // Whoever reads on from elsewhere may have passed records that wait.
        let alone = frames(&[vec![1]]);
        assert_eq!(read(&mut unpacker, 50, &alone, |_| true), [(50, Some(vec![1]))]);
    }

    #[test]
    fn a_block_with_more_than_its_records_is_refused() {
        let mut raw = BytesMut::new();
        put_bytes(&frames(&[vec![7; 200]])[0][1..], &mut raw);
        let whole = raw.len() as u64;
        raw.put_u8(b'x');
        let block = |records: u64, raw: &[u8]| {
            let mut out = BytesMut::new();
            out.put_u8(BLOCK);
            put_varint(records, &mut out);
            put_varint(raw.len() as u64, &mut out);
            out.put_slice(&lz4_flex::block::compress(raw));
            out.freeze()
        };
        let unpack = |payload: Bytes| {
            let mut out = Vec::new();
            Unpacker::default().unpack(Frame { seq: 9, payload }, |_| true, &mut out).map(|()| out.len())
        };
        assert_eq!(unpack(block(1, &raw[..whole as usize])).unwrap(), 1);
        let error = unpack(block(1, &raw)).unwrap_err();
        let length = matches!(error, FrameError::Block(BlockError::Length { said, found }) if (said as u64, found as u64) == (whole, whole + 1));
        assert!(length, "{error}");
    }

    #[test]
    fn a_block_that_claims_too_much_is_refused_before_memory_is_reserved() {
        let block = |records: u64, raw: u64, packed: &[u8]| {
            let mut out = BytesMut::new();
            out.put_u8(BLOCK);
            put_varint(records, &mut out);
            put_varint(raw, &mut out);
            out.put_slice(packed);
            out.freeze()
        };
        let zeros = lz4_flex::block::compress(&vec![0; 40 << 20]);
        let cases = [
            (1, 1 << 60, &zeros[..50]),
            (1, 50 * 255 + 1, &zeros[..50]),
            (1, 40 << 20, &zeros[..]),
            (2, (64 << 10) + 1, &zeros[..]),
            (0, 10, &zeros[..]),
        ];
        for (records, raw, packed) in cases {
            let frame = Frame { seq: 9, payload: block(records, raw, packed) };
            let error = Unpacker::default().unpack(frame, |_| true, &mut Vec::new()).unwrap_err();
            assert!(
                matches!(error, FrameError::Block(BlockError::TooLarge { .. })),
                "{records} {raw}: {error}"
            );
        }
        // Fewer bytes than it says, and more.
        let small = lz4_flex::block::compress(&[0; 100]);
        for raw in [99, 101] {
            let frame = Frame { seq: 9, payload: block(1, raw, &small) };
            let error = Unpacker::default().unpack(frame, |_| true, &mut Vec::new()).unwrap_err();
            assert!(matches!(error, FrameError::Block(_)), "{raw}: {error}");
        }
    }
}
