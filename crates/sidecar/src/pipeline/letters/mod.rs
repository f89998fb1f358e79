//! A pipeline's dead letters: listed, read, redriven, purged.
//!
//! A dead letter is never taken out of its topic; instead, what was redriven or purged is remembered exactly, as
//! the position of a consumer group of its own (watermark and the set beyond it). So a redrive that was cut off
//! goes on where it stood, a letter that is done is not listed again after a restart either, and the front of
//! the topic can be given back to the disk. A crash between a redrive's append and its commit may redrive a
//! letter twice: under the same token, which the claim store recognises. So may two processes of one pipeline that
//! redrive the same letters of a cluster in the same moment.

mod done;
mod filter;
mod redrive;
mod shelf;

pub use filter::{Choice, LetterId, Page, Search};
pub use redrive::{Progress, RedriveError};

use crate::destination::Destination;
use done::Done;
use seawall_consumer::dead_letter::Provenance;
use seawall_core::{Clock, Fault, Fetched, Offset, Record};
use shelf::Shelf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most bytes of the set beyond the watermark, in one commit.
const BEYOND_BYTES_MAX: usize = 256 << 10;
/// How often the number of letters on a cluster is looked up.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often what is done with is written down again: a cluster forgets the positions of a group without members after
/// `offsets.retention.minutes`, a week by default. Seldom, because two processes that write in the same moment may undo each
/// other until the next time.
const RENEW_EVERY: Duration = Duration::from_hours(1);

/// The dead letters of one pipeline.
pub struct Letters {
    topic: Arc<str>,
    shelf: Shelf,
    place: Destination,
    done: Mutex<Done>,
    redrive: Mutex<Progress>,
    clock: Arc<dyn Clock>,
}

/// One dead letter.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Where it lies.
    pub id: LetterId,
    /// The record, with its story in its headers.
    pub record: Record,
    /// The story; `None` where the record tells none.
    pub story: Option<Provenance>,
}

impl Letters {
    /// The letters of `pipeline` in `topic` at `place`, on the current runtime. On the embedded log the topic
    /// exists; on a cluster it is looked for whenever it is looked into.
    ///
    /// # Errors
    /// What the log or the client says.
    pub fn open(
        place: &Destination,
        pipeline: &str,
        topic: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, Fault> {
        let shelf = Shelf::open(place, &format!("{pipeline}.redriven"), topic)?;
        let letters = Arc::new(Self {
            topic: Arc::from(topic),
            place: place.clone(),
            done: Mutex::default(),
            redrive: Mutex::new(Progress::default()),
            shelf,
            clock,
        });
        match place {
            Destination::Log(_) => drop(letters.look()?),
            Destination::Kafka { .. } => letters.keep_looking(),
        }
        Ok(letters)
    }

    /// Looks now and then how many there are, for as long as somebody holds the letters, and keeps the cluster from forgetting
    /// which are done with.
    fn keep_looking(self: &Arc<Self>) {
        let letters = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(LOOK_EVERY);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut renewed: Option<tokio::time::Instant> = None;
            loop {
                tick.tick().await;
                let Some(letters) = letters.upgrade() else { return };
                let renews = renewed.is_none_or(|at| at.elapsed() >= RENEW_EVERY);
                let looked = tokio::task::spawn_blocking(move || {
                    letters.look()?;
                    if renews { letters.shelf.renew() } else { Ok(()) }
                });
                match looked.await {
                    Ok(Ok(())) if renews => renewed = Some(tokio::time::Instant::now()),
                    Ok(Err(fault)) => tracing::debug!(%fault, "the dead letters could not be counted"),
                    _ => {}
                }
            }
        });
    }

    /// What is there now, once what is written down of it is known.
    fn look(&self) -> Result<Vec<shelf::Span>, Fault> {
        let before = self.done().ends();
        let found = self.shelf.look()?;
        let stale = self.done().learn(&before, &found);
        if !stale.is_empty() {
            tracing::warn!(topic = %self.topic, partitions = ?stale.iter().map(|(partition, _)| partition).collect::<Vec<_>>(),
                "the dead letters end before those that were done with: the topic was made anew, or cut; what it holds counts as new");
            self.shelf.commit(&stale)?;
        }
        Ok(found.spans)
    }

    /// Their topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// How many there are; on a cluster, as of the last look, a moment ago.
    pub fn count(&self) -> u64 {
        let done = self.done();
        self.shelf.seen().into_iter().map(|span| done.left(span)).sum()
    }

    /// The letter at `id`, unless it is done with or was never there. Blocks.
    ///
    /// # Errors
    /// What the log or the cluster says.
    pub fn get(&self, id: LetterId) -> Result<Option<Letter>, Fault> {
        let spans = self.look()?;
        self.find(&spans, id)
    }

    fn find(&self, spans: &[shelf::Span], id: LetterId) -> Result<Option<Letter>, Fault> {
        let held = |span: &&shelf::Span| {
            span.partition == id.partition && (span.start..span.end).contains(&id.offset)
        };
        let Some(span) = spans.iter().find(held).filter(|_| !self.is_done(id)) else { return Ok(None) };
        let only = shelf::Span { end: id.offset + 1, ..*span };
        let batch = self.shelf.fetch(only, id.offset)?;
        let found = batch.records.into_iter().find(|fetched| fetched.offset == id.offset);
        Ok(found.map(|fetched| letter(id.partition, fetched)))
    }

    /// A page of letters. Blocks.
    ///
    /// # Errors
    /// What the log or the cluster says.
    pub fn page(&self, search: &Search) -> Result<Page, Fault> {
        filter::page(self, search)
    }

    /// Marks the letters that `choice` means as done with, and frees what space that frees. How many. Blocks.
    ///
    /// # Errors
    /// What the log or the cluster says.
    pub fn purge(&self, choice: &Choice) -> Result<u64, Fault> {
        let mut purged = 0;
        filter::each(self, choice, |letter| {
            purged += u64::from(self.settle(letter.id));
            Ok(true)
        })?;
        let below = self.commit()?;
        self.shelf.free(&below)?;
        Ok(purged)
    }

    fn is_done(&self, id: LetterId) -> bool {
        self.done().holds(id.partition, id.offset)
    }

    /// Remembers that `id` is done with, in memory. False when it was already.
    fn settle(&self, id: LetterId) -> bool {
        self.done().add(id.partition, id.offset)
    }

    /// Makes what was settled durable, beside what others have written down since. Below which offsets everything is done
    /// with, of the letters that are there now. Blocks.
    fn commit(&self) -> Result<Vec<(u32, Offset)>, Fault> {
        let spans = self.look()?;
        let positions = self.done().positions(&spans);
        self.shelf.commit(&positions)?;
        let held = |(partition, watermark): &(u32, Offset)| {
            spans.iter().any(|span| span.partition == *partition && *watermark <= span.end)
        };
        let watermarks = positions.into_iter().map(|(partition, position)| (partition, position.watermark));
        Ok(watermarks.filter(held).collect())
    }

    fn done(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Letters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Letters({})", self.topic)
    }
}

fn letter(partition: u32, fetched: Fetched) -> Letter {
    let story = Provenance::from_record(&fetched.record).ok();
    Letter { id: LetterId { partition, offset: fetched.offset }, record: fetched.record, story }
}
