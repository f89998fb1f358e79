//! Free permits, paid tokens and waiting callers in one atomic word.
//!
//! Taking a permit must fail while somebody waits (else the line is not fair), and giving one back must see
//! the waiter that just lined up (else a wake-up is lost). With both numbers in one word every step is a
//! read-modify-write on the same location, so there is a single order of all steps and neither can miss the
//! other. Free permits may be negative: lowering the limit takes permits that are still out, and what comes
//! back pays that debt first.
//!
//! Paid tokens are rate tokens taken from the limiter ahead of their use, a few at a time. With them in the same
//! word, the usual call takes its permit and its token in one step and never reads a clock; and a call without
//! a permit cannot burn a token.
//!
//! Checked by loom (`tests/loom_gate.rs`).

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Bits 0 to 21: free permits, with `BIAS` added so that a debt never borrows from the bits above.
const FREE_MASK: u64 = (1 << 22) - 1;
const BIAS: u64 = 1 << 21;
/// Bits 22 to 41: paid tokens.
const TOKEN: u64 = 1 << 22;
const TOKEN_MASK: u64 = (1 << 20) - 1;
/// Bits 42 to 63: waiting callers.
const WAITER: u64 = 1 << 42;

/// The line behind the word: permits added to it go to its waiters in order. A tokio semaphore, or loom's model.
pub trait Line {
    /// Hands `n` permits to the line.
    fn add(&self, n: u32);
    /// Takes back what nobody in the line took.
    fn take_back(&self) -> u32;
}

/// Free permits (at most 2^20 either way), paid tokens (below 2^20) and waiting callers (below 2^22).
#[derive(Debug)]
pub struct Word(AtomicU64);

fn free_of(word: u64) -> i64 {
    (word & FREE_MASK) as i64 - BIAS as i64
}

fn tokens_of(word: u64) -> u64 {
    (word / TOKEN) & TOKEN_MASK
}

fn waiting_of(word: u64) -> u32 {
    (word / WAITER) as u32
}

impl Word {
    /// A word with `free` permits, no tokens, and nobody waiting.
    pub fn new(free: u32) -> Self {
        Self(AtomicU64::new(BIAS + u64::from(free)))
    }

    /// Free permits (negative: owed after the limit was lowered) and waiting callers.
    pub fn read(&self) -> (i64, u32) {
        let word = self.0.load(Ordering::Acquire);
        (free_of(word), waiting_of(word))
    }

    /// Takes `n` permits and `n` paid tokens in one step, or nothing; nothing while somebody waits.
    #[inline]
    pub fn try_take_paid(&self, n: u32) -> bool {
        let wanted = u64::from(n);
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            if word >= WAITER || free_of(word) < i64::from(n) || tokens_of(word) < wanted || n == 0 {
                return false;
            }
            let next = word - wanted * TOKEN - wanted;
            match self.0.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Adds paid tokens, up to `max` in all. What does not fit is lost: that admits fewer, never more.
    pub fn add_tokens(&self, n: u32, max: u32) {
        self.change_tokens(|tokens| (tokens + u64::from(n)).min(u64::from(max)).max(tokens));
    }

    /// Takes up to `n` paid tokens.
    pub fn take_tokens(&self, n: u32) -> u32 {
        let before = self.change_tokens(|tokens| tokens.saturating_sub(u64::from(n)));
        before.min(u64::from(n)) as u32
    }

    fn change_tokens(&self, change: impl Fn(u64) -> u64) -> u64 {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let before = tokens_of(word);
            let after = change(before) & TOKEN_MASK;
            if after == before {
                return before;
            }
            let next = word - before * TOKEN + after * TOKEN;
            match self.0.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return before,
                Err(now) => word = now,
            }
        }
    }

    /// Takes up to `wanted` permits; none while somebody waits.
    #[inline]
    pub fn try_take(&self, wanted: u32) -> u32 {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let free = free_of(word);
            if word >= WAITER || free <= 0 {
                return 0;
            }
            let taken = u64::from(wanted).min(free as u64);
            match self.0.compare_exchange_weak(word, word - taken, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return taken as u32,
                Err(now) => word = now,
            }
        }
    }

    /// Gives `n` permits back; true when somebody waits, so that [`Word::pump`] must follow.
    #[inline]
    #[must_use]
    pub fn put(&self, n: u32) -> bool {
        self.0.fetch_add(u64::from(n), Ordering::AcqRel) >= WAITER
    }

    /// Withdraws `n` permits, free or still out.
    pub fn withdraw(&self, n: u32) {
        self.0.fetch_sub(u64::from(n), Ordering::AcqRel);
    }

    /// Lines up, unless `max` are waiting already. [`Word::pump`] must follow: a permit may have come back
    /// since the last look.
    #[must_use]
    pub fn enter(&self, max: u32) -> bool {
        let mut word = self.0.load(Ordering::Relaxed);
        while waiting_of(word) < max {
            match self.0.compare_exchange_weak(word, word + WAITER, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Leaves the line, served or not. [`Word::pump`] must follow: what was handed over for it may lie in the
    /// line unclaimed.
    pub fn leave(&self) {
        self.0.fetch_sub(WAITER, Ordering::AcqRel);
    }

    /// Moves free permits into the line while somebody waits, and back out when nobody does.
    pub fn pump(&self, line: &impl Line) {
        loop {
            let moved = self.hand_over();
            if moved > 0 {
                line.add(moved);
            }
            // Either this sees that the last waiter has left, or that waiter's own pump sees what was added.
            fence(Ordering::SeqCst);
            if self.read().1 > 0 {
                return;
            }
            let left = line.take_back();
            if left == 0 || !self.put(left) {
                return;
            }
        }
    }

    fn hand_over(&self) -> u32 {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let free = free_of(word);
            let moved = u64::from(waiting_of(word)).min(free.max(0) as u64);
            if moved == 0 {
                return 0;
            }
            match self.0.compare_exchange_weak(word, word - moved, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return moved as u32,
                Err(now) => word = now,
            }
        }
    }
}
