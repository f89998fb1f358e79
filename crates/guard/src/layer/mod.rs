//! A guard around any tower service.
//!
//! The permit is taken in `call`, never in `poll_ready`: a service that is ready but not called would hold it
//! while idle. A refusal is an answer, not an error: [`Refuse`] turns it into one of the service's own
//! responses, so the error type stays what it was (axum demands `Infallible`), and reads from each response
//! what it says of the service.

mod answer;
mod refuse;
mod service;

pub use answer::GuardFuture;
#[cfg(feature = "http")]
pub use refuse::RefuseHttp;
pub use refuse::{Refuse, RefuseDelivery};
pub use service::GuardService;

use crate::guard::Guard;
use tower_layer::Layer;

/// Puts a [`Guard`] around services; all of them share its limits.
#[derive(Clone, Debug)]
pub struct GuardLayer<R> {
    guard: Guard,
    refuse: R,
}

impl<R> GuardLayer<R> {
    /// A layer that answers refusals by `refuse`.
    pub fn new(guard: Guard, refuse: R) -> Self {
        Self { guard, refuse }
    }
}

impl GuardLayer<RefuseDelivery> {
    /// For services of deliveries: a refusal is `Outcome::Retry` with class `Overload`.
    pub fn delivery(guard: Guard) -> Self {
        Self::new(guard, RefuseDelivery)
    }
}

#[cfg(feature = "http")]
impl GuardLayer<RefuseHttp> {
    /// For services of HTTP requests: 429 for the rate, 503 for everything else.
    pub fn http(guard: Guard) -> Self {
        Self::new(guard, RefuseHttp)
    }
}

impl<S, R: Clone> Layer<S> for GuardLayer<R> {
    type Service = GuardService<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        GuardService::new(inner, self.guard.clone(), self.refuse.clone())
    }
}
