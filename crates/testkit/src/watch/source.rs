//! A source, watched.

use super::{Injected, Watch};
use crate::chance::Mishap;
use crate::power::Site;
use crate::trace::{Event as Told, Place};
use seawall_core::{
    Batch, Class, Commit, Event, Fault, Generation, Limit, Offset, Source, TopicPartition, Waker,
};
use std::time::Duration;

/// A watched source.
#[derive(Debug)]
pub struct WatchedSource<S> {
    inner: S,
    watch: Watch,
}

impl<S: Source> WatchedSource<S> {
    /// Watches `inner`.
    pub fn new(inner: S, watch: Watch) -> Self {
        Self { inner, watch }
    }

    fn fault(what: &'static str) -> Fault {
        Fault::new(Class::Transient, Injected(what))
    }

    fn tell(&self, event: &Event) {
        let process = self.watch.process;
        self.watch.truth.enter(|facts| match event {
            Event::Assigned { partition, generation, position, .. } => {
                facts.assigned(process, partition.partition, *generation, position);
            }
            Event::Revoked { partition, .. } => {
                facts.coverage.add("partition revoked", 1);
                facts.note(Told::Gone { process, partition: partition.partition, lost: false });
            }
            Event::Lost { partition, .. } => {
                facts.coverage.add("partition lost", 1);
                facts.note(Told::Gone { process, partition: partition.partition, lost: true });
            }
            Event::Records { partition, batch, .. } => {
                let number = partition.partition;
                if let Some(first) = batch.records.first() {
                    let (from, records) = (Place(number, first.offset), batch.records.len());
                    facts.note(Told::Polled { process, from, records });
                }
                for fetched in &batch.records {
                    facts.handed_out(number, fetched.offset, &fetched.record);
                }
                facts.passed(number, batch.next);
            }
        });
    }
}

impl<S: Source> Source for WatchedSource<S> {
    fn poll(&mut self, wait: Duration, limit: Limit) -> Result<Vec<Event>, Fault> {
        if self.watch.power.is_off() {
            return Ok(Vec::new());
        }
        if self.watch.truth.strikes(Mishap::PollFails) {
            return Err(Self::fault("the source cannot be read"));
        }
        let events = self.inner.poll(wait, limit)?;
        if events.is_empty() {
            return Ok(events);
        }
        for event in &events {
            self.tell(event);
        }
        Ok(if self.watch.power.step(Site::AfterPoll) { events } else { Vec::new() })
    }

    fn pause(&mut self, partition: &TopicPartition) {
        self.inner.pause(partition);
    }

    fn resume(&mut self, partition: &TopicPartition) {
        self.inner.resume(partition);
    }

    fn commit(&mut self, commits: &[Commit]) -> Result<(), Fault> {
        let Watch { truth, power, process } = self.watch.clone();
        let tell = |durable: bool, answer: &'static str| {
            truth.enter(|facts| {
                for commit in commits {
                    facts.committed(process, commit, durable, answer);
                }
            });
        };
        if power.is_off() {
            return Err(Self::fault("the process is dead"));
        }
        truth.enter(|facts| commits.iter().for_each(|commit| facts.committing(commit)));
        if !power.step(Site::BeforeCommit) {
            return Err(Self::fault("the process is dead"));
        }
        if truth.strikes(Mishap::CommitFails) {
            tell(false, "failed");
            return Err(Self::fault("the commit failed"));
        }
        let answer = self.inner.commit(commits);
        match &answer {
            Ok(()) => tell(true, "ok"),
            Err(fault) if fault.class() == Class::Permanent => tell(false, "refused"),
            Err(_) => tell(false, "unknown"),
        }
        if !power.step(Site::AfterCommit) || (answer.is_ok() && truth.strikes(Mishap::CommitAnswerLost)) {
            return Err(Self::fault("the commit's answer is lost"));
        }
        answer
    }

    fn release(&mut self, partition: &TopicPartition, generation: Generation) {
        if self.watch.power.is_off() {
            return;
        }
        let process = self.watch.process;
        self.watch.truth.enter(|facts| facts.released(process, partition.partition));
        self.inner.release(partition, generation);
    }

    fn reread(
        &mut self,
        partition: &TopicPartition,
        from: Offset,
        to: Offset,
        limit: Limit,
    ) -> Result<Batch, Fault> {
        if self.watch.power.is_off() || self.watch.truth.strikes(Mishap::RereadFails) {
            return Err(Self::fault("the reread failed"));
        }
        let batch = self.inner.reread(partition, from, to, limit)?;
        self.watch.truth.enter(|facts| {
            facts.coverage.add("reread", 1);
            for fetched in &batch.records {
                facts.handed_out(partition.partition, fetched.offset, &fetched.record);
            }
        });
        Ok(batch)
    }

    fn waker(&self) -> Waker {
        self.inner.waker()
    }
}
