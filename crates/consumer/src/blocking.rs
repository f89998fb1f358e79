//! Handlers that block get their own threads.
//!
//! A worker runs its handlers as futures on its own task: one that computes for seconds, or waits in a call that
//! is not asynchronous, holds up every lane of that worker, though never the group membership. Such a handler
//! belongs in here: so many threads, each with one record at a time; a worker only waits for the answers.

use crate::worker::panics::{Caught, isolate};
use seawall_core::{Class, Delivery, Fault, Handler, Offset, Outcome, TopicPartition};
use std::collections::HashSet;
use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, Semaphore, oneshot};

type Job = Box<dyn FnOnce() + Send>;

/// Runs a blocking function for each delivery on threads of its own.
///
/// A thread cannot be stopped from outside. Where an attempt ends before its function returns (its deadline, a
/// lost partition), the function goes on: it can see that in `delivery.context.cancel`, its answer is
/// [counted](Self::abandoned) and dropped, and the same record is not begun again here until it has returned.
pub struct BlockingHandler<F> {
    work: Arc<F>,
    jobs: Sender<Job>,
    /// One for each thread.
    free: Arc<Semaphore>,
    turns: Arc<Turns>,
    abandoned: Arc<AtomicU64>,
}

impl<F> std::fmt::Debug for BlockingHandler<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockingHandler").field("abandoned", &self.abandoned).finish_non_exhaustive()
    }
}

/// The threads are gone.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the threads of the blocking handler are gone")]
struct Gone;

impl<F> BlockingHandler<F>
where
    F: Fn(&Delivery) -> Outcome + Send + Sync + 'static,
{
    /// Starts `threads` threads (at least 1), which end when the handler is dropped and what they run has
    /// returned.
    ///
    /// # Errors
    /// The system has no thread.
    pub fn new(threads: usize, work: F) -> io::Result<Self> {
        let threads = threads.max(1);
        let (jobs, todo) = channel::<Job>();
        let todo = Arc::new(Mutex::new(todo));
        for number in 0..threads {
            let todo = Arc::clone(&todo);
            let name = format!("handler-{number}");
            std::thread::Builder::new().name(name).spawn(move || while do_next(&todo) {})?;
        }
        Ok(Self {
            work: Arc::new(work),
            jobs,
            free: Arc::new(Semaphore::new(threads)),
            turns: Arc::default(),
            abandoned: Arc::default(),
        })
    }

    /// Answers that came after their attempt had been ended: refused, and counted here.
    pub fn abandoned(&self) -> u64 {
        self.abandoned.load(Relaxed)
    }
}

/// Does one job; false once there will be none.
fn do_next(todo: &Mutex<Receiver<Job>>) -> bool {
    // One thread waits inside the lock, the others for the lock: each job is taken by one of them.
    let job = todo.lock().unwrap_or_else(PoisonError::into_inner).recv();
    job.map(|job| job()).is_ok()
}

impl<F> Handler for BlockingHandler<F>
where
    F: Fn(&Delivery) -> Outcome + Send + Sync + 'static,
{
    async fn handle(&self, delivery: &Delivery) -> Outcome {
        let gone = || Outcome::Retry(Fault::new(Class::Bug, Gone));
        let turn = Turns::take(&self.turns, (delivery.origin.clone(), delivery.offset)).await;
        let Ok(thread) = Arc::clone(&self.free).acquire_owned().await else { return gone() };
        let (answer, answered) = oneshot::channel::<Result<Outcome, Caught>>();
        let (work, delivery) = (Arc::clone(&self.work), delivery.clone());
        let abandoned = Arc::clone(&self.abandoned);
        let job = move || {
            let ended = isolate(|| work(&delivery));
            if answer.send(ended).is_err() {
                abandoned.fetch_add(1, Relaxed);
                let (partition, offset) = (&delivery.origin, delivery.offset);
                tracing::warn!(%partition, offset, "a blocking handler answered after its attempt had ended");
            }
            drop((turn, thread));
        };
        if self.jobs.send(Box::new(job)).is_err() {
            return gone();
        }
        match answered.await {
            Ok(Ok(outcome)) => outcome,
            // To be counted and reported where every handler's panic is.
            Ok(Err(caught)) => resume_unwind(Box::new(caught)),
            Err(_) => gone(),
        }
    }
}

type Place = (TopicPartition, Offset);

/// Which records are with a thread.
#[derive(Debug, Default)]
struct Turns {
    taken: Mutex<HashSet<Place>>,
    left: Notify,
}

impl Turns {
    /// Waits until no thread has the record.
    async fn take(turns: &Arc<Self>, place: Place) -> Turn {
        loop {
            let mut left = std::pin::pin!(turns.left.notified());
            left.as_mut().enable();
            let mine = turns.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(place.clone());
            if mine {
                return Turn { turns: Arc::clone(turns), place };
            }
            left.await;
        }
    }
}

/// Held while a thread has the record.
struct Turn {
    turns: Arc<Turns>,
    place: Place,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.place);
        self.turns.left.notify_waiters();
    }
}
