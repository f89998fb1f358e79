//! What `seawall up` shows Seawall with: a fulfilment service that misbehaves at given rates, and a small load
//! of orders.

pub(crate) mod load;
pub(crate) mod service;

/// How often the sample service misbehaves, each as a share of requests from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Misbehaviour {
    /// Answers late, by 200 to 400 ms.
    pub(crate) slow: f64,
    /// Answers 500.
    pub(crate) fail: f64,
    /// Drops the connection without an answer, as a worker that panicked does.
    pub(crate) panic: f64,
    /// Answers 503 with `Retry-After: 1`.
    pub(crate) overload: f64,
    /// Answers 422: the record can never be handled.
    pub(crate) reject: f64,
}
