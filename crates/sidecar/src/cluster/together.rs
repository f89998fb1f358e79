//! One question at a time, whose answer is that of all who waited for it.

use seawall_core::{Clock, Nanos};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Asks something that takes long when it fails: without this, each of many callers would wait for all before it.
pub(super) struct Together<E> {
    clock: Arc<dyn Clock>,
    /// An answer stands for so long; a failure only for those who waited.
    believed: Duration,
    /// Held while it is asked.
    last: Mutex<Option<Last<E>>>,
}

struct Last<E> {
    at: Nanos,
    outcome: Result<(), E>,
}

impl<E: Clone> Together<E> {
    pub(super) fn new(clock: Arc<dyn Clock>, believed: Duration) -> Self {
        Self { clock, believed, last: Mutex::new(None) }
    }

    /// What `ask` says, or said to another while this call waited.
    pub(super) async fn ask(&self, ask: impl Future<Output = Result<(), E>>) -> Result<(), E> {
        let came = self.clock.now();
        let mut last = self.last.lock().await;
        let stands = |last: &&Last<E>| {
            last.at > came || (last.outcome.is_ok() && self.clock.now().since(last.at) < self.believed)
        };
        if let Some(last) = last.as_ref().filter(stands) {
            return last.outcome.clone();
        }
        let outcome = ask.await;
        *last = Some(Last { at: self.clock.now(), outcome: outcome.clone() });
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_core::SystemClock;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    #[tokio::test]
    async fn who_waited_has_the_answer_and_who_comes_later_only_a_good_one() {
        let hour = Duration::from_hours(1);
        let (together, asked) = (Together::new(Arc::new(SystemClock::new()), hour), AtomicU64::new(0));
        let answer = async |outcome: Result<(), &'static str>| {
            asked.fetch_add(1, Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
            outcome
        };
        let ask = |outcome| together.ask(answer(outcome));
        let answers = futures_util::future::join_all((0..8).map(|_| ask(Err("away")))).await;
        assert_eq!((answers, asked.load(Relaxed)), (vec![Err("away"); 8], 1));
        assert_eq!((ask(Ok(())).await, asked.load(Relaxed)), (Ok(()), 2), "a failure is over");
        assert_eq!((ask(Err("never asked")).await, asked.load(Relaxed)), (Ok(()), 2));
    }
}
