//! The service that asks the guard before each call.

use super::answer::GuardFuture;
use super::refuse::Refuse;
use crate::guard::{Guard, Mode, Permits};
use std::task::{Context, Poll};
use tower_service::Service;

/// A service behind a guard. See the [module](super).
#[derive(Clone, Debug)]
pub struct GuardService<S, R> {
    inner: S,
    guard: Guard,
    refuse: R,
}

impl<S, R> GuardService<S, R> {
    /// `inner` behind `guard`.
    pub fn new(inner: S, guard: Guard, refuse: R) -> Self {
        Self { inner, guard, refuse }
    }

    /// The guard.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }
}

impl<S, R, Request> Service<Request> for GuardService<S, R>
where
    S: Service<Request> + Clone,
    R: Refuse<S::Response> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = GuardFuture<S, R, Request>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        // The usual call is granted in either mode without a look at the options, and runs in place.
        if let Some(permits) = self.guard.try_acquire_paid() {
            return self.run(request, permits);
        }
        match self.guard.mode() {
            Mode::Wait { .. } => self.wait(request),
            Mode::Shed => match self.guard.try_acquire() {
                Ok(permits) => self.run(request, permits),
                Err(refusal) => GuardFuture::refused(self.refuse.refuse(refusal)),
            },
        }
    }
}

impl<S, R: Clone> GuardService<S, R> {
    #[inline]
    fn run<Request>(&mut self, request: Request, permits: Permits) -> GuardFuture<S, R, Request>
    where
        S: Service<Request>,
    {
        // Read first: the inner service may do its work in `call` already.
        let since = permits.started_at();
        GuardFuture::running(self.inner.call(request), permits, since, self.refuse.clone())
    }

    #[cold]
    fn wait<Request>(&mut self, request: Request) -> GuardFuture<S, R, Request>
    where
        S: Service<Request> + Clone,
    {
        // The service that was polled ready is the one to call; its clone has not been.
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        GuardFuture::waiting(self.guard.clone(), ready, request, self.refuse.clone())
    }
}
