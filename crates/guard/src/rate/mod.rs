//! Admissions per second: GCRA (the leaky bucket as a meter, ITU-T I.371), decided by governor.
//!
//! GCRA keeps one number, the theoretical arrival time of the next token, and decides by one
//! compare-and-swap on it; over any stretch of `t` seconds it admits at most `rate × t + burst`. What is
//! added here is the partial batch: governor admits all of `n` or none, and says when all of them would
//! pass; how far that lies ahead tells how many pass now.

use crate::clock::GovernorClock;
use crate::guard::GuardError;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos as Ticks;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use seawall_core::{Clock, Nanos};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// The slowest rate: one admission a day.
pub const PER_SECOND_MIN: f64 = 1.0 / 86_400.0;
/// The fastest rate. A token is a whole number of nanoseconds, rounded up, so the rate in force lies below
/// the one asked for, by 1 % at most here and by less for slower ones.
pub const PER_SECOND_MAX: f64 = 10_000_000.0;
/// The largest burst, in records.
pub const BURST_MAX: u32 = 1_000_000;

/// A rate limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateOptions {
    /// Admissions per second, [`PER_SECOND_MIN`] to [`PER_SECOND_MAX`].
    pub per_second: f64,
    /// Admissions at once after a pause, 1 to [`BURST_MAX`]. Timers tick in milliseconds: in wait mode a burst
    /// below a millisecond's worth of the rate holds the flow below the rate.
    pub burst: u32,
}

impl RateOptions {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`GuardError`] naming the field.
    pub fn check(&self) -> Result<(), GuardError> {
        GuardError::unless(
            (PER_SECOND_MIN..=PER_SECOND_MAX).contains(&self.per_second),
            "rate.per_second",
            self.per_second,
            format_args!("between {PER_SECOND_MIN:.6} (one a day) and {PER_SECOND_MAX}"),
        )?;
        GuardError::unless(
            (1..=BURST_MAX).contains(&self.burst),
            "rate.burst",
            self.burst,
            format_args!("between 1 and {BURST_MAX}"),
        )
    }

    /// How many tokens may be taken ahead of their use: an eighth of the burst, 64 at most (two batches of
    /// 32). Bursts below 16 take none, and are metered to the token.
    pub(crate) fn ahead(&self) -> u32 {
        (self.burst / 8).clamp(1, 65) - 1
    }

    fn period(&self) -> Duration {
        Duration::from_nanos((1e9 / self.per_second).ceil() as u64)
    }
}

/// What a rate limit gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// How many, at most what was asked for.
    pub count: u32,
    /// Where it is less: when the next one comes, if nobody else takes it.
    pub next_at: Option<Nanos>,
}

/// A rate limit at work. Shared by reference; lock-free.
pub struct Rate {
    options: RateOptions,
    /// The limiter's own share of the burst.
    burst: u32,
    period: u64,
    clock: Arc<dyn Clock>,
    limiter: RateLimiter<NotKeyed, InMemoryState, GovernorClock, NoOpMiddleware<Ticks>>,
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rate").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Rate {
    /// A limit that starts with its whole burst.
    ///
    /// # Errors
    /// As [`RateOptions::check`].
    pub fn new(options: RateOptions, clock: Arc<dyn Clock>) -> Result<Self, GuardError> {
        Self::with_ahead(options, 0, clock)
    }

    /// A limit whose caller holds up to `ahead` tokens taken in advance. They are part of the burst: what the
    /// limiter itself gives at once is that much less, so over any stretch of time both together admit no more
    /// than `rate × t + burst`. At the start the caller holds them all.
    pub(crate) fn with_ahead(
        options: RateOptions,
        ahead: u32,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, GuardError> {
        options.check()?;
        let period = options.period();
        let burst = NonZeroU32::new(options.burst.saturating_sub(ahead)).unwrap_or(NonZeroU32::MIN);
        // The period is at least 100 ns by the check; one per second would only be slower, never unbounded.
        let quota =
            Quota::with_period(period).unwrap_or(Quota::per_second(NonZeroU32::MIN)).allow_burst(burst);
        let limiter = RateLimiter::direct_with_clock(quota, GovernorClock(Arc::clone(&clock)));
        Ok(Self { options, burst: burst.get(), period: period.as_nanos() as u64, clock, limiter })
    }

    /// The limit in force.
    pub fn options(&self) -> RateOptions {
        self.options
    }

    /// Takes one token.
    #[inline]
    pub fn take_one(&self) -> Tokens {
        match self.limiter.check() {
            Ok(()) => Tokens { count: 1, next_at: None },
            Err(until) => Tokens { count: 0, next_at: Some(Nanos(until.earliest_possible().as_u64())) },
        }
    }

    /// Takes as many tokens as there are, up to `wanted`.
    pub fn take(&self, wanted: u32) -> Tokens {
        if wanted == 1 {
            return self.take_one();
        }
        let mut ask = wanted.min(self.burst);
        while let Some(n) = NonZeroU32::new(ask) {
            match self.limiter.check_n(n) {
                Ok(Ok(())) => {
                    let next_at = (ask < wanted).then(|| self.clock.now().plus(self.token()));
                    return Tokens { count: ask, next_at };
                }
                Ok(Err(until)) => {
                    // All of `ask` pass at `all_at`; each token before that is one period earlier.
                    let all_at = until.earliest_possible().as_u64();
                    let missing = all_at.saturating_sub(self.clock.now().0).div_ceil(self.period).max(1);
                    let missing = u32::try_from(missing).unwrap_or(u32::MAX);
                    if missing >= ask {
                        let first_at = all_at.saturating_sub(u64::from(ask - 1) * self.period);
                        return Tokens { count: 0, next_at: Some(Nanos(first_at)) };
                    }
                    ask -= missing;
                }
                // Above the burst, which the bound on `ask` excludes.
                Err(_) => break,
            }
        }
        Tokens { count: 0, next_at: Some(self.clock.now().plus(self.token())) }
    }

    /// Takes all tokens there are: what a limit that replaces this one may start with.
    pub(crate) fn drain(&self) -> u32 {
        self.take(self.burst).count
    }

    /// Lowers the tokens of a fresh limit to `left`.
    pub(crate) fn start_with(&self, left: u32) {
        let spent = self.burst.saturating_sub(left);
        if spent > 0 {
            self.take(spent);
        }
    }

    fn token(&self) -> Duration {
        Duration::from_nanos(self.period)
    }
}
