//! Frames on their way to the log's thread.

use crate::log::Payload;
use bytes::Bytes;

/// Frames that are appended together, all or none. The log's thread writes them into its own buffer, so what is not yet
/// one run of bytes need not become one before.
pub trait Batch: Send + 'static {
    /// How many frames there are.
    fn frames(&self) -> usize;

    /// Bytes of frame `at`: what bounds go by.
    fn frame_bytes(&self, at: usize) -> usize;

    /// Appends frame `at` to `out`.
    fn put(&self, at: usize, out: &mut Vec<u8>);

    /// Its frames, for [`crate::Log::append`].
    fn payloads(&self) -> impl Iterator<Item = impl Payload>
    where
        Self: Sized,
    {
        (0..self.frames()).map(move |at| Piece { batch: self, at })
    }
}

impl Batch for Vec<Bytes> {
    fn frames(&self) -> usize {
        self.len()
    }

    fn frame_bytes(&self, at: usize) -> usize {
        self.get(at).map_or(0, Bytes::len)
    }

    fn put(&self, at: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.get(at).map_or(&[], |frame| frame));
    }
}

/// One frame of a batch.
struct Piece<'a, B> {
    batch: &'a B,
    at: usize,
}

impl<B: Batch> Payload for Piece<'_, B> {
    fn put(&self, out: &mut Vec<u8>) {
        self.batch.put(self.at, out);
    }
}
