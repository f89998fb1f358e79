//! Waiting in line, for a permit and then for a token.
//!
//! Two lines, one after the other, both first come first served. The permit is held while its holder waits
//! for a token, so the token line is never longer than the concurrency limit, and whoever got through the
//! first line cannot be overtaken in the second: newcomers see that somebody waits and line up behind.

use super::Guard;
use super::permit::{Granted, Permits};
use super::refusal::{LimitKind, Refusal};
use super::shared::{Shared, Taken};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// At least one permit within `max`, and up to `wanted` of them.
pub(super) async fn take(guard: &Guard, wanted: u32, max: Duration) -> Result<Granted, Refusal> {
    if wanted == 0 {
        return Ok(guard.try_acquire_many(0));
    }
    let result = in_line(guard, wanted, Instant::now() + max).await;
    if let Err(refusal) = &result {
        guard.shared().count(refusal.limit);
    }
    result
}

async fn in_line(guard: &Guard, wanted: u32, deadline: Instant) -> Result<Granted, Refusal> {
    let shared = guard.shared();
    if let Some(refusal) = shared.broken() {
        return Err(refusal);
    }
    let mut held = first_permit(shared, wanted, deadline).await?;
    if shared.token_waiting.load(Ordering::Acquire) == 0 {
        let taken = shared.admit(held.count);
        if taken.count > 0 {
            return Ok(held.granted(guard, taken, wanted));
        }
        if let Some(refusal) = taken.refusal
            && refusal.limit != LimitKind::Rate
        {
            return Err(refusal);
        }
    }
    let _place = TokenPlace::enter(shared)?;
    let Ok(_turn) = timeout_at(deadline, shared.token_turn.lock()).await else {
        return Err(shared.no_token());
    };
    loop {
        let taken = shared.admit(held.count);
        if taken.count > 0 {
            return Ok(held.granted(guard, taken, wanted));
        }
        let refusal = taken.refusal.unwrap_or_else(|| shared.no_token());
        let wait = refusal.retry_after.unwrap_or_default();
        // Waiting for what will come too late would only keep the permit from others.
        if refusal.limit != LimitKind::Rate || Instant::now() + wait > deadline {
            return Err(refusal);
        }
        sleep(wait).await;
    }
}

async fn first_permit(shared: &Shared, wanted: u32, deadline: Instant) -> Result<Held<'_>, Refusal> {
    let got = shared.gate.try_take(wanted);
    if got > 0 {
        return Ok(Held { shared, count: got });
    }
    match timeout_at(deadline, shared.gate.wait_one(shared.waiting_max())).await {
        Ok(Ok(())) => {
            let mut held = Held { shared, count: 1 };
            held.count += shared.gate.try_take(wanted - 1);
            Ok(held)
        }
        Ok(Err(_)) | Err(_) => Err(shared.no_permit()),
    }
}

/// Bare permits, given back on drop: whatever await the future is dropped at, nothing leaks.
struct Held<'a> {
    shared: &'a Shared,
    count: u32,
}

impl Held<'_> {
    /// Turns as many as were admitted into what the caller gets; the rest goes back.
    fn granted(&mut self, guard: &Guard, taken: Taken, wanted: u32) -> Granted {
        self.count -= taken.count;
        let short = taken.count < wanted;
        Granted {
            permits: Permits::new(guard.clone(), taken.count, taken.pass),
            next_at: taken.next_at,
            refusal: taken.refusal.or_else(|| short.then(|| self.shared.no_permit())),
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.count > 0 {
            self.shared.gate.put(self.count);
        }
    }
}

/// A place in the token line.
struct TokenPlace<'a>(&'a AtomicU32);

impl<'a> TokenPlace<'a> {
    fn enter(shared: &'a Shared) -> Result<Self, Refusal> {
        let max = shared.waiting_max();
        let line = &shared.token_waiting;
        match line.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |n| (n < max).then_some(n + 1)) {
            Ok(_) => Ok(Self(line)),
            Err(_) => Err(shared.no_token()),
        }
    }
}

impl Drop for TokenPlace<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
