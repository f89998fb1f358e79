//! One answer for many tickets.

use crate::error::WalError;
use crate::log::Appended;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Frames that are written and synced together.
#[derive(Debug, Default)]
pub(super) struct Group {
    state: Mutex<State>,
    answered: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the group's first frame, once all of it is durable.
    answer: Option<Result<u64, WalError>>,
    wakers: Vec<Waker>,
    /// Threads that block: where there are none, nothing is spent on waking them.
    blocked: usize,
}

impl Group {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers every ticket; a second answer is ignored.
    pub(super) fn finish(&self, answer: Result<u64, WalError>) {
        let mut state = self.state();
        if state.answer.is_some() {
            return;
        }
        state.answer = Some(answer);
        let wakers = std::mem::take(&mut state.wakers);
        let blocked = state.blocked;
        drop(state);
        if blocked > 0 {
            self.answered.notify_all();
        }
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// A group that is answered for certain: [`WalError::Closed`] when nothing else was said, as when the log's
/// thread panics.
#[derive(Debug, Default)]
pub(super) struct Promise(pub(super) Arc<Group>);

impl Promise {
    pub(super) fn finish(self, answer: Result<u64, WalError>) {
        self.0.finish(answer);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.finish(Err(WalError::Closed));
    }
}

/// One append's answer to come: a future, or [`Ticket::wait`] for a thread that has nothing else to do.
/// Dropping it takes nothing back.
#[derive(Debug)]
#[must_use = "frames are durable only once their ticket says so"]
pub struct Ticket {
    group: Arc<Group>,
    /// The append's first frame, counted from the group's first.
    offset: u64,
    count: u64,
    /// Where this ticket's waker stands among the group's.
    waker: Option<usize>,
}

impl Ticket {
    pub(super) fn new(group: Arc<Group>, offset: u64, count: u64) -> Self {
        Self { group, offset, count, waker: None }
    }

    fn answer(&self, first: Result<u64, WalError>) -> Result<Appended, WalError> {
        first.map(|first| Appended { first: first + self.offset, next: first + self.offset + self.count })
    }

    /// Blocks until the frames are durable or refused.
    ///
    /// # Errors
    /// As [`crate::Log::append`] and [`crate::Log::sync`]; [`WalError::Closed`] where the log's thread died.
    pub fn wait(self) -> Result<Appended, WalError> {
        let mut state = self.group.state();
        state.blocked += 1;
        loop {
            if let Some(answer) = &state.answer {
                return self.answer(answer.clone());
            }
            state = self.group.answered.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Future for Ticket {
    type Output = Result<Appended, WalError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let group = Arc::clone(&self.group);
        let mut state = group.state();
        if let Some(answer) = &state.answer {
            return Poll::Ready(self.answer(answer.clone()));
        }
        if let Some(waker) = self.waker.and_then(|at| state.wakers.get_mut(at)) {
            waker.clone_from(cx.waker());
        } else {
            self.waker = Some(state.wakers.len());
            state.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }
}
