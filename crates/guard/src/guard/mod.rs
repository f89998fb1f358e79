//! The guard: permit first, token second, one answer.
//!
//! The order is the point. A token is spent the moment it is taken, a permit can be given back; so the permit
//! comes first, and a caller that gets no permit has burnt no token. The other way round, a full service eats
//! the rate of the callers it refuses. Between them stands the breaker, which wants to know of a call only
//! when it will be made: a probe's place is given back with the permit when the token is refused.
//!
//! Whatever was granted is held by [`Permits`], and comes back when they are dropped: after the handler has
//! ended, panicked, or was cancelled, and when a waiting future is dropped half-way.

mod options;
mod permit;
mod refusal;
mod shared;
mod snapshot;
mod wait;

pub use options::{GuardError, GuardOptions, Mode};
pub use permit::{Granted, Permits, Sample, Verdict};
pub use refusal::{LimitKind, Refusal};
pub use snapshot::{
    AdaptiveSnapshot, BreakerSnapshot, ConcurrencySnapshot, GuardSnapshot, RateSnapshot, Refusals,
};

use seawall_core::{Clock, Nanos};
use shared::{Shared, Taken};
use std::borrow::Borrow;
use std::sync::Arc;

/// A guard. Cheap to clone; all clones are one guard.
#[derive(Clone, Debug)]
pub struct Guard(Arc<Shared>);

impl Guard {
    /// A guard that reads `clock`; `seed` feeds the breaker's jitter.
    ///
    /// # Errors
    /// [`GuardError`] naming the first option that is out of range.
    pub fn new(options: GuardOptions, clock: Arc<dyn Clock>, seed: u64) -> Result<Self, GuardError> {
        Ok(Self(Arc::new(Shared::new(options, clock, seed)?)))
    }

    /// One permit now, whatever the mode. Holds a clone of the guard: fit to travel into a task.
    ///
    /// # Errors
    /// [`Refusal`]: which limit, its value, when to come back.
    #[inline]
    pub fn try_acquire(&self) -> Result<Permits, Refusal> {
        one(self.0.take(1), || self.clone())
    }

    /// One permit now if it is to be had without a look at the options, in either mode. `None` is no refusal,
    /// and is not counted as one.
    #[inline]
    pub(crate) fn try_acquire_paid(&self) -> Option<Permits> {
        self.0.take_paid(1).map(|pass| Permits::new(self.clone(), 1, pass))
    }

    /// As [`Guard::try_acquire`], with a permit that borrows the guard: the fastest way through.
    ///
    /// # Errors
    /// As [`Guard::try_acquire`].
    #[inline]
    pub fn try_enter(&self) -> Result<Permits<&Self>, Refusal> {
        one(self.0.take(1), || self)
    }

    /// Up to `wanted` permits now, whatever the mode; maybe none, and then the answer holds the refusal.
    pub fn try_acquire_many(&self, wanted: u32) -> Granted {
        many(self.0.take(wanted), self.clone())
    }

    /// As [`Guard::try_acquire_many`], with permits that borrow the guard.
    pub fn try_enter_many(&self, wanted: u32) -> Granted<&Self> {
        many(self.0.take(wanted), self)
    }

    /// One permit, now or (in wait mode) when its turn has come. Dropping the future leaves the line and leaks
    /// nothing.
    ///
    /// # Errors
    /// [`Refusal`] at once in shed mode, when the breaker is open or the line is full; else when the longest
    /// wait is over, or is known to be too short.
    pub async fn acquire(&self) -> Result<Permits, Refusal> {
        self.acquire_many(1).await.map(|granted| granted.permits)
    }

    /// At least one and up to `wanted` permits, now or when the turn for the first of them has come.
    ///
    /// # Errors
    /// As [`Guard::acquire`].
    pub async fn acquire_many(&self, wanted: u32) -> Result<Granted, Refusal> {
        match self.0.mode() {
            Mode::Shed => {
                let granted = self.try_acquire_many(wanted);
                match granted.refusal {
                    Some(refusal) if granted.permits.count() == 0 => Err(refusal),
                    _ => Ok(granted),
                }
            }
            Mode::Wait { max } => wait::take(self, wanted, max).await,
        }
    }

    /// Puts other limits in force, without dropping what is in flight or in line. A changed rate keeps the
    /// tokens left, a changed breaker its state, a changed adaptive limit what it learnt. Whoever keeps to the
    /// `retry_after` of an earlier refusal does not hear of it.
    ///
    /// # Errors
    /// [`GuardError`] naming the first option that is out of range; the old limits stay in force then.
    pub fn reconfigure(&self, options: GuardOptions) -> Result<(), GuardError> {
        self.0.reconfigure(options)
    }

    /// The mode in force.
    pub fn mode(&self) -> Mode {
        self.0.mode()
    }

    /// The options in force.
    pub fn options(&self) -> GuardOptions {
        self.0.options()
    }

    /// The numbers of this moment.
    pub fn snapshot(&self) -> GuardSnapshot {
        self.0.snapshot()
    }

    /// The guard's clock, for measuring what a [`Sample`] needs.
    pub fn now(&self) -> Nanos {
        self.0.now()
    }

    fn shared(&self) -> &Shared {
        &self.0
    }
}

#[inline]
fn one<G: Borrow<Guard>>(taken: Taken, guard: impl FnOnce() -> G) -> Result<Permits<G>, Refusal> {
    match taken.refusal {
        Some(refusal) => Err(refusal),
        None => Ok(Permits::new(guard(), taken.count, taken.pass)),
    }
}

fn many<G: Borrow<Guard>>(taken: Taken, guard: G) -> Granted<G> {
    Granted {
        permits: Permits::new(guard, taken.count, taken.pass),
        next_at: taken.next_at,
        refusal: taken.refusal,
    }
}
