//! Which mishaps a seed is prone to, and which were met.
//!
//! Each seed draws a few kinds of mishap and leaves the others out: with all of them at once every record ends in
//! the first trap, and what lies behind it is never seen. A run over many seeds then demands that every kind was met
//! ([`Coverage`]): a fault site that nothing hits proves nothing.

use std::collections::BTreeMap;

macro_rules! mishaps {
    ($($(#[doc = $doc:literal])* $name:ident),* $(,)?) => {
        /// What can go wrong by chance at a seam.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Mishap { $($(#[doc = $doc])* $name),* }

        impl Mishap {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name in a [`Coverage`].
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
        }
    };
}

mishaps!(
    /// The service fails before its effect.
    FailBefore,
    /// The service does the effect, and its answer is an error.
    FailAfter,
    /// The service takes its time.
    Slow,
    /// The service has too much to do.
    Overload,
    /// The handler panics before the effect.
    PanicBefore,
    /// The handler panics after the effect.
    PanicAfter,
    /// The service never answers and does nothing.
    NeverAnswers,
    /// The service does not answer in time; its effect comes later, by itself.
    LateEffect,
    /// The store cannot be asked for claims.
    ClaimRefused,
    /// Claims are granted and their answer is lost.
    ClaimAnswerLost,
    /// The store cannot be told of completions.
    CompleteRefused,
    /// Completions are made durable and their answer is lost.
    CompleteAnswerLost,
    /// Renewals fail.
    RenewFails,
    /// Releases fail.
    ReleaseFails,
    /// The store takes its time.
    StoreSlow,
    /// The source fails for a moment.
    PollFails,
    /// A reread fails for a moment.
    RereadFails,
    /// A commit fails and does nothing.
    CommitFails,
    /// A commit is made durable and its answer is lost.
    CommitAnswerLost,
    /// The dead letters' sink refuses.
    LetterRefused,
    /// The dead letters' sink takes the letter and its answer is lost.
    LetterAnswerLost,
);

/// The chance of each mishap, in thousandths.
#[derive(Clone, Debug, Default)]
pub struct Chances(BTreeMap<Mishap, u32>);

impl Chances {
    /// Draws which mishaps happen, and how often.
    pub fn draw(rng: &mut fastrand::Rng) -> Self {
        let mut chances = BTreeMap::new();
        for mishap in Mishap::ALL {
            if rng.u32(0..3) == 0 {
                let often = rng.u32(0..8) == 0;
                chances.insert(*mishap, if often { rng.u32(200..500) } else { rng.u32(5..120) });
            }
        }
        Self(chances)
    }

    /// Without any.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether `mishap` happens now.
    pub fn strikes(&self, mishap: Mishap, rng: &mut fastrand::Rng) -> bool {
        self.0.get(&mishap).is_some_and(|chance| rng.u32(0..1_000) < *chance)
    }
}

/// How often each thing was met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<String, u64>);

impl Coverage {
    /// Counts `by` more of `name`.
    pub fn add(&mut self, name: &str, by: u64) {
        if by == 0 {
            return;
        }
        match self.0.get_mut(name) {
            Some(count) => *count += by,
            None => drop(self.0.insert(name.to_owned(), by)),
        }
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            self.add(name, *count);
        }
    }

    /// How often `name` was met.
    pub fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// All counts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, count)| (name.as_str(), *count))
    }
}
