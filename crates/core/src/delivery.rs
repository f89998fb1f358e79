//! One attempt to have a record handled.

use crate::context::Context;
use crate::record::Record;
use crate::source::{Generation, Offset, TopicPartition};
use crate::token::Token;

/// Grows with each claim of a token: an effect stamped with an older fence than the store has seen comes
/// from an owner that lost its lease, and is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub u64);

/// One attempt: the record, where it came from, and what protects its effect.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Topic and partition it came from.
    pub origin: TopicPartition,
    /// Its place there.
    pub offset: Offset,
    /// The assignment under which it was fetched.
    pub generation: Generation,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The fence of the claim; zero where the pipeline claims nothing.
    pub fence: Fence,
    /// Deadline and cancellation.
    pub context: Context,
    /// The record itself.
    pub record: Record,
}

impl Delivery {
    /// The record's own token where it carries a valid one, else the token of its origin. The same on every
    /// attempt.
    pub fn token(&self) -> Token {
        Token::of_record(&self.record, &self.origin, self.offset)
    }
}
