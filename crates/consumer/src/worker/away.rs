//! Records that leave for another topic, and those that come back from one.
//!
//! A dead letter stays there; what goes to a retry topic ([`topic`]) is read again by this consumer and waits
//! until it is due. Either is settled here only once its sink has confirmed it.

use super::lane::{Item, LaneKey};
use super::settle::Answer;
use super::start::token_of;
use super::{Attempted, Worker};
use crate::dead_letter::Provenance;
use crate::partition::{Partition, Settled};
use crate::retry::topic::{self, Deferred};
use crate::retry::{self, RETRY_AFTER_MAX, Story};
use seawall_core::{Delivery, Fault, Fetched, Nanos, Outgoing, Receipt, WallMs};
use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

/// A record on its way to another topic.
#[derive(Debug)]
pub(super) struct Away {
    key: LaneKey,
    item: Item,
    to: To,
}

#[derive(Debug)]
enum To {
    DeadLetters(Arc<str>),
    /// Where it waits until then.
    RetryTopic(Arc<str>, Nanos),
}

impl<H, M, F> Worker<H, M, F>
where
    M: Fn(Arc<H>, Delivery, Option<Duration>) -> F,
    F: Future<Output = Attempted<H>>,
{
    /// Sends a record to the dead letters; without any, it is tried again for ever.
    pub(super) fn bury(&mut self, key: LaneKey, mut item: Item) {
        let Some(topic) = self.parts.shared.options.dead_letter.clone() else {
            return self.park(key, item, self.limits.retry.max);
        };
        if let Some(story) = &mut item.story {
            story.dead.get_or_insert(0);
        }
        self.send_away(key, item, To::DeadLetters(topic));
    }

    /// Lets a record that failed wait: in a retry topic where there is one for so long a wait, or here.
    pub(super) fn wait_out(&mut self, key: LaneKey, item: Item, wait: Duration) {
        let failed = item.story.as_deref().is_some_and(Story::has_failed);
        // What is being given up is left to its next owner, who reads it where it is.
        let stays = self.lanes.part(key.slot).is_some_and(|part| !part.closed);
        let topic = topic::choose(&self.parts.shared.options.retry_topics, wait).filter(|_| failed && stays);
        match topic.cloned() {
            Some(topic) => self.send_away(key, item, To::RetryTopic(topic, self.now.plus(wait))),
            None => self.park(key, item, wait),
        }
    }

    fn send_away(&mut self, key: LaneKey, item: Item, to: To) {
        if let Some(part) = self.lanes.part(key.slot) {
            part.delta.busy += 1;
            part.out += 1;
        }
        self.lanes.occupy(key);
        self.away.push(Away { key, item, to });
    }

    /// Hands on what this turn has sent away.
    pub(super) fn submit_away(&mut self) {
        let wall = self.parts.shared.clock.wall();
        let (mut batch, mut records) = (Vec::new(), Vec::new());
        for away in std::mem::take(&mut self.away) {
            match self.outgoing(&away, wall) {
                Some(record) => {
                    records.push(record);
                    batch.push(away);
                }
                None => self.kept_here(away),
            }
        }
        let outlet = self.parts.outlet.clone();
        self.operations.push(Box::pin(async move {
            let results = outlet.send(records).await;
            Answer::Sent { batch, results }
        }));
    }

    /// Without a story there is nothing to tell another topic: what failed always has one.
    fn kept_here(&mut self, Away { key, item, to }: Away) {
        if self.lanes.origin(key.slot).is_none() {
            // Its partition is no longer ours: the next owner reads it.
            return;
        }
        tracing::error!(offset = item.offset, "a record without a story was to leave; it stays");
        self.over(key.slot, 1);
        self.came_back(key, item, &to);
    }

    /// The record with its story, as the other topic gets it.
    fn outgoing(&self, away: &Away, wall: WallMs) -> Option<Outgoing> {
        let (item, read) = (&away.item, self.lanes.origin(away.key.slot)?);
        let story = item.story.as_ref()?;
        let (origin, offset) = item.origin(read);
        let provenance = Provenance {
            error: story.fault.to_string(),
            class: story.fault.class(),
            attempts: story.attempts,
            first_failed: story.first_failed_wall,
            last_failed: story.last_failed_wall,
            token: token_of(read, item),
            origin: origin.clone(),
            offset,
            pipeline: self.parts.shared.options.pipeline.to_string(),
        };
        let mut record = item.record.clone();
        let topic = match &away.to {
            To::DeadLetters(topic) => {
                provenance.bury(&mut record, wall);
                topic
            }
            To::RetryTopic(topic, until) => {
                let wait = i64::try_from(until.since(self.now).as_millis()).unwrap_or(i64::MAX);
                let due = WallMs(wall.0.saturating_add(wait));
                Deferred { story: provenance, due }.write_to(&mut record, wall);
                topic
            }
        };
        Some(Outgoing { topic: Arc::clone(topic), partition: None, record })
    }

    /// The sink has answered.
    pub(super) fn sent(&mut self, batch: Vec<Away>, results: Vec<Result<Receipt, Fault>>) {
        let mut results = results.into_iter();
        for Away { key, item, to } in batch {
            self.over(key.slot, 1);
            match results.next() {
                Some(Ok(_receipt)) => {
                    let how = match to {
                        To::DeadLetters(_) => Settled::DeadLettered,
                        To::RetryTopic(..) => Settled::Deferred,
                    };
                    self.settle(key.slot, item.offset, how, item.weight);
                    self.lanes.advance(key);
                    continue;
                }
                Some(Err(error)) => {
                    if let Some(untold) = self.told.away.tell(self.now) {
                        tracing::warn!(%error, offset = item.offset, untold, "another topic did not take a record, which waits here");
                    }
                }
                None => {
                    if let Some(untold) = self.told.away.tell(self.now) {
                        tracing::warn!(
                            offset = item.offset,
                            untold,
                            "the sink left an answer out; the record waits"
                        );
                    }
                }
            }
            self.came_back(key, item, &to);
        }
    }

    /// It was not taken: a dead letter is sent again after a while, one that was to wait elsewhere waits here.
    fn came_back(&mut self, key: LaneKey, mut item: Item, to: &To) {
        let wait = match to {
            To::RetryTopic(_, until) => until.since(self.now).max(self.limits.retry.base),
            To::DeadLetters(_) => {
                let refused = item.story.as_mut().map_or(1, |story| {
                    let refused = story.dead.unwrap_or(0).saturating_add(1);
                    story.dead = Some(refused);
                    refused
                });
                retry::backoff(&self.limits.retry).delay(refused, self.rng.u64(..))
            }
        };
        self.park(key, item, wait);
    }

    /// Whether records of `partition` may have come back.
    pub(super) fn is_retry_topic(&self, partition: &Partition) -> bool {
        self.parts.shared.options.retry_topics.iter().any(|retry| retry.topic == partition.id.topic)
    }

    /// Takes records of a retry topic: each waits until it is due.
    pub(super) fn take_back(&mut self, slot: u32, records: Vec<(u64, Fetched)>) {
        let share = self.share();
        let wall = self.parts.shared.clock.wall();
        let longest = self.limits.retry.max.max(RETRY_AFTER_MAX);
        for (hash, Fetched { offset, record }) in records {
            // What it weighs in the books is what was fetched.
            let mut item = Item::new(offset, record);
            let mut wait = Duration::ZERO;
            match Deferred::take_from(&mut item.record) {
                Some(Ok(deferred)) => {
                    wait = deferred.wait(wall, longest);
                    item.story = Some(Box::new(deferred.into_story(self.now, wall)));
                }
                Some(Err(error)) => {
                    if let Some(untold) = self.told.stories.tell(self.now) {
                        tracing::warn!(%error, offset, untold, "a record of a retry topic tells no story; it is handled as a new one");
                    }
                }
                None => {}
            }
            if item.story.is_none() {
                self.lanes.accept(slot, hash, item, &share);
                continue;
            }
            // One that is due is parked, too: it is a retry, and the retry budget is asked.
            let until = self.now.plus(wait);
            if let Some(key) = self.lanes.accept_parked(slot, hash, item, until, &share) {
                self.timers.push(Reverse((until, key)));
            }
        }
    }
}
