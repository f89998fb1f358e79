//! What a fault proxy can do to the connections that go through it.

use std::fmt;
use std::time::Duration;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Toward {
    /// Requests.
    Server,
    /// Answers.
    Client,
}

/// A fault that is in force until another one is, or [`heal`](super::FaultProxy::heal).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Ends every open connection, once; what was in force before stays so.
    Cut,
    /// Ends every open connection, and each new one at once.
    Refuse,
    /// Takes connections and bytes, and passes nothing on, either way.
    BlackHole,
    /// Holds back each piece read by `least`, and up to `more` beyond it.
    Delay {
        /// At least this long.
        least: Duration,
        /// And up to this much longer.
        more: Duration,
    },
    /// Passes at most so many bytes a second, each way of each connection. At least 1.
    Throttle {
        /// Bytes a second.
        bytes_per_second: u32,
    },
    /// Swallows what goes one way and passes the other.
    Drop(Toward),
    /// Passes pieces of 1 to `bytes_max` bytes with a pause of a millisecond after each.
    Slice {
        /// The largest piece, at least 1.
        bytes_max: u16,
    },
    /// Passes requests; ends a connection in place of the first answer on it.
    LoseAnswer,
}

/// A fault without its measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// [`Fault::Cut`].
    Cut,
    /// [`Fault::Refuse`].
    Refuse,
    /// [`Fault::BlackHole`].
    BlackHole,
    /// [`Fault::Delay`].
    Delay,
    /// [`Fault::Throttle`].
    Throttle,
    /// [`Fault::Drop`] of requests.
    DropRequests,
    /// [`Fault::Drop`] of answers.
    DropAnswers,
    /// [`Fault::Slice`].
    Slice,
    /// [`Fault::LoseAnswer`].
    LoseAnswer,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Cut,
        Self::Refuse,
        Self::BlackHole,
        Self::Delay,
        Self::Throttle,
        Self::DropRequests,
        Self::DropAnswers,
        Self::Slice,
        Self::LoseAnswer,
    ];

    /// A fault of this kind with measures drawn from `rng`: noticeable, and survivable by a client with timeouts
    /// of some seconds.
    pub fn draw(self, rng: &mut fastrand::Rng) -> Fault {
        let ms = Duration::from_millis;
        match self {
            Self::Cut => Fault::Cut,
            Self::Refuse => Fault::Refuse,
            Self::BlackHole => Fault::BlackHole,
            Self::Delay => Fault::Delay { least: ms(rng.u64(1..100)), more: ms(rng.u64(1..200)) },
            Self::Throttle => Fault::Throttle { bytes_per_second: rng.u32(20_000..200_000) },
            Self::DropRequests => Fault::Drop(Toward::Server),
            Self::DropAnswers => Fault::Drop(Toward::Client),
            Self::Slice => Fault::Slice { bytes_max: rng.u16(16..400) },
            Self::LoseAnswer => Fault::LoseAnswer,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut => "cut",
            Self::Refuse => "refuse",
            Self::BlackHole => "black hole",
            Self::Delay => "delay",
            Self::Throttle => "throttle",
            Self::DropRequests => "drop requests",
            Self::DropAnswers => "drop answers",
            Self::Slice => "slice",
            Self::LoseAnswer => "lose the answer",
        })
    }
}

impl Fault {
    /// Which kind it is of.
    pub fn kind(self) -> Kind {
        match self {
            Self::Cut => Kind::Cut,
            Self::Refuse => Kind::Refuse,
            Self::BlackHole => Kind::BlackHole,
            Self::Delay { .. } => Kind::Delay,
            Self::Throttle { .. } => Kind::Throttle,
            Self::Drop(Toward::Server) => Kind::DropRequests,
            Self::Drop(Toward::Client) => Kind::DropAnswers,
            Self::Slice { .. } => Kind::Slice,
            Self::LoseAnswer => Kind::LoseAnswer,
        }
    }

    /// Whether it swallows what goes `toward`.
    pub(super) fn swallows(self, toward: Toward) -> bool {
        self == Self::BlackHole || self == Self::Drop(toward)
    }
}
