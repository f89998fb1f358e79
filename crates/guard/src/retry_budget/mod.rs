//! How many retries a caller may add to the load it already makes.
//!
//! A bound on attempts per record does not bound the load on a service that is down: when everything fails,
//! everything is tried that many times. A budget does: every success pays in a share of a token, every retry
//! takes out a whole one, and both are forgotten after a window. So whenever a retry is allowed, the window that
//! ends there holds at most `ratio × successes + per_second_min × window` retries. (After Finagle's `RetryBudget`, with withdrawals
//! kept as long as deposits, so that the bound holds over every window and not only on average.)

use crate::guard::GuardError;
use seawall_core::Nanos;
use std::time::Duration;

const SLOTS: u64 = 10;
/// Tokens are counted in thousandths, as whole numbers: no drift.
const TOKEN: u64 = 1000;

/// How generous a budget is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudgetOptions {
    /// Retries per success, 0 to 1,000; counted in thousandths.
    pub ratio: f64,
    /// Retries per second that are always allowed, 0 to 1,000,000: a quiet caller must be able to retry too.
    pub per_second_min: u32,
    /// How long successes and retries count, 1 s to 1 min; forgotten in tenths.
    pub window: Duration,
}

impl Default for RetryBudgetOptions {
    fn default() -> Self {
        Self { ratio: 0.2, per_second_min: 10, window: Duration::from_secs(10) }
    }
}

impl RetryBudgetOptions {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`GuardError`] naming the field.
    pub fn check(&self) -> Result<(), GuardError> {
        let holds = (0.0..=1000.0).contains(&self.ratio);
        GuardError::unless(holds, "retry_budget.ratio", self.ratio, "between 0 and 1000")?;
        let holds = self.per_second_min <= 1_000_000;
        GuardError::unless(holds, "retry_budget.per_second_min", self.per_second_min, "at most 1000000")?;
        let holds = (Duration::from_secs(1)..=Duration::from_mins(1)).contains(&self.window);
        GuardError::unless(
            holds,
            "retry_budget.window",
            format!("{:?}", self.window),
            "between 1 s and 1 min",
        )
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    tick: u64,
    paid_in: u64,
    taken: u64,
}

/// The budget. Pure: time is a parameter.
#[derive(Debug)]
pub struct RetryBudget {
    deposit: u64,
    reserve: u64,
    slot_ns: u64,
    slots: [Slot; SLOTS as usize],
}

impl RetryBudget {
    /// A budget that holds its reserve.
    ///
    /// # Errors
    /// As [`RetryBudgetOptions::check`].
    pub fn new(options: RetryBudgetOptions) -> Result<Self, GuardError> {
        options.check()?;
        let reserve = f64::from(options.per_second_min) * options.window.as_secs_f64();
        Ok(Self {
            deposit: (options.ratio * TOKEN as f64).round() as u64,
            reserve: reserve as u64 * TOKEN,
            slot_ns: options.window.as_nanos() as u64 / SLOTS,
            slots: Default::default(),
        })
    }

    /// A success.
    pub fn deposit(&mut self, now: Nanos) {
        let deposit = self.deposit;
        self.slot(now).paid_in += deposit;
    }

    /// Leave for one retry; false when the budget is spent.
    #[must_use]
    pub fn withdraw(&mut self, now: Nanos) -> bool {
        if self.left(now) < TOKEN {
            return false;
        }
        self.slot(now).taken += TOKEN;
        true
    }

    /// Retries left at `now`.
    pub fn balance(&self, now: Nanos) -> u64 {
        self.left(now) / TOKEN
    }

    fn left(&self, now: Nanos) -> u64 {
        let tick = self.tick(now);
        let young = self.slots.iter().filter(|slot| slot.tick + SLOTS > tick);
        let (paid_in, taken) = young.fold((0, 0), |(p, t), slot| (p + slot.paid_in, t + slot.taken));
        // Deposits may be forgotten before the retries they paid for: that is debt, and debt allows nothing.
        (self.reserve + paid_in).saturating_sub(taken)
    }

    fn slot(&mut self, now: Nanos) -> &mut Slot {
        let tick = self.tick(now);
        let slot = &mut self.slots[(tick % SLOTS) as usize];
        if slot.tick != tick {
            *slot = Slot { tick, paid_in: 0, taken: 0 };
        }
        slot
    }

    fn tick(&self, now: Nanos) -> u64 {
        now.0 / self.slot_ns + 1
    }
}
