//! One call of the handler: bounded in time, cancellable, its panic contained.

use super::panics::{Caught, isolate, isolated_poll};
use seawall_core::{Class, Classify, Delivery, Handler, Outcome};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// The handler did not answer within its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the handler did not answer within {0:?}")]
pub struct TimedOut(pub Duration);

impl Classify for TimedOut {
    fn class(&self) -> Class {
        Class::Transient
    }
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Outcome(Outcome),
    Panicked(Caught),
    TimedOut(TimedOut),
    /// Its partition or its claim was lost, or the drain's bound has passed.
    Cancelled,
}

/// An attempt that ended, with what it was given.
#[derive(Debug)]
pub(crate) struct Attempted<H> {
    pub(crate) handler: Arc<H>,
    pub(crate) delivery: Delivery,
    pub(crate) ended: Ended,
}

/// Calls `handler`. The first poll makes neither a timer nor a waiter: most handlers that answer at once pay
/// for nothing.
pub(crate) async fn attempt<H: Handler>(
    handler: Arc<H>,
    delivery: Delivery,
    within: Option<Duration>,
) -> Attempted<H> {
    let ended = {
        let mut call = pin!(Some(async { handler.handle(&delivery).await }));
        let first = std::future::poll_fn(|cx| Poll::Ready(isolated_poll(call.as_mut(), cx))).await;
        let ended = match first {
            Poll::Ready(answer) => answer.map_or_else(Ended::Panicked, Ended::Outcome),
            // Of its own, so that the place of an attempt that answers at once is small.
            Poll::Pending => Box::pin(rest(call.as_mut(), &delivery, within)).await,
        };
        // A handler's destructors are its own code too.
        match isolate(|| call.set(None)) {
            Ok(()) => ended,
            Err(caught) => Ended::Panicked(caught),
        }
    };
    Attempted { handler, delivery, ended }
}

async fn rest<F: Future<Output = Outcome>>(
    mut call: Pin<&mut Option<F>>,
    delivery: &Delivery,
    within: Option<Duration>,
) -> Ended {
    let answer = std::future::poll_fn(|cx| isolated_poll(call.as_mut(), cx));
    let late = async {
        match within {
            Some(within) => {
                tokio::time::sleep(within).await;
                TimedOut(within)
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        answer = answer => answer.map_or_else(Ended::Panicked, Ended::Outcome),
        () = delivery.context.cancel.cancelled() => Ended::Cancelled,
        late = late => {
            // Whatever the handler spawned under this token must not outlive its answer's deadline.
            delivery.context.cancel.cancel();
            Ended::TimedOut(late)
        }
    }
}
