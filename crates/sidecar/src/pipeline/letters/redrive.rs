//! Sending dead letters back to where they came from, at a rate their service can bear.

use super::filter::{self, Choice};
use super::{Letter, Letters};
use crate::cloudevents::{TIME, time_of};
use seawall_consumer::dead_letter::Provenance;
use seawall_core::token::TOKEN_HEADER;
use seawall_core::{Class, Classify, Fault, Header, Outgoing, Record, Sink};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

/// Where a redriven record came from: `topic/partition/offset` of its letter.
pub(crate) const REDRIVEN_FROM: &str = "seawall-redriven-from";
/// How long letters are gathered before they are appended and remembered together.
const TICK: Duration = Duration::from_millis(100);
/// The most letters appended together.
const BATCH_MAX: usize = 1_000;

/// How a redrive stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Whether one is under way.
    pub running: bool,
    /// How many letters it was about at its start, at most.
    pub count: u64,
    /// Letters appended to their origin and remembered as done.
    pub redriven: u64,
    /// Letters left where they are, for `error`.
    pub failed: u64,
    /// Whether it ended before its end: what it did not come to stays where it is, too.
    pub ended_early: bool,
    /// What the last failure was.
    pub error: Option<String>,
}

/// Why no redrive was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedriveError {
    /// One is under way.
    #[error("a redrive of this pipeline is under way; wait until it is done")]
    Running,
}

impl Classify for RedriveError {
    fn class(&self) -> Class {
        Class::Transient
    }
}

impl Letters {
    /// How the last redrive stands.
    pub fn progress(&self) -> Progress {
        self.progress_mut().clone()
    }

    fn progress_mut(&self) -> MutexGuard<'_, Progress> {
        self.redrive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts sending what `choice` means back to its origin, at most `rate` letters a second, on the current
    /// runtime. Letters that fail stay where they are.
    ///
    /// # Errors
    /// [`RedriveError::Running`].
    pub fn redrive(self: &Arc<Self>, choice: Choice, rate: u32) -> Result<(), RedriveError> {
        let count = choice.bound().unwrap_or_else(|| self.count());
        {
            let mut progress = self.progress_mut();
            if progress.running {
                return Err(RedriveError::Running);
            }
            *progress = Progress { running: true, count, ..Progress::default() };
        }
        let letters = self.clone();
        tokio::spawn(async move {
            // Dropped at whatever end, so that a redrive cannot stay under way for ever.
            let mut ending = Ending { letters: letters.clone(), early: Some("a defect of Seawall".into()) };
            ending.early = letters.run(choice, rate).await.err().map(|fault| fault.to_string());
            drop(ending);
        });
        Ok(())
    }

    async fn run(self: &Arc<Self>, choice: Choice, rate: u32) -> Result<(), Fault> {
        let (found, mut letters) = mpsc::channel(BATCH_MAX);
        let reading = self.clone();
        let reader = tokio::task::spawn_blocking(move || {
            filter::each(&reading, &choice, |letter| Ok(found.blocking_send(letter).is_ok()))
        });
        let (mut pace, per_tick) = pace(rate);
        loop {
            pace.tick().await;
            let mut batch = Vec::with_capacity(per_tick);
            if letters.recv_many(&mut batch, per_tick).await == 0 {
                break;
            }
            self.send_back(batch).await?;
        }
        match reader.await {
            Ok(read) => read,
            Err(error) => Err(Fault::new(Class::Bug, error)),
        }
    }

    /// Appends `batch` to its origins, then remembers durably what got a receipt.
    async fn send_back(self: &Arc<Self>, batch: Vec<Letter>) -> Result<(), Fault> {
        let (mut places, mut outgoing) = (Vec::new(), Vec::new());
        // A purge may have come since they were read.
        for letter in batch.into_iter().filter(|letter| !self.is_done(letter.id)) {
            match self.revive(letter) {
                Some((id, record)) => {
                    places.push(id);
                    outgoing.push(record);
                }
                None => self.fail("the letter does not say where it came from"),
            }
        }
        for (id, answer) in places.into_iter().zip(self.place.send(outgoing).await) {
            match answer {
                Ok(_) => {
                    self.settle(id);
                    self.progress_mut().redriven += 1;
                }
                Err(fault) => self.fail(&fault.to_string()),
            }
        }
        let committing = self.clone();
        match tokio::task::spawn_blocking(move || committing.commit()).await {
            Ok(committed) => committed.map(drop),
            Err(error) => Err(Fault::new(Class::Bug, error)),
        }
    }

    fn fail(&self, why: &str) {
        let mut progress = self.progress_mut();
        progress.failed += 1;
        progress.error = Some(why.to_owned());
    }

    /// The letter as a record of its origin again, of now, under its old token.
    fn revive(&self, letter: Letter) -> Option<(super::LetterId, Outgoing)> {
        let story = letter.story?;
        let mut record: Record = letter.record;
        Provenance::strip(&mut record);
        record.headers.set(Header::new(TOKEN_HEADER, story.token.as_bytes().clone()));
        let from = format!("{}/{}/{}", self.topic, letter.id.partition, letter.id.offset);
        record.headers.set(Header::new(REDRIVEN_FROM, from));
        // A topic judges by the timestamp what is too old to be kept; when the event happened does not change.
        if record.headers.get(TIME).is_none()
            && let Some(time) = time_of(&record)
        {
            record.headers.push(Header::new(TIME, time));
        }
        record.timestamp = self.clock.wall();
        Some((letter.id, Outgoing { topic: story.origin.topic, partition: None, record }))
    }
}

/// When the next letters are to be sent back, and how many at most. What was late is not made up for.
fn pace(rate: u32) -> (Interval, usize) {
    let per_tick = (f64::from(rate) * TICK.as_secs_f64()).ceil().clamp(1.0, BATCH_MAX as f64);
    let mut pace = tokio::time::interval(Duration::from_secs_f64(per_tick / f64::from(rate.max(1))));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    (pace, per_tick as usize)
}

struct Ending {
    letters: Arc<Letters>,
    /// Why it ends before its end, if it does.
    early: Option<String>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let mut progress = self.letters.progress_mut();
        progress.running = false;
        if let Some(why) = self.early.take() {
            (progress.ended_early, progress.error) = (true, Some(why));
        }
    }
}

#[cfg(test)]
mod tests;
