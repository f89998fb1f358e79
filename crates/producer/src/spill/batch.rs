//! What goes to the log together.

use super::block::pack;
use super::frame;
use bytes::{Bytes, BytesMut};
use seawall_core::Outgoing;
use std::sync::Arc;

/// Records that the producer keeps until they are written, while the log's thread encodes them into its own buffer.
pub(crate) struct Records {
    pub(crate) records: Vec<Outgoing>,
    /// Bytes of each one's frame.
    pub(crate) bytes: Vec<usize>,
}

impl Records {
    pub(crate) fn new(records: Vec<Outgoing>) -> Self {
        let bytes = records.iter().map(frame::record_bytes).collect();
        Self { records, bytes }
    }

    /// The records alone; copied where the log still has them.
    pub(crate) fn take(this: Arc<Self>) -> Vec<Outgoing> {
        Arc::try_unwrap(this).map_or_else(|this| this.records.clone(), |this| this.records)
    }
}

/// Frames that are written all or none.
pub(crate) enum Batch {
    Frames(Vec<Bytes>),
    /// Records, and the progress behind them.
    Records(Arc<Records>, Option<Bytes>),
}

impl Batch {
    /// With its records compressed.
    pub(super) fn packed(self) -> Self {
        let (records, progress) = match self {
            Self::Frames(frames) => return Self::Frames(pack(frames)),
            Self::Records(records, progress) => (records, progress),
        };
        let mut buffer = BytesMut::with_capacity(records.bytes.iter().sum());
        let mut encoded = |outgoing| {
            frame::put_record(outgoing, &mut buffer);
            buffer.split().freeze()
        };
        let mut frames: Vec<Bytes> = records.records.iter().map(&mut encoded).collect();
        frames.extend(progress);
        Self::Frames(pack(frames))
    }
}

impl seawall_wal::Batch for Batch {
    fn frames(&self) -> usize {
        match self {
            Self::Frames(frames) => frames.len(),
            Self::Records(records, progress) => records.records.len() + usize::from(progress.is_some()),
        }
    }

    fn frame_bytes(&self, at: usize) -> usize {
        match self {
            Self::Frames(frames) => frames.frame_bytes(at),
            Self::Records(records, progress) => {
                let progress = progress.as_ref().map_or(0, Bytes::len);
                records.bytes.get(at).copied().unwrap_or(progress)
            }
        }
    }

    fn put(&self, at: usize, out: &mut Vec<u8>) {
        match self {
            Self::Frames(frames) => frames.put(at, out),
            Self::Records(records, progress) => match (records.records.get(at), progress) {
                (Some(outgoing), _) => frame::put_record(outgoing, out),
                (None, Some(progress)) => out.extend_from_slice(progress),
                (None, None) => {}
            },
        }
    }
}
