//! Whether the broker can take records.

use crate::error::LogError;
use crate::mutex::lock;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether appends and commits are expected to work, for readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The last write to each place worked.
    pub writable: bool,
    /// What the last one that did not work said.
    pub reason: Option<String>,
}

/// The places whose last write failed, each with what it said.
#[derive(Debug, Default)]
pub(crate) struct Failing {
    any: AtomicBool,
    places: Mutex<BTreeMap<String, String>>,
}

impl Failing {
    /// The outcome of a write to `place`.
    pub(crate) fn note(&self, place: impl FnOnce() -> String, error: Option<&LogError>) {
        match error {
            // A refusal of one record says nothing about the disk.
            Some(LogError::Wal { .. } | LogError::Io { .. }) => {}
            Some(_) => return,
            None if !self.any.load(Ordering::Acquire) => return,
            None => {}
        }
        let place = place();
        let mut places = lock(&self.places);
        if let Some(error) = error {
            if !places.contains_key(&place) {
                tracing::error!(%place, error = error as &(dyn std::error::Error + 'static), "write failed");
            }
            places.insert(place, chain(error));
        } else if places.remove(&place).is_some() {
            tracing::info!(%place, "writes work again");
        }
        self.any.store(!places.is_empty(), Ordering::Release);
    }

    /// A probe worked: the disk takes writes, so every place gets its next chance.
    pub(crate) fn clear(&self) {
        lock(&self.places).clear();
        self.any.store(false, Ordering::Release);
    }

    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    pub(crate) fn health(&self) -> Health {
        let places = lock(&self.places);
        Health { writable: places.is_empty(), reason: places.values().next().cloned() }
    }
}

fn chain(error: &LogError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
