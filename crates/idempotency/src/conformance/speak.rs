//! One request at a time, for tests that read like the protocol.

use crate::claim::{Claim, ClaimRequest, Completion, OwnerId, Release, Renewal, State};
use crate::store::{Store, StoreError};
use bytes::Bytes;
use seawall_core::{Fence, Token};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Drives `future` on this thread, parking it in between.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn only<T>(mut answers: Vec<T>) -> T {
    assert_eq!(answers.len(), 1, "one answer for one request");
    answers.remove(0)
}

/// Claims one token.
///
/// # Errors
/// As [`Store::claim`].
pub fn claim(
    store: &impl Store,
    token: &Token,
    owner: OwnerId,
    lease: Duration,
) -> Result<Claim, StoreError> {
    only(block_on(store.claim(vec![ClaimRequest { token: token.clone(), owner, lease }])))
}

/// Completes one claim.
///
/// # Errors
/// As [`Store::complete`].
pub fn complete(
    store: &impl Store,
    token: &Token,
    owner: OwnerId,
    fence: Fence,
    result: &str,
) -> Result<(), StoreError> {
    let result = Bytes::copy_from_slice(result.as_bytes());
    only(block_on(store.complete(vec![Completion { token: token.clone(), owner, fence, result }])))
}

/// Releases one claim.
///
/// # Errors
/// As [`Store::release`].
pub fn release(store: &impl Store, token: &Token, owner: OwnerId, fence: Fence) -> Result<(), StoreError> {
    only(block_on(store.release(vec![Release { token: token.clone(), owner, fence }])))
}

/// Renews one claim.
///
/// # Errors
/// As [`Store::renew`].
pub fn renew(
    store: &impl Store,
    token: &Token,
    owner: OwnerId,
    fence: Fence,
    lease: Duration,
) -> Result<(), StoreError> {
    only(block_on(store.renew(vec![Renewal { token: token.clone(), owner, fence, lease }])))
}

/// Looks at one token.
///
/// # Errors
/// As [`Store::query`].
pub fn query(store: &impl Store, token: &Token) -> Result<State, StoreError> {
    block_on(store.query(token.clone()))
}
