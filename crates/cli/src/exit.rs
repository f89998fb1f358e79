//! What the process's exit code says. Scripts rely on these numbers.

use std::fmt;
use std::process::ExitCode;

/// Why a command ended without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A verdict that says no: findings, a failed scenario, unhealthy.
    Verdict,
    /// Bad input or configuration.
    Input,
    /// The surroundings: broker, permission, port, disk, another process.
    Environment,
    /// The other side has too much to do and said so; may work later.
    Overload,
    /// A defect of Seawall.
    Bug,
    /// Whoever read our stdout has stopped (`seawall … | head`): not our failure, and nothing to say.
    ReaderGone,
}

impl Kind {
    /// The exit code, as documented in the interfaces that stay. 2 (usage) is given by the argument parser.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Verdict => 1,
            Self::Input => 3,
            Self::Environment | Self::Overload => 4,
            Self::Bug => 70,
            Self::ReaderGone => 0,
        }
    }
}

/// A command's failure: the code, and the sentence for the person.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
}

impl Failure {
    /// A failure of `kind` that is told as `error` with all its causes.
    pub(crate) fn new(kind: Kind, error: impl fmt::Display) -> Self {
        Self { kind, message: error.to_string() }
    }

    /// Bad input or configuration.
    pub(crate) fn input(error: impl fmt::Display) -> Self {
        Self::new(Kind::Input, error)
    }

    /// The surroundings are not as needed.
    pub(crate) fn environment(error: impl fmt::Display) -> Self {
        Self::new(Kind::Environment, error)
    }

    /// The same kind of failure, told as `message`.
    pub(crate) fn retold(&self, message: impl fmt::Display) -> Self {
        Self::new(self.kind, message)
    }

    /// Whether trying again later may help.
    pub(crate) fn is_overload(&self) -> bool {
        self.kind == Kind::Overload
    }

    /// Whether the person is told.
    pub(crate) fn is_told(&self) -> bool {
        self.kind != Kind::ReaderGone
    }

    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind.code())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What every command returns.
pub(crate) type Outcome = Result<(), Failure>;
