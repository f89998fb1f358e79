//! What can go wrong on the paved path.

use seawall_core::{Class, Classify, Fault};

/// Why the log cannot be opened or a pipeline cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log.
    #[error(transparent)]
    Log(#[from] seawall_log::LogError),
    /// The claim store.
    #[error(transparent)]
    Claims(#[from] seawall_stores::OpenError),
    /// The guard's options.
    #[error(transparent)]
    Guard(#[from] seawall_guard::GuardError),
    /// The consumer's options.
    #[error(transparent)]
    Consumer(#[from] seawall_consumer::OptionsError),
    /// The record was not taken.
    #[error("not taken: {0}")]
    NotTaken(Fault),
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Self::Log(error) => error.class(),
            Self::NotTaken(fault) => fault.class(),
            Self::Claims(_) | Self::Guard(_) | Self::Consumer(_) => Class::Permanent,
        }
    }
}
