//! A broker in memory whose every move the test decides: assignments, revocations, errors, retention.

use seawall_core::{
    Batch, Class, Commit, Event, Fault, Fetched, Generation, Limit, Offset, Origin, Position, Record, Source,
    TopicPartition, Waker,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

#[derive(Default)]
pub struct Topic {
    pub log: BTreeMap<Offset, Record>,
    pub end: Offset,
    pub committed: Position,
    pub assigned: Option<(Generation, Offset)>,
    pub paused: bool,
}

#[derive(Default)]
pub struct State {
    pub topics: BTreeMap<TopicPartition, Topic>,
    pub events: VecDeque<Event>,
    pub generation: u64,
    pub poll_faults: VecDeque<Fault>,
    pub commit_faults: VecDeque<Fault>,
    pub commits: Vec<Commit>,
    pub released: Vec<(TopicPartition, Generation)>,
    pub ever_paused: BTreeSet<TopicPartition>,
    pub polls: u64,
    pub rereads: u64,
    /// How long leaving takes a member that is dropped, and whether it has left.
    pub leaving_takes: Duration,
    pub left: bool,
    woken: bool,
}

#[derive(Clone, Default)]
pub struct Broker(Arc<(Mutex<State>, Condvar)>);

impl Broker {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().expect("no panic under this lock")
    }

    pub fn produce(&self, id: &TopicPartition, record: Record) -> Offset {
        let mut state = self.state();
        let topic = state.topics.entry(id.clone()).or_default();
        let offset = topic.end;
        topic.log.insert(offset, record);
        topic.end += 1;
        self.0.1.notify_all();
        offset
    }

    /// Leaves a gap in the offsets, as compaction does.
    pub fn skip(&self, id: &TopicPartition, offsets: u64) {
        self.state().topics.entry(id.clone()).or_default().end += offsets;
    }

    pub fn assign(&self, id: &TopicPartition) -> Generation {
        self.assign_from(id, Origin::Committed)
    }

    /// Assigns it at the position that it has, which comes from `origin`.
    pub fn assign_from(&self, id: &TopicPartition, origin: Origin) -> Generation {
        let mut state = self.state();
        state.generation += 1;
        let generation = Generation(state.generation);
        let topic = state.topics.entry(id.clone()).or_default();
        let (position, end) = (topic.committed.clone(), topic.end);
        topic.assigned = Some((generation, position.watermark));
        topic.paused = false;
        let partition = id.clone();
        state.events.push_back(Event::Assigned { partition, generation, position, origin, end });
        self.wake(&mut state);
        generation
    }

    pub fn revoke(&self, id: &TopicPartition) {
        let mut state = self.state();
        let generation = state.topics[id].assigned.expect("assigned").0;
        state.events.push_back(Event::Revoked { partition: id.clone(), generation });
        self.wake(&mut state);
    }

    /// Takes the partition away at once, as when the session has timed out.
    pub fn lose(&self, id: &TopicPartition) {
        let mut state = self.state();
        let topic = state.topics.get_mut(id).expect("known");
        let generation = topic.assigned.take().expect("assigned").0;
        state.events.push_back(Event::Lost { partition: id.clone(), generation });
        self.wake(&mut state);
    }

    /// Cuts the log at `at`, appends `new` there, and starts the partition anew as the Kafka source does.
    pub fn cut(&self, id: &TopicPartition, at: Offset, new: impl IntoIterator<Item = Record>) {
        let mut state = self.state();
        state.generation += 1;
        let generation = Generation(state.generation);
        let topic = state.topics.get_mut(id).expect("known");
        topic.log.split_off(&at);
        topic.log.extend((at..).zip(new));
        topic.end = topic.log.last_key_value().map_or(at, |(last, _)| last + 1);
        let position = Position { watermark: topic.committed.watermark.min(at), ..Position::default() };
        let (origin, end, partition) = (Origin::Cut(at), topic.end, id.clone());
        let old = topic.assigned.replace((generation, position.watermark)).expect("assigned").0;
        state.events.push_back(Event::Lost { partition: partition.clone(), generation: old });
        state.events.push_back(Event::Assigned { partition, generation, position, origin, end });
        self.wake(&mut state);
    }

    pub fn source(&self) -> Scripted {
        Scripted(self.clone())
    }

    fn wake(&self, state: &mut State) {
        state.woken = true;
        self.0.1.notify_all();
    }
}

pub struct Scripted(Broker);

impl Drop for Scripted {
    fn drop(&mut self) {
        let takes = self.0.state().leaving_takes;
        std::thread::sleep(takes);
        self.0.state().left = true;
    }
}

impl Scripted {
    fn read(topic: &Topic, from: Offset, to: Offset, limit: Limit) -> Batch {
        let mut batch = Batch { records: Vec::new(), next: from };
        let mut bytes = 0;
        for (offset, record) in topic.log.range(from..to.max(from)) {
            let weight = record.weight();
            let full = batch.records.len() >= limit.records || bytes + weight > limit.bytes;
            if full && !batch.records.is_empty() {
                return batch;
            }
            bytes += weight;
            batch.records.push(Fetched { offset: *offset, record: record.clone() });
            batch.next = offset + 1;
        }
        batch.next = to.max(from);
        batch
    }

    fn ready(state: &mut State, limit: Limit) -> Option<Result<Vec<Event>, Fault>> {
        if let Some(fault) = state.poll_faults.pop_front() {
            return Some(Err(fault));
        }
        let mut events: Vec<Event> = state.events.drain(..).collect();
        for event in &events {
            // A pause that came after this assignment was made and before it was heard meant the one before.
            if let Event::Assigned { partition, .. } = event
                && let Some(topic) = state.topics.get_mut(partition)
            {
                topic.paused = false;
            }
        }
        let mut left = limit;
        for (id, topic) in &mut state.topics {
            let Some((generation, next)) = &mut topic.assigned else { continue };
            if topic.paused || *next >= topic.end || left.records == 0 {
                continue;
            }
            let (generation, from, end) = (*generation, *next, topic.end);
            let batch = Self::read(topic, from, end, left);
            topic.assigned = Some((generation, batch.next));
            left.records = left.records.saturating_sub(batch.records.len());
            events.push(Event::Records { partition: id.clone(), generation, batch, end });
        }
        (!events.is_empty()).then_some(Ok(events))
    }
}

impl Source for Scripted {
    fn poll(&mut self, wait: Duration, limit: Limit) -> Result<Vec<Event>, Fault> {
        let mut state = self.0.state();
        state.polls += 1;
        if let Some(ready) = Self::ready(&mut state, limit) {
            return ready;
        }
        if !wait.is_zero() && !state.woken {
            state = self.0.0.1.wait_timeout(state, wait).expect("no panic under this lock").0;
        }
        state.woken = false;
        Self::ready(&mut state, limit).unwrap_or_else(|| Ok(Vec::new()))
    }

    fn pause(&mut self, partition: &TopicPartition) {
        let mut state = self.0.state();
        state.ever_paused.insert(partition.clone());
        state.topics.get_mut(partition).expect("known").paused = true;
    }

    fn resume(&mut self, partition: &TopicPartition) {
        self.0.state().topics.get_mut(partition).expect("known").paused = false;
    }

    fn commit(&mut self, commits: &[Commit]) -> Result<(), Fault> {
        let mut state = self.0.state();
        if let Some(fault) = state.commit_faults.pop_front() {
            return Err(fault);
        }
        for commit in commits {
            let topic = state.topics.get_mut(&commit.partition).expect("known");
            if topic.assigned.map(|(generation, _)| generation) != Some(commit.generation) {
                return Err(Fault::new(Class::Permanent, "the generation is no longer in force"));
            }
            topic.committed = commit.position.clone();
            state.commits.push(commit.clone());
        }
        Ok(())
    }

    fn release(&mut self, partition: &TopicPartition, generation: Generation) {
        let mut state = self.0.state();
        state.topics.get_mut(partition).expect("known").assigned = None;
        state.released.push((partition.clone(), generation));
    }

    fn reread(
        &mut self,
        partition: &TopicPartition,
        from: Offset,
        to: Offset,
        limit: Limit,
    ) -> Result<Batch, Fault> {
        let mut state = self.0.state();
        state.rereads += 1;
        Ok(Self::read(&state.topics[partition], from, to, limit))
    }

    fn waker(&self) -> Waker {
        let broker = self.0.clone();
        Waker::new(move || broker.wake(&mut broker.state()))
    }
}
