//! A handler that panics harms one attempt and nothing else, and is always seen.
//!
//! The unwinding is stopped at the poll that started it. The message, the place and the backtrace exist only
//! while the panic hook runs, so a hook is put in front of the process's own: while a handler is polled on
//! this thread it keeps them for the report and stays silent itself; everywhere else it hands on.
//!
//! The report is made in a fixed order: the counter first, then the log line at error level. Resolving a
//! backtrace to names reads debug information, which takes milliseconds; so the line of a place that has
//! panicked within the last second carries the place and the message but not the frames again. The count and
//! the lines are complete in any case.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Mutex, Once, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use seawall_core::{Class, Classify, Nanos};

/// How long a place's frames are not resolved again.
const FRAMES_EVERY: Duration = Duration::from_secs(1);

/// A handler panicked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the handler panicked at {place}: {message}")]
pub struct Panicked {
    /// What it said.
    pub message: String,
    /// `file:line:column`, where known.
    pub place: String,
}

impl Classify for Panicked {
    fn class(&self) -> Class {
        Class::Bug
    }
}

/// A panic with what the hook saw of it.
#[derive(Debug)]
pub(crate) struct Caught {
    pub(crate) panicked: Panicked,
    frames: Option<Backtrace>,
}

thread_local! {
    static POLLING: Cell<bool> = const { Cell::new(false) };
    static SEEN: RefCell<Option<(String, Backtrace)>> = const { RefCell::new(None) };
}

/// Puts the hook in front, once for the process.
pub(crate) fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let next = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !POLLING.get() {
                return next(info);
            }
            let place = info.location().map_or_else(|| "an unknown place".into(), ToString::to_string);
            SEEN.set(Some((place, Backtrace::force_capture())));
        }));
    });
}

/// Runs `work`, which belongs to a handler, and stops its panic here.
pub(crate) fn isolate<T>(work: impl FnOnce() -> T) -> Result<T, Caught> {
    let before = POLLING.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    POLLING.set(before);
    result.map_err(|payload| {
        let payload = match payload.downcast::<Caught>() {
            // It was caught on another thread, and only handed on.
            Ok(caught) => return *caught,
            Err(payload) => payload,
        };
        let message = message_of(&*payload);
        // A payload whose own destructor panics must not take the worker along.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
        let (place, frames) = match SEEN.take() {
            Some((place, frames)) => (place, Some(frames)),
            None => ("an unknown place".into(), None),
        };
        Caught { panicked: Panicked { message, place }, frames }
    })
}

/// Polls the future in `slot` and stops its panic; a future that panicked is dropped.
pub(crate) fn isolated_poll<F: Future>(
    mut slot: Pin<&mut Option<F>>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, Caught>> {
    let polled = isolate(|| match slot.as_mut().as_pin_mut() {
        Some(future) => future.poll(cx),
        None => Poll::Pending,
    });
    match polled {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(caught) => Poll::Ready(Err(caught)),
    }
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a value that is no text".to_owned()
    }
}

/// When which place was last reported with its frames.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    places: Mutex<BTreeMap<String, Nanos>>,
}

impl Reporter {
    /// Writes the log line. The counter has been raised before.
    pub(crate) fn report(
        &self,
        pipeline: &str,
        origin: &dyn std::fmt::Display,
        offset: u64,
        caught: &Caught,
        now: Nanos,
    ) {
        let Panicked { message, place } = &caught.panicked;
        let due = {
            let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            let due = places.get(place).is_none_or(|last| now.since(*last) >= FRAMES_EVERY);
            if due {
                places.insert(place.clone(), now);
            }
            due
        };
        if let Some(frames) = caught.frames.as_ref().filter(|_| due) {
            tracing::error!(pipeline, %origin, offset, place, %message, backtrace = %frames, "handler panicked");
        } else {
            tracing::error!(pipeline, %origin, offset, place, %message, "handler panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_place_and_frames_are_kept() {
        install_hook();
        let caught = isolate(|| panic!("poison {}", 7)).expect_err("panics");
        assert_eq!(caught.panicked.message, "poison 7");
        assert!(caught.panicked.place.contains("panics.rs"), "{}", caught.panicked.place);
        assert!(caught.frames.is_some());
        assert_eq!(isolate(|| 5).ok(), Some(5));
    }

    #[test]
    fn a_payload_that_panics_when_dropped_is_harmless() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        install_hook();
        let caught = isolate(|| std::panic::panic_any(Bomb)).expect_err("panics");
        assert_eq!(caught.panicked.message, "a value that is no text");
    }
}
