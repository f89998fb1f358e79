//! Who handles a delivery.

use crate::delivery::Delivery;
use crate::outcome::Outcome;
use std::sync::Arc;

/// Handles deliveries. The future may be dropped at any await once `delivery.context.cancel` is cancelled:
/// whatever it did by then must be safe to do again under the same token.
pub trait Handler: Send + Sync + 'static {
    /// Handles one delivery.
    fn handle(&self, delivery: &Delivery) -> impl Future<Output = Outcome> + Send;
}

impl<H: Handler> Handler for Arc<H> {
    async fn handle(&self, delivery: &Delivery) -> Outcome {
        H::handle(self, delivery).await
    }
}

/// A handler made from an async function of an owned delivery.
#[derive(Clone, Copy, Debug)]
pub struct HandlerFn<F>(pub F);

impl<F, Fut> Handler for HandlerFn<F>
where
    F: Fn(Delivery) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Outcome> + Send,
{
    async fn handle(&self, delivery: &Delivery) -> Outcome {
        (self.0)(delivery.clone()).await
    }
}
