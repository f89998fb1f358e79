//! What the bodies of all requests take together: many of them at once must not take what the process has.

use super::append::COME_BACK;
use crate::problem::Problem;
use http::StatusCode;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Room for bodies, in bytes.
#[derive(Debug)]
pub struct Memory {
    max: usize,
    used: AtomicUsize,
}

/// What one request has of it; given back when this is dropped.
#[derive(Debug)]
pub(super) struct Held<'a> {
    memory: &'a Memory,
    bytes: usize,
}

impl Memory {
    /// Room for `max` bytes.
    pub fn new(max: usize) -> Self {
        Self { max, used: AtomicUsize::new(0) }
    }

    /// Bytes held now.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Nothing yet.
    pub(super) fn hold(&self) -> Held<'_> {
        Held { memory: self, bytes: 0 }
    }
}

impl Held<'_> {
    /// Takes room for so many bytes more.
    ///
    /// # Errors
    /// 503 where there is not as much.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Problem> {
        let max = self.memory.max;
        let more = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= max);
        match self.memory.used.fetch_update(Relaxed, Relaxed, more) {
            Ok(_) => {
                self.bytes += bytes;
                Ok(())
            }
            Err(used) => Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "memory",
                "Too many bytes at a time",
                format!("bodies hold {used} bytes already, {bytes} more are over ingest.memory, {max} bytes"),
            )
            .with("limit", "memory")
            .with("value", max)
            .after(COME_BACK)),
        }
    }

    /// Gives so many bytes back.
    pub(super) fn give_back(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.memory.used.fetch_sub(bytes, Relaxed);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}
