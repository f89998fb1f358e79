//! What a handler says of a delivery.

use crate::fault::{Class, Fault};
use std::time::Duration;

/// The handler's verdict. Only the consumer's `settle` turns it into an acknowledgement.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Done; the effect stands.
    Ack,
    /// Not now. The class decides: `Overload` does not count as an attempt and feeds the adaptive limit,
    /// `Transient` and `Bug` count towards the pipeline's bounds; `retry_after` is honoured when given.
    Retry(Fault),
    /// Never: straight to the dead letters.
    DeadLetter(Fault),
}

impl Outcome {
    /// The verdict a fault's class stands for.
    pub fn from_fault(fault: Fault) -> Self {
        match fault.class() {
            Class::Permanent => Self::DeadLetter(fault),
            Class::Transient | Class::Overload | Class::Bug => Self::Retry(fault),
        }
    }

    /// Whether the effect stands.
    pub fn is_ack(&self) -> bool {
        matches!(self, Self::Ack)
    }

    /// When to come back, where the other side said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Retry(fault) => fault.retry_after(),
            Self::Ack | Self::DeadLetter(_) => None,
        }
    }
}

impl<T, E: Into<Fault>> From<Result<T, E>> for Outcome {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(_) => Self::Ack,
            Err(error) => Self::from_fault(error.into()),
        }
    }
}
