//! Records of one batch, compressed together.
//!
//! Each record keeps a frame and a number of its own, so that progress, order and deletion know nothing of
//! compression: all but the last of a block's records are a frame of one byte, and the block itself is the last one's.
//! It comes last because segments leave at the front: as long as one of its records waits, it is there.

use super::frame::{BLOCK, INSIDE, RECORD};
use bytes::{BufMut, Bytes, BytesMut};
use lz4_flex::block::{DecompressError, compress, decompress_into};
use seawall_core::codec::{CodecError, Cursor, put_bytes, put_varint};
use std::sync::Arc;

/// Bytes that the records of one block have together, unless it holds only one.
const RAW_BYTES: usize = 64 << 10;
/// The largest block.
const RAW_BYTES_MAX: usize = 32 << 20;
/// LZ4 repeats at most 255 bytes for each of its own: what claims more is no block of ours.
const RATIO_MAX: usize = 255;

/// Why a block does not read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BlockError {
    /// It would take more memory than any block of ours. Nothing was reserved for it.
    #[error("{records} records of {raw} bytes in {packed}; at most {max} are possible")]
    TooLarge {
        /// Records that it says it holds.
        records: u64,
        /// Bytes that it says they have.
        raw: u64,
        /// Bytes that it has itself.
        packed: usize,
        /// What it could hold at most.
        max: usize,
    },
    /// It is no LZ4.
    #[error("its LZ4 does not read")]
    Lz4(#[source] Arc<DecompressError>),
    /// It holds another number of bytes than it says, or they are not its records.
    #[error("it holds {found} bytes where its records have {said}")]
    Length {
        /// What it says.
        said: usize,
        /// What was found.
        found: usize,
    },
}

/// What a frame of kind 5 says before its records.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) records: u64,
    raw: usize,
    packed: Bytes,
}

/// Compresses the records among `frames`, where that makes them smaller. As many frames come out, in the same order.
pub(crate) fn pack(frames: Vec<Bytes>) -> Vec<Bytes> {
    let mut out = Vec::with_capacity(frames.len());
    let (mut group, mut raw) = (Vec::new(), BytesMut::new());
    for frame in frames {
        // With its length, and without its kind.
        if frame.first() != Some(&RECORD) || frame.len() + 3 > RAW_BYTES_MAX {
            close_block(&mut group, &mut raw, &mut out);
            out.push(frame);
            continue;
        }
        if raw.len() + frame.len() + 10 > RAW_BYTES {
            close_block(&mut group, &mut raw, &mut out);
        }
        put_bytes(&frame[1..], &mut raw);
        group.push(frame);
    }
    close_block(&mut group, &mut raw, &mut out);
    out
}

fn close_block(group: &mut Vec<Bytes>, raw: &mut BytesMut, out: &mut Vec<Bytes>) {
    let plain: usize = group.iter().map(Bytes::len).sum();
    let packed = compress(raw);
    if !group.is_empty() && packed.len() + group.len() + 20 < plain {
        let mut block = BytesMut::with_capacity(packed.len() + 21);
        block.put_u8(BLOCK);
        put_varint(group.len() as u64, &mut block);
        put_varint(raw.len() as u64, &mut block);
        block.put_slice(&packed);
        out.extend(std::iter::repeat_n(Bytes::from_static(&[INSIDE]), group.len() - 1));
        out.push(block.freeze());
        group.clear();
    } else {
        out.append(group);
    }
    raw.clear();
}

impl Block {
    /// What the frame says. Nothing is reserved before its bounds are checked.
    pub(super) fn read(frame: &Bytes) -> Result<Result<Self, BlockError>, CodecError> {
        let mut cursor = Cursor { frame, at: 1 };
        let records = cursor.varint("records")?;
        let raw = cursor.varint("bytes")?;
        let packed = frame.slice(cursor.at..);
        let most = if records == 1 { RAW_BYTES_MAX } else { RAW_BYTES };
        let max = most.min(packed.len().saturating_mul(RATIO_MAX));
        if raw > max as u64 || records == 0 {
            return Ok(Err(BlockError::TooLarge { records, raw, packed: packed.len(), max }));
        }
        Ok(Ok(Self { records, raw: raw as usize, packed }))
    }

    /// The bytes of its records: for each, varint length and the frame without its kind.
    pub(super) fn unpack(&self) -> Result<Bytes, BlockError> {
        let mut raw = vec![0; self.raw];
        let read = decompress_into(&self.packed, &mut raw);
        let found = read.map_err(|error| BlockError::Lz4(Arc::new(error)))?;
        if found == self.raw {
            Ok(Bytes::from(raw))
        } else {
            Err(BlockError::Length { said: self.raw, found })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_block_is_too_large_to_be_read() {
        let mut packed = 0;
        for bytes in RAW_BYTES_MAX - 4..=RAW_BYTES_MAX + 1 {
            let mut frame = vec![0; bytes];
            frame[0] = RECORD;
            let [out] = pack(vec![frame.into()]).try_into().unwrap();
            if out.first() == Some(&BLOCK) {
                let block = Block::read(&out).unwrap().unwrap_or_else(|error| panic!("{bytes}: {error}"));
                assert_eq!(block.raw, bytes + 3);
                packed += 1;
            }
        }
        assert_eq!(packed, 2);
    }
}
