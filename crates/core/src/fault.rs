//! Why something did not work, in a form that code can decide by.
//!
//! Each concept has its own error enum; what crosses a seam is a [`Fault`]: the class says what to do, the
//! kept source says what happened. Nobody matches on text.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a fault asks its receiver to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// May work when tried again: a refused connection, a timeout, a 5xx.
    Transient,
    /// Will never work as it is: malformed input, a 4xx, a missing topic.
    Permanent,
    /// The receiver has too much to do; come back later. Says nothing against the record.
    Overload,
    /// A defect in this program or in the handler (a panic). Counted, logged at error level, retried like
    /// `Transient` within its bounds.
    Bug,
}

impl Class {
    /// The lower-case name used in headers, metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::Overload => "overload",
            Self::Bug => "bug",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error that knows its class.
pub trait Classify: Error + Send + Sync + 'static {
    /// What the receiver should do.
    fn class(&self) -> Class;

    /// When to come back, where the other side said so (`Retry-After`).
    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

/// A classified error with its source kept. Cheap to clone.
#[derive(Clone)]
pub struct Fault {
    class: Class,
    retry_after: Option<Duration>,
    source: Arc<dyn Error + Send + Sync>,
}

impl Fault {
    /// A fault of `class` caused by `source`.
    pub fn new(class: Class, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { class, retry_after: None, source: Arc::from(source.into()) }
    }

    /// The same fault, to be tried again no earlier than `after`.
    #[must_use]
    pub fn after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// What to do about it.
    pub fn class(&self) -> Class {
        self.class
    }

    /// When to come back, where the other side said so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The error behind it, to be downcast where the concrete type matters.
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.source
    }
}

impl<E: Classify> From<E> for Fault {
    fn from(error: E) -> Self {
        Self { class: error.class(), retry_after: error.retry_after(), source: Arc::new(error) }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fault({}: {:?})", self.class, self.source)
    }
}

/// The whole chain, `outer: cause: cause`, for logs and headers.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        let mut cause = self.source.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not push")]
    struct Push(#[source] std::io::Error);

    impl Classify for Push {
        fn class(&self) -> Class {
            Class::Transient
        }
    }

    #[test]
    fn keeps_class_and_prints_the_chain() {
        let fault = Fault::from(Push(std::io::Error::other("refused")));
        assert_eq!(fault.class(), Class::Transient);
        assert_eq!(fault.to_string(), "could not push: refused");
        assert!(fault.error().downcast_ref::<Push>().is_some());
    }
}
