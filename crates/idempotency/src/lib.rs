//! Claims: who may cause an effect now, and which effects are done.
//!
//! A record may be delivered more than once: after a crash, a rebalance, a lost acknowledgement. Its
//! [`Token`](seawall_core::Token) names the intended effect, and a [`Store`] remembers for each token one
//! of three things: nobody works on it, somebody does until a lease ends, it is done.
//!
//! ```text
//!                 claim                         complete
//!   Absent ───────────────────▶ Claimed ───────────────────────▶ Done
//!     ▲                     (owner, fence,                          │
//!     │       release        lease expiry)                          │
//!     ├──────────────────────┤     ▲  │                             │
//!     │                            └──┘ renew; or a claim by        │
//!     │                                 another after expiry        │
//!     └───────────────────────────── retention ────────────────────┘
//! ```
//!
//! **Seen is not done.** Marking a token before its effect loses the message when the handler dies; a claim
//! is only a lease, and only the handler's success makes it done. What this costs is a bounded number of
//! repeats: at most one effect more for each lease that ran out (see the model in `tests/model.rs`, where the
//! opposite order, mark then work, is shown to lose).
//!
//! **The fence reaches the effect.** Each grant carries a [`Fence`](seawall_core::Fence) greater than all
//! earlier grants of the token. The store refuses a completion with an old fence, but the store cannot stop
//! the effect itself: that is why the fence travels with the delivery to whoever writes.
//!
//! - [`claim`]: the machine itself, pure: a state, a request and the time make a state and an answer.
//! - [`store`]: the [`Store`] seam, in batches, and what each kind of store can promise.
//! - [`memory`]: the store that lives as long as its process.
//! - [`renew`]: keeping leases alive while handlers run, and telling which were lost.
//! - `conformance` (feature): the suite that every store passes.

pub mod claim;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod memory;
pub mod renew;
pub mod store;

pub use claim::{Claim, ClaimRequest, Completion, OwnerId, Release, Renewal, State};
pub use memory::{MemoryConfig, MemoryStore};
pub use renew::{Keeper, Kept, LostLease};
pub use store::{DynStore, Store, StoreError, StoreStats};
