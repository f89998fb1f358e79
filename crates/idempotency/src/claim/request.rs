//! What is asked of a store, and what it answers.

use bytes::Bytes;
use seawall_core::{Fence, Token};
use std::fmt;
use std::time::Duration;

/// Who claims. One running process has one, drawn at random at its start: a restarted process is another
/// owner, so that it cannot mistake its predecessor's claims for its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerId(pub u128);

/// 32 hexadecimal digits.
impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Asks for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRequest {
    /// The intended effect.
    pub token: Token,
    /// Who asks.
    pub owner: OwnerId,
    /// How long the claim holds without a renewal, counted by the store from when it grants.
    pub lease: Duration,
}

/// What a store answers to a [`ClaimRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The token is the asker's until its lease ends.
    Granted {
        /// Greater than that of every earlier grant of this token.
        fence: Fence,
        /// 1 for the first grant; counts every earlier grant that ended without `Done`, as far as the store
        /// remembers.
        attempt: u32,
    },
    /// Somebody holds it, perhaps the asker itself by an earlier delivery.
    Held {
        /// Until the lease in force ends, unless it is renewed.
        remaining: Duration,
    },
    /// The effect has happened; there is nothing to do.
    Done {
        /// What the completion left.
        result: Bytes,
    },
}

/// Says that a claim's effect has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The effect.
    pub token: Token,
    /// Who claimed it.
    pub owner: OwnerId,
    /// Under which grant.
    pub fence: Fence,
    /// Kept for those who ask again; may be empty.
    pub result: Bytes,
}

/// Gives a claim up without an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The effect that did not happen.
    pub token: Token,
    /// Who claimed it.
    pub owner: OwnerId,
    /// Under which grant.
    pub fence: Fence,
}

/// Asks for more time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// The effect being worked on.
    pub token: Token,
    /// Who claimed it.
    pub owner: OwnerId,
    /// Under which grant.
    pub fence: Fence,
    /// The new lease, counted from when the store takes the renewal.
    pub lease: Duration,
}

/// What a store knows of a token, for those who look without claiming.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody holds it (a claim whose lease has ended counts as this).
    Absent,
    /// Somebody works on it.
    Claimed {
        /// Who.
        owner: OwnerId,
        /// Under which grant.
        fence: Fence,
        /// Until the lease ends.
        remaining: Duration,
    },
    /// The effect has happened.
    Done {
        /// What the completion left.
        result: Bytes,
    },
}
