//! Who runs the loop: a thread of its own, or a task under a simulated clock.

use super::{Fetcher, Stepped};
use crate::running::Stop;
use crate::shared::Shared;
use seawall_core::{Class, Fault, Source};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// The loop itself died: a defect here or in the source.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the fetch loop panicked")]
pub(crate) struct LoopDied;

/// Runs the loop on the calling thread until it is over.
pub(crate) fn on_thread<S: Source>(mut fetcher: Fetcher<S>, finish: impl FnOnce(Stop)) {
    let wait = fetcher.shared.options.fetch.wait;
    let run = || {
        loop {
            match fetcher.step(wait) {
                Stepped::Over(stop) => return stop,
                Stepped::Progress => {}
                Stepped::Quiet => {
                    // Only a source that failed is not waited for by the poll itself.
                    let now = fetcher.shared.now();
                    if fetcher.poll_after > now {
                        std::thread::sleep(fetcher.patience(wait, now).min(Duration::from_millis(10)));
                    }
                }
            }
        }
    };
    let stop = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| died(&mut fetcher));
    over(fetcher, stop, finish);
}

/// Runs the loop as a task until it is over: between two steps it waits for the bell, or until something is
/// due, which a paused clock jumps to.
pub(crate) async fn as_task<S: Source>(mut fetcher: Fetcher<S>, finish: impl FnOnce(Stop)) {
    let shared = Arc::clone(&fetcher.shared);
    let wait = shared.options.fetch.wait;
    let stop = loop {
        match catch_unwind(AssertUnwindSafe(|| fetcher.step(Duration::ZERO))) {
            Ok(Stepped::Over(stop)) => break stop,
            Ok(Stepped::Progress) => tokio::task::yield_now().await,
            Ok(Stepped::Quiet) => rest(&shared, fetcher.patience(wait, shared.now())).await,
            Err(_) => break died(&mut fetcher),
        }
    };
    over(fetcher, stop, finish);
}

/// The source goes first: whoever is told of the end may end the process at once, and a member that has not
/// left its group by then keeps the others waiting for its session to run out.
fn over<S: Source>(fetcher: Fetcher<S>, stop: Stop, finish: impl FnOnce(Stop)) {
    drop(fetcher);
    finish(stop);
}

/// Waits for the bell, at most `patience`, and at least a tick, so that a due time that rounds to nothing
/// does not spin.
async fn rest(shared: &Shared, patience: Duration) {
    tokio::select! {
        biased;
        () = shared.bell.notify.notified() => {}
        () = tokio::time::sleep(patience.max(Duration::from_millis(1))) => {}
    }
}

fn died<S: Source>(fetcher: &mut Fetcher<S>) -> Stop {
    fetcher.die(Fault::new(Class::Bug, LoopDied))
}
