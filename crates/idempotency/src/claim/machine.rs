//! The rules, as pure functions: a slot, a request and the time make a slot and an answer.
//!
//! Every store runs these same rules over whatever it keeps slots in; the model check in `tests/model.rs`
//! runs them over every interleaving. Two of them are easily got wrong:
//!
//! - *A lease's end only permits.* A claim past its expiry can be taken over, but as long as nobody has, its
//!   owner may still complete or renew it: refusing would turn a late success into a repeat without
//!   protecting anybody. After a takeover the old fence no longer matches and everything is refused.
//! - *Answers may be lost.* A completion or a release that was applied and is asked again under the same fence
//!   gets the same answer, so a caller that timed out simply asks again. A claim is different: asked again it
//!   answers `Held`, even to its owner, because the store cannot tell a repeated question from a second
//!   delivery of the same token in the same process. The lease then bounds the wait.

use super::request::{Claim, OwnerId, State};
use bytes::Bytes;
use seawall_core::{Fence, Nanos};
use std::time::Duration;

/// What a store keeps for one token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Nobody holds it.
    Absent {
        /// Grants that ended without `Done`.
        attempts: u32,
        /// The last fence granted; zero where there was none.
        fence: Fence,
    },
    /// Somebody works on it.
    Claimed {
        /// Who.
        owner: OwnerId,
        /// Under which grant.
        fence: Fence,
        /// The number of this grant.
        attempt: u32,
        /// When somebody else may take it over.
        expires: Nanos,
    },
    /// The effect has happened.
    Done {
        /// The grant that completed.
        fence: Fence,
        /// When it may be forgotten.
        until: Nanos,
        /// What the completion left.
        result: Bytes,
    },
}

impl Default for Slot {
    fn default() -> Self {
        Self::Absent { attempts: 0, fence: Fence(0) }
    }
}

/// The request came from an owner whose grant is no longer the one in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fenced {
    /// The last fence granted, as far as the store remembers.
    pub current: Fence,
}

impl Slot {
    /// The last fence granted; zero where none is known.
    pub fn fence(&self) -> Fence {
        match self {
            Self::Absent { fence, .. } | Self::Claimed { fence, .. } | Self::Done { fence, .. } => *fence,
        }
    }

    /// Whether a claim would be granted now.
    pub fn is_free(&self, now: Nanos) -> bool {
        match self {
            Self::Absent { .. } => true,
            Self::Claimed { expires: end, .. } | Self::Done { until: end, .. } => *end <= now,
        }
    }

    /// Claims for `owner` until `now + lease`. The new fence is `offer`, or one above the last where that is
    /// greater: a store with a counter of its own offers from it, one that counts per token offers zero.
    #[must_use = "the slot returned replaces this one"]
    pub fn claim(self, owner: OwnerId, lease: Duration, offer: Fence, now: Nanos) -> (Self, Claim) {
        let attempts = match self {
            Self::Claimed { expires, .. } if now < expires => {
                let remaining = expires.since(now);
                return (self, Claim::Held { remaining });
            }
            Self::Done { until, ref result, .. } if now < until => {
                let result = result.clone();
                return (self, Claim::Done { result });
            }
            Self::Absent { attempts, .. } | Self::Claimed { attempt: attempts, .. } => attempts,
            Self::Done { .. } => 0,
        };
        let fence = Fence(offer.0.max(self.fence().0.saturating_add(1)));
        let attempt = attempts.saturating_add(1);
        (Self::Claimed { owner, fence, attempt, expires: now.plus(lease) }, Claim::Granted { fence, attempt })
    }

    /// Turns the claim of `owner` under `fence` into `Done`, to be remembered until `now + retention`.
    ///
    /// # Errors
    /// [`Fenced`] when that grant is not in force and not the one that completed; the slot stays.
    #[must_use = "the slot returned replaces this one"]
    pub fn complete(
        self,
        owner: OwnerId,
        fence: Fence,
        result: Bytes,
        now: Nanos,
        retention: Duration,
    ) -> (Self, Result<(), Fenced>) {
        match self {
            Self::Claimed { owner: holder, fence: held, .. } if holder == owner && held == fence => {
                (Self::Done { fence, until: now.plus(retention), result }, Ok(()))
            }
            Self::Done { fence: done, .. } if done == fence => (self, Ok(())),
            other => other.refuse(),
        }
    }

    /// Gives the claim of `owner` under `fence` up.
    ///
    /// # Errors
    /// [`Fenced`] when that grant is not in force and not the one last given up; the slot stays.
    #[must_use = "the slot returned replaces this one"]
    pub fn release(self, owner: OwnerId, fence: Fence) -> (Self, Result<(), Fenced>) {
        match self {
            Self::Claimed { owner: holder, fence: held, attempt, .. } if holder == owner && held == fence => {
                (Self::Absent { attempts: attempt, fence }, Ok(()))
            }
            Self::Absent { fence: last, attempts } if last == fence && attempts > 0 => (self, Ok(())),
            other => other.refuse(),
        }
    }

    /// Lets the claim of `owner` under `fence` hold until `now + lease`.
    ///
    /// # Errors
    /// [`Fenced`] when that grant is not in force; the slot stays.
    #[must_use = "the slot returned replaces this one"]
    pub fn renew(
        self,
        owner: OwnerId,
        fence: Fence,
        lease: Duration,
        now: Nanos,
    ) -> (Self, Result<(), Fenced>) {
        match self {
            Self::Claimed { owner: holder, fence: held, attempt, .. } if holder == owner && held == fence => {
                (Self::Claimed { owner, fence, attempt, expires: now.plus(lease) }, Ok(()))
            }
            other => other.refuse(),
        }
    }

    /// What somebody sees who only looks.
    pub fn view(&self, now: Nanos) -> State {
        match self {
            Self::Claimed { owner, fence, expires, .. } if now < *expires => {
                State::Claimed { owner: *owner, fence: *fence, remaining: expires.since(now) }
            }
            Self::Done { until, result, .. } if now < *until => State::Done { result: result.clone() },
            _ => State::Absent,
        }
    }

    fn refuse(self) -> (Self, Result<(), Fenced>) {
        let current = self.fence();
        (self, Err(Fenced { current }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: OwnerId = OwnerId(1);
    const B: OwnerId = OwnerId(2);
    const LEASE: Duration = Duration::from_secs(10);
    const KEEP: Duration = Duration::from_secs(100);

    fn at(seconds: u64) -> Nanos {
        Nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn takeover_is_one_fence_and_one_attempt_further() {
        let (slot, first) = Slot::default().claim(A, LEASE, Fence(0), at(0));
        assert_eq!(first, Claim::Granted { fence: Fence(1), attempt: 1 });
        let (slot, held) = slot.claim(B, LEASE, Fence(0), at(9));
        assert_eq!(held, Claim::Held { remaining: Duration::from_secs(1) });
        let (slot, second) = slot.claim(B, LEASE, Fence(0), at(10));
        assert_eq!(second, Claim::Granted { fence: Fence(2), attempt: 2 });
        let (slot, zombie) = slot.complete(A, Fence(1), Bytes::new(), at(11), KEEP);
        assert_eq!(zombie, Err(Fenced { current: Fence(2) }));
        assert_eq!(slot.complete(B, Fence(2), Bytes::new(), at(12), KEEP).1, Ok(()));
    }

    #[test]
    fn late_success_counts_while_nobody_took_over() {
        let (slot, _) = Slot::default().claim(A, LEASE, Fence(0), at(0));
        let (slot, done) = slot.complete(A, Fence(1), Bytes::from_static(b"r"), at(50), KEEP);
        assert_eq!(done, Ok(()));
        assert_eq!(slot.view(at(149)), State::Done { result: Bytes::from_static(b"r") });
        assert_eq!(slot.view(at(150)), State::Absent);
    }

    #[test]
    fn offers_never_lower_a_fence() {
        let (slot, _) = Slot::default().claim(A, LEASE, Fence(7), at(0));
        let (slot, _) = slot.release(A, Fence(7));
        let (_, again) = slot.claim(A, LEASE, Fence(3), at(0));
        assert_eq!(again, Claim::Granted { fence: Fence(8), attempt: 2 });
    }

    #[test]
    fn repeated_answers_are_the_same() {
        let (slot, _) = Slot::default().claim(A, LEASE, Fence(0), at(0));
        let (slot, _) = slot.release(A, Fence(1));
        let (slot, again) = slot.release(A, Fence(1));
        assert_eq!(again, Ok(()));
        let (slot, _) = slot.claim(A, LEASE, Fence(0), at(0));
        let (slot, _) = slot.complete(A, Fence(2), Bytes::new(), at(0), KEEP);
        let (slot, again) = slot.complete(A, Fence(2), Bytes::new(), at(0), KEEP);
        assert_eq!(again, Ok(()));
        assert_eq!(slot.release(A, Fence(2)).1, Err(Fenced { current: Fence(2) }));
    }

    #[test]
    fn a_fresh_slot_refuses_everything_but_a_claim() {
        let slot = Slot::default();
        assert!(slot.clone().release(A, Fence(0)).1.is_err());
        assert!(slot.clone().renew(A, Fence(0), LEASE, at(0)).1.is_err());
        assert!(slot.complete(A, Fence(0), Bytes::new(), at(0), KEEP).1.is_err());
    }
}
