//! The way of one call through the guard, as a future. Dropping it at any point gives the permit back.

use super::refuse::Refuse;
use crate::guard::{Guard, Permits, Refusal, Verdict};
use pin_project_lite::pin_project;
use seawall_core::Nanos;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower_service::Service;

type Admission = Pin<Box<dyn Future<Output = Result<Permits, Refusal>> + Send>>;

pin_project! {
    /// One call: waits for its permit (in wait mode), runs, and settles what came of it.
    pub struct GuardFuture<S, R, Request>
    where
        S: Service<Request>,
    {
        #[pin]
        stage: Stage<S, S::Future, S::Response, Request>,
        refuse: Option<R>,
    }
}

pin_project! {
    #[project = StageProjected]
    enum Stage<S, F, Response, Request> {
        Refused { response: Option<Response> },
        Waiting { admission: Admission, call: Option<(S, Request)> },
        Running { #[pin] future: F, permits: Permits, since: Option<Nanos> },
    }
}

impl<S, R, Request> GuardFuture<S, R, Request>
where
    S: Service<Request>,
{
    pub(super) fn refused(response: S::Response) -> Self {
        Self { stage: Stage::Refused { response: Some(response) }, refuse: None }
    }

    pub(super) fn waiting(guard: Guard, service: S, request: Request, refuse: R) -> Self {
        let admission = Box::pin(async move { guard.acquire().await });
        let stage = Stage::Waiting { admission, call: Some((service, request)) };
        Self { stage, refuse: Some(refuse) }
    }

    /// `since` is when the call began, where anyone wants to know.
    #[inline]
    pub(super) fn running(future: S::Future, permits: Permits, since: Option<Nanos>, refuse: R) -> Self {
        Self { stage: Stage::Running { future, permits, since }, refuse: Some(refuse) }
    }
}

impl<S, R, Request> Future for GuardFuture<S, R, Request>
where
    S: Service<Request>,
    R: Refuse<S::Response>,
{
    type Output = Result<S::Response, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.stage.as_mut().project() {
                StageProjected::Refused { response } => {
                    // A future polled after its end waits for ever: the one thing that harms nobody.
                    return response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)));
                }
                StageProjected::Waiting { admission, call } => {
                    let admitted = ready!(admission.as_mut().poll(cx));
                    let (Some((mut service, request)), Some(refuse)) = (call.take(), this.refuse.as_ref())
                    else {
                        return Poll::Pending;
                    };
                    match admitted {
                        Err(refusal) => return Poll::Ready(Ok(refuse.refuse(refusal))),
                        Ok(permits) => {
                            let since = permits.started_at();
                            let future = service.call(request);
                            this.stage.set(Stage::Running { future, permits, since });
                        }
                    }
                }
                StageProjected::Running { future, permits, since } => {
                    let result = ready!(future.poll(cx));
                    let verdict = match (&result, this.refuse.as_ref()) {
                        (Ok(response), Some(refuse)) => refuse.judge(response),
                        _ => Verdict::Failed,
                    };
                    permits.settle_since(*since, verdict);
                    return Poll::Ready(result);
                }
            }
        }
    }
}
