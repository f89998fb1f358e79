//! What a frame is made of.

/// Something that becomes the payload of a frame, written where it is to stand: what is in pieces needs no copy of its
/// own first.
pub trait Payload {
    /// Appends the payload's bytes to `out`, and does nothing else to it.
    fn put(&self, out: &mut Vec<u8>);
}

impl<T: AsRef<[u8]> + ?Sized> Payload for T {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_ref());
    }
}
