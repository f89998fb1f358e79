//! A message of the client as a record of ours.

use bytes::{Bytes, BytesMut};
use rdkafka::message::{BorrowedMessage, Headers as _, Message};
use seawall_core::{Fetched, Header, Headers, Record, WallMs};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Records share buffers of this size: few allocations, and a record that is held for long holds little else.
const BUFFER_BYTES: usize = 16 * 1024;

/// Copies messages out of the client's memory.
#[derive(Default)]
pub(super) struct Copier {
    buffer: BytesMut,
}

impl Copier {
    /// A message without a value (a tombstone) is a record with an empty one.
    pub(super) fn record(&mut self, message: &BorrowedMessage<'_>) -> Fetched {
        let key = message.key().map(|key| self.copy(key));
        let value = self.copy(message.payload().unwrap_or_default());
        let timestamp = WallMs(message.timestamp().to_millis().unwrap_or(0));
        let headers = self.headers(message);
        let offset = u64::try_from(message.offset()).unwrap_or_default();
        Fetched { offset, record: Record { key, value, headers, timestamp } }
    }

    fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if bytes.is_empty() {
            return Bytes::new();
        }
        if self.buffer.capacity() < bytes.len() {
            if bytes.len() >= BUFFER_BYTES / 4 {
                return Bytes::copy_from_slice(bytes);
            }
            self.buffer = BytesMut::with_capacity(BUFFER_BYTES);
        }
        self.buffer.extend_from_slice(bytes);
        self.buffer.split().freeze()
    }

    fn headers(&mut self, message: &BorrowedMessage<'_>) -> Headers {
        let Some(headers) = message.headers() else { return Headers::default() };
        // The client panics on a header name that is not UTF-8; one producer's mistake must not end the loop.
        let read = |nth| catch_unwind(AssertUnwindSafe(|| headers.try_get(nth)));
        let mut out = Headers::default();
        for nth in 0..headers.count() {
            match read(nth) {
                Ok(Some(header)) => {
                    let value = self.copy(header.value.unwrap_or_default());
                    out.push(Header::new(header.key, value));
                }
                Ok(None) => {}
                Err(_) => tracing::warn!(
                    topic = message.topic(),
                    partition = message.partition(),
                    offset = message.offset(),
                    nth,
                    "a header whose name is not UTF-8 was left out"
                ),
            }
        }
        out
    }
}
