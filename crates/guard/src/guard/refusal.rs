//! A refusal says which limit, its value, and when to come back.

use seawall_core::{Class, Classify};
use std::fmt;
use std::time::Duration;

/// Which limit refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitKind {
    /// Admissions per second.
    Rate,
    /// The static limit of what is in flight (or the bound of who waits for it).
    Concurrency,
    /// The adaptive limit, while it stands below the static one.
    Adaptive,
    /// The breaker is open, or its probes are out.
    Breaker,
}

impl LimitKind {
    /// Every kind, in the order of the counters.
    pub const ALL: [Self; 4] = [Self::Rate, Self::Concurrency, Self::Adaptive, Self::Breaker];

    /// The lower-case name used in metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Concurrency => "concurrency",
            Self::Adaptive => "adaptive",
            Self::Breaker => "breaker",
        }
    }
}

impl fmt::Display for LimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not now. Says nothing against the record: its class is always [`Class::Overload`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refusal {
    /// Which limit.
    pub limit: LimitKind,
    /// Its value at that moment: records a second, records in flight, or the breaker's failure ratio.
    pub value: f64,
    /// When coming back makes sense, where it is known: always for the rate and an open breaker; never for
    /// concurrency and a half-open breaker whose probes are out, which depend on how long others take.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            LimitKind::Rate => write!(f, "rate limit of {}/s reached", self.value)?,
            LimitKind::Concurrency => write!(f, "concurrency limit of {} in flight reached", self.value)?,
            LimitKind::Adaptive => write!(f, "adaptive limit of {} in flight reached", self.value)?,
            LimitKind::Breaker => write!(f, "breaker open at a failure ratio of {:.2}", self.value)?,
        }
        match (self.retry_after, self.limit) {
            (Some(after), _) => write!(f, "; come back in {after:?}"),
            (None, LimitKind::Breaker) => f.write_str("; come back when its probes are done"),
            (None, _) => f.write_str("; come back when some of it is done"),
        }
    }
}

impl std::error::Error for Refusal {}

impl Classify for Refusal {
    fn class(&self) -> Class {
        Class::Overload
    }

    fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}
