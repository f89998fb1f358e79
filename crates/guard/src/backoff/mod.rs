//! How long to wait before the next attempt: exponential, capped, jittered.
//!
//! A pure function of the attempt and a seed. Jitter is what keeps those that failed together from coming
//! back together; the two kinds are from M. Brooker, "Exponential Backoff And Jitter" (AWS, 2015).

use crate::guard::GuardError;
use std::time::Duration;

/// How much of the delay is random.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Jitter {
    /// None: exact delays.
    None,
    /// Anything from 0 to the whole delay: spreads best.
    Full,
    /// Half of the delay, plus anything up to the other half: never comes back at once.
    #[default]
    Equal,
}

/// Delays between attempts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The delay after the first attempt, above 0.
    pub base: Duration,
    /// Each further delay is this times the one before; 1 to 100.
    pub factor: f64,
    /// No delay is longer; at least `base`, at most 24 h.
    pub max: Duration,
    /// How much of it is random.
    pub jitter: Jitter,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(100),
            factor: 2.0,
            max: Duration::from_secs(5),
            jitter: Jitter::default(),
        }
    }
}

impl Backoff {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`GuardError`] naming the field.
    pub fn check(&self) -> Result<(), GuardError> {
        GuardError::unless(!self.base.is_zero(), "backoff.base", format!("{:?}", self.base), "above 0")?;
        let holds = (1.0..=100.0).contains(&self.factor);
        GuardError::unless(holds, "backoff.factor", self.factor, "between 1 and 100")?;
        GuardError::unless(
            self.max >= self.base && self.max <= Duration::from_hours(24),
            "backoff.max",
            format!("{:?}", self.max),
            format_args!("at least backoff.base ({:?}) and at most 24 h", self.base),
        )
    }

    /// The wait after attempt number `attempt` (1 for the first) has failed. The same for the same seed.
    pub fn delay(&self, attempt: u32, seed: u64) -> Duration {
        let whole = self.ceiling(attempt);
        // The attempt enters the seed, else one record would draw the same share every time.
        let draw = || fastrand::Rng::with_seed(seed.wrapping_add(u64::from(attempt) << 48)).f64();
        match self.jitter {
            Jitter::None => whole,
            Jitter::Full => whole.mul_f64(draw()),
            Jitter::Equal => whole / 2 + (whole / 2).mul_f64(draw()),
        }
    }

    /// The longest wait that [`Backoff::delay`] may give after `attempt`.
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.base.as_secs_f64() * self.factor.powi(exponent);
        if seconds >= self.max.as_secs_f64() { self.max } else { Duration::from_secs_f64(seconds) }
    }
}
