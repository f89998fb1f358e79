//! What may be in flight: permits, a fair bounded line for those who wait, a limit that changes at run time.
//!
//! The permits are a number in an atomic word ([`word`]), which makes the undisturbed path two atomic steps;
//! whoever must wait does so in a tokio semaphore, which is first come first served and cancellable by
//! dropping. The semaphore alone would not do: its limit cannot be lowered below what is out.

pub mod word;

use crate::guard::GuardError;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::Semaphore;
use word::{Line, Word};

/// The highest concurrency limit, and the longest line.
pub const LIMIT_MAX: u32 = 1_000_000;

/// The static bound of what is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConcurrencyOptions {
    /// Permits, 1 to [`LIMIT_MAX`].
    pub limit: u32,
    /// Callers in line at once (those waiting for permits, and as many waiting for tokens), 1 to
    /// [`LIMIT_MAX`]; one more is refused. Only wait mode has a line.
    pub waiting_max: u32,
}

impl Default for ConcurrencyOptions {
    fn default() -> Self {
        Self { limit: 500, waiting_max: 10_000 }
    }
}

impl ConcurrencyOptions {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`GuardError`] naming the field.
    pub fn check(&self) -> Result<(), GuardError> {
        for (field, value) in
            [("concurrency.limit", self.limit), ("concurrency.waiting_max", self.waiting_max)]
        {
            let right = format_args!("between 1 and {LIMIT_MAX}");
            GuardError::unless((1..=LIMIT_MAX).contains(&value), field, value, right)?;
        }
        Ok(())
    }
}

impl Line for Semaphore {
    fn add(&self, n: u32) {
        self.add_permits(n as usize);
    }

    fn take_back(&self) -> u32 {
        self.forget_permits(self.available_permits()) as u32
    }
}

/// The line is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineFull;

/// A resizable pool of permits with a fair line. Counts only: whoever takes permits gives them back.
#[derive(Debug)]
pub struct Gate {
    word: Word,
    line: Semaphore,
    /// For snapshots and refusals; the word alone decides.
    limit: AtomicU32,
}

impl Gate {
    /// A gate with `limit` permits.
    pub fn new(limit: u32) -> Self {
        Self { word: Word::new(limit), line: Semaphore::new(0), limit: AtomicU32::new(limit) }
    }

    /// Takes up to `wanted` permits at once; none while somebody waits.
    #[inline]
    pub fn try_take(&self, wanted: u32) -> u32 {
        self.word.try_take(wanted)
    }

    /// Takes `n` permits and as many paid tokens in one step, or nothing.
    #[inline]
    pub fn try_take_paid(&self, n: u32) -> bool {
        self.word.try_take_paid(n)
    }

    /// Adds paid tokens, up to `max` in all.
    pub fn add_tokens(&self, n: u32, max: u32) {
        self.word.add_tokens(n, max);
    }

    /// Takes up to `n` paid tokens.
    pub fn take_tokens(&self, n: u32) -> u32 {
        self.word.take_tokens(n)
    }

    /// Waits in line for one permit, at most `waiting_max` callers at a time. Dropping the future leaves the
    /// line and gives back what was meant for it.
    ///
    /// # Errors
    /// [`LineFull`] at once.
    pub async fn wait_one(&self, waiting_max: u32) -> Result<(), LineFull> {
        if !self.word.enter(waiting_max) {
            return Err(LineFull);
        }
        let _place = Place(self);
        self.word.pump(&self.line);
        // The semaphore is never closed; were it, the caller would be told the line is full.
        let permit = self.line.acquire().await.map_err(|_closed| LineFull)?;
        permit.forget();
        Ok(())
    }

    /// Gives `n` permits back.
    #[inline]
    pub fn put(&self, n: u32) {
        if self.word.put(n) {
            self.word.pump(&self.line);
        }
    }

    /// Changes the limit. Permits that are out stay out; when lowered, what comes back pays the difference
    /// before anyone else is let in.
    pub fn resize(&self, limit: u32) {
        // Concurrent callers are served in the order of their swaps, and the differences add up.
        let old = self.limit.swap(limit, Ordering::AcqRel);
        if limit > old {
            self.put(limit - old);
        } else {
            self.word.withdraw(old - limit);
        }
    }

    /// The limit in force.
    pub fn limit(&self) -> u32 {
        self.limit.load(Ordering::Acquire)
    }

    /// Permits out; above the limit for a while after it was lowered.
    pub fn used(&self) -> u32 {
        let (free, _) = self.word.read();
        let idle = free + self.line.available_permits() as i64;
        u32::try_from(i64::from(self.limit()) - idle).unwrap_or(0)
    }

    /// Callers in line.
    pub fn waiting(&self) -> u32 {
        self.word.read().1
    }
}

/// A place in the line, given up on drop.
struct Place<'a>(&'a Gate);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.word.leave();
        self.0.word.pump(&self.0.line);
    }
}
