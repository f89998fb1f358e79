//! Protection for what is called: how often, how many at once, and not while it is broken.
//!
//! Each decision stands alone and does no I/O; time and randomness are parameters:
//!
//! - [`rate`]: admissions per second (GCRA).
//! - [`concurrency`]: permits, a fair bounded line, a limit that changes at run time.
//! - [`adaptive`]: the concurrency limit that follows the latency.
//! - [`breaker`]: stops calling what keeps failing, and probes.
//! - [`backoff`]: how long to wait before the next attempt.
//! - [`retry_budget`]: how many retries are affordable at all.
//!
//! [`Guard`] composes the first four in the one right order, and [`layer`] puts a guard around any tower
//! service: an axum route, a client, a service of deliveries.
//!
//! ```
//! use seawall_guard::{Guard, GuardOptions, Sample, TscClock, Verdict};
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! let guard = Guard::new(GuardOptions::default(), Arc::new(TscClock::new()), 1)?;
//! let mut permits = guard.try_acquire()?;
//! assert_eq!(guard.snapshot().concurrency.used, 1);
//! permits.settle(Sample { latency: Duration::from_millis(3), verdict: Verdict::Ok });
//! assert_eq!(guard.snapshot().concurrency.used, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod adaptive;
pub mod backoff;
pub mod breaker;
pub mod clock;
pub mod concurrency;
pub mod guard;
pub mod layer;
pub mod rate;
pub mod retry_budget;

pub use adaptive::AdaptiveOptions;
pub use backoff::{Backoff, Jitter};
pub use breaker::{BreakerOptions, BreakerState};
pub use clock::TscClock;
pub use concurrency::ConcurrencyOptions;
pub use guard::{
    Granted, Guard, GuardError, GuardOptions, GuardSnapshot, LimitKind, Mode, Permits, Refusal, Sample,
    Verdict,
};
pub use layer::{GuardLayer, GuardService, Refuse};
pub use rate::RateOptions;
pub use retry_budget::{RetryBudget, RetryBudgetOptions};
