//! What a guard is told, and why it refuses to be told nonsense.

use crate::adaptive::AdaptiveOptions;
use crate::breaker::BreakerOptions;
use crate::concurrency::ConcurrencyOptions;
use crate::rate::RateOptions;
use seawall_core::{Class, Classify};
use std::time::Duration;

/// What happens to a caller that cannot be served at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Refused at once, told when to come back.
    #[default]
    Shed,
    /// Waits in line, first come first served, for at most `max` (above 0, at most one hour), then refused.
    /// An open breaker still refuses at once: waiting for a broken service only fills the queue.
    Wait {
        /// The longest wait.
        max: Duration,
    },
}

/// Everything that can be set, and changed while running.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GuardOptions {
    /// Refuse or wait.
    pub mode: Mode,
    /// The static limit of what is in flight, and of who waits for it.
    pub concurrency: ConcurrencyOptions,
    /// Admissions per second; `None` is unlimited.
    pub rate: Option<RateOptions>,
    /// Adapts the limit to the latency seen, below the static one; `None` keeps it static.
    pub adaptive: Option<AdaptiveOptions>,
    /// Stops calling what keeps failing; `None` never stops.
    pub breaker: Option<BreakerOptions>,
}

/// Why options are refused. The guard stays as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// A field out of its range.
    #[error("{field} = {value}: must be {right}")]
    OutOfRange {
        /// The path of the field, such as `rate.per_second`.
        field: &'static str,
        /// The value as given.
        value: String,
        /// What would be right.
        right: String,
    },
}

impl Classify for GuardError {
    fn class(&self) -> Class {
        Class::Permanent
    }
}

impl GuardError {
    /// `Ok` where `holds`, else the error that names the field, its value and what would be right.
    pub(crate) fn unless(
        holds: bool,
        field: &'static str,
        value: impl ToString,
        right: impl ToString,
    ) -> Result<(), Self> {
        if holds {
            return Ok(());
        }
        Err(Self::OutOfRange { field, value: value.to_string(), right: right.to_string() })
    }
}

impl GuardOptions {
    /// Checks every field and how they go together.
    ///
    /// # Errors
    /// The first [`GuardError`] found.
    pub fn check(&self) -> Result<(), GuardError> {
        if let Mode::Wait { max } = self.mode {
            let holds = !max.is_zero() && max <= Duration::from_hours(1);
            GuardError::unless(holds, "mode.wait.max", format!("{max:?}"), "above 0 and at most 1 h")?;
        }
        self.concurrency.check()?;
        if let Some(rate) = &self.rate {
            rate.check()?;
        }
        if let Some(adaptive) = &self.adaptive {
            adaptive.check(self.concurrency.limit)?;
        }
        if let Some(breaker) = &self.breaker {
            breaker.check()?;
        }
        Ok(())
    }
}
