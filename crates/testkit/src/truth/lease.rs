//! Leases: who holds a token until when by the store's clock, and whether a running handler's claim is kept.

use super::{Call, Facts, Process};
use seawall_core::{Fence, Nanos, Token};
use std::time::Duration;

/// Timers fire up to this late.
const TIMER_SLACK: Duration = Duration::from_millis(5);

/// A grant in force.
#[derive(Clone, Copy, Debug)]
struct Hold {
    process: Process,
    fence: Fence,
    until: Nanos,
}

/// What is known of a token's leases.
#[derive(Clone, Debug, Default)]
pub(super) struct Leases {
    hold: Option<Hold>,
    /// The last grant that ran out under its owner.
    lapsed: Fence,
    /// Since when the claim of the handler that runs has not been asked to be renewed.
    unrenewed: Option<(Fence, Nanos)>,
}

impl Leases {
    /// Whether the grant `fence` ran out, so that another could be made.
    pub(super) fn has_lapsed(&self, fence: Fence) -> bool {
        fence <= self.lapsed
    }

    /// The handler of the claim begins.
    pub(super) fn start(&mut self, fence: Fence, now: Nanos) {
        self.unrenewed = Some((fence, now));
    }

    /// The claim has ended with its handler's success.
    pub(super) fn end(&mut self) {
        self.hold = None;
    }

    pub(super) fn process_gone(&mut self, process: Process) {
        self.hold = self.hold.filter(|hold| hold.process != process);
    }
}

impl Facts {
    /// A store granted a claim: nobody alive may hold it.
    pub(super) fn hold(&mut self, process: Process, token: &Token, fence: Fence) {
        let (now, lease) = (self.now(), self.terms.lease);
        let leases = &mut self.subjects.entry(token.clone()).or_default().leases;
        let before = leases.hold.replace(Hold { process, fence, until: now.plus(lease) });
        let Some(before) = before else { return };
        if before.until > now {
            let left = before.until.since(now);
            return self.violate(format!(
                "{token} is granted under {fence:?}, {:?} holds it under {:?} for another {left:?}",
                before.process, before.fence
            ));
        }
        leases.lapsed = before.fence;
        self.coverage.add("lease lapsed", 1);
    }

    /// A release was taken.
    pub fn released_claim(&mut self, token: &Token, fence: Fence) {
        let leases = &mut self.subjects.entry(token.clone()).or_default().leases;
        leases.hold = leases.hold.filter(|hold| hold.fence != fence);
    }

    /// A renewal is asked for, whatever will be the answer.
    pub fn renewing(&mut self, token: &Token, fence: Fence) {
        self.check_renewed(token, fence, "is renewed");
        let now = self.now();
        if let Some(subject) = self.subjects.get_mut(token)
            && let Some((of, since)) = &mut subject.leases.unrenewed
            && *of == fence
        {
            *since = now;
        }
    }

    /// A renewal was taken.
    pub fn renewed(&mut self, token: &Token, fence: Fence) {
        let until = self.now().plus(self.terms.lease);
        if let Some(subject) = self.subjects.get_mut(token)
            && let Some(hold) = subject.leases.hold.as_mut().filter(|hold| hold.fence == fence)
        {
            hold.until = until;
        }
    }

    /// A handler is done: while it ran, its claim was renewed at a third of its lease, and at the latest a
    /// twelfth after that, when the store let an earlier renewal wait.
    pub(super) fn check_kept(&mut self, call: &Call) {
        if self.terms.claims {
            self.check_renewed(&call.token, call.fence, "has run");
        }
    }

    fn check_renewed(&mut self, token: &Token, fence: Fence, what: &str) {
        let (now, lease) = (self.now(), self.terms.lease);
        let unrenewed = self.subjects.get(token).and_then(|subject| subject.leases.unrenewed);
        let Some((_, since)) = unrenewed.filter(|(of, _)| *of == fence) else { return };
        let alone = now.since(since);
        if alone > lease / 3 + lease / 12 + TIMER_SLACK {
            self.violate(format!(
                "{token} {what} after {alone:?} without a renewal of {fence:?}; its lease is {lease:?}"
            ));
        }
    }

    /// Whether the claim of a call is in force by the store's clock.
    pub(super) fn is_in_force(&self, call: &Call) -> bool {
        let hold = self.subjects.get(&call.token).and_then(|subject| subject.leases.hold);
        !self.terms.claims || hold.is_some_and(|hold| hold.fence == call.fence && hold.until > self.now())
    }
}
