//! Why a store did not do what it was asked.

use seawall_core::{Class, Classify, Fence};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// Why a store did not do what it was asked. Cheap to clone.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another claim has taken the place of this one, or the store has forgotten it. Its owner must not act
    /// under it any more.
    #[error("the claim under fence {} is lost; the last fence known is {}", ours.0, current.0)]
    Fenced {
        /// The fence of the request.
        ours: Fence,
        /// The last one granted, zero where the store knows none.
        current: Fence,
    },
    /// The store could not be asked; nothing was applied.
    #[error("the claim store is unavailable")]
    Unavailable(#[source] Arc<dyn Error + Send + Sync>),
    /// The store was asked but the answer is missing: applied or not, nobody knows.
    #[error("the claim store did not answer; the request may have been applied")]
    Unknown(#[source] Arc<dyn Error + Send + Sync>),
    /// A bound is reached by claims that are out.
    #[error(
        "the claim store is full of claims: {used} of {max} {unit}; raise its bound, or run fewer at once"
    )]
    Full {
        /// `entries` or `bytes`.
        unit: &'static str,
        /// In use.
        used: u64,
        /// The bound.
        max: u64,
        /// When there may be room, where the store can say.
        retry_after: Option<Duration>,
    },
    /// A completion's result is larger than the store keeps.
    #[error("a result has at most {max} bytes, not {bytes}; store a reference to it instead")]
    ResultTooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
}

impl StoreError {
    /// [`StoreError::Unavailable`] because of `source`.
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(Arc::from(source.into()))
    }

    /// [`StoreError::Unknown`] because of `source`.
    pub fn unknown(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unknown(Arc::from(source.into()))
    }

    /// Whether the claim is lost for good.
    pub fn is_fenced(&self) -> bool {
        matches!(self, Self::Fenced { .. })
    }
}

impl Classify for StoreError {
    fn class(&self) -> Class {
        match self {
            Self::Fenced { .. } | Self::ResultTooLarge { .. } => Class::Permanent,
            Self::Unavailable(_) | Self::Unknown(_) => Class::Transient,
            Self::Full { .. } => Class::Overload,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Full { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
