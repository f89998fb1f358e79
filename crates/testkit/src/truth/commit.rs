//! Positions: what is assigned, what is asked to be committed, what became durable.

use super::{Facts, Place, Process};
use crate::trace::Event;
use seawall_consumer::track::codec;
use seawall_core::{Commit, Generation, Offset, Position};

impl Facts {
    /// A source gives a partition to a process, to be read from `position`.
    pub fn assigned(
        &mut self,
        process: Process,
        partition: u32,
        generation: Generation,
        position: &Position,
    ) {
        let watermark = position.watermark;
        self.note(Event::Assigned { process, partition, watermark });
        let part = self.parts.entry(partition).or_default();
        // A member that was away hears of what it was given and has lost again.
        if part.owner.is_none_or(|(_, before)| before <= generation) {
            part.owner = Some((process, generation));
        }
        part.released.remove(&process);
        // What it buried and could not commit, it will bury again.
        part.seen.values_mut().for_each(|seen| seen.letter.by = None);
        let durable = part.watermark;
        if watermark < durable {
            self.violate(format!("partition {partition} starts at {watermark}; {durable} was durable"));
        }
        // What an earlier owner settled in a commit whose answer never came is durable all the same.
        self.durable(partition, position);
    }

    /// A process gives a partition back in order: it must not be handling anything of it any more.
    pub fn released(&mut self, process: Process, partition: u32) {
        self.parts.entry(partition).or_default().released.insert(process);
        let busy = self.lanes.values().find(|(of, place)| *of == process && place.0 == partition).copied();
        if let Some((_, place)) = busy {
            self.violate(format!("{process:?} gives partition {partition} back while it handles {place:?}"));
        }
    }

    /// A commit is asked for: everything in it must be settled.
    pub fn committing(&mut self, commit: &Commit) {
        let partition = commit.partition.partition;
        let watermark = commit.position.watermark;
        let beyond = match codec::decode(&commit.position) {
            Ok(beyond) => beyond,
            Err(error) => {
                return self.violate(format!("the position of partition {partition} does not read: {error}"));
            }
        };
        let Some(part) = self.parts.get(&partition) else { return };
        let passed = part.next;
        let end = beyond.runs(watermark).last().map_or(watermark, |(_, end)| end);
        if end.max(watermark) > passed.max(part.watermark) {
            return self.violate(format!(
                "partition {partition} commits {watermark} and up to {end}; its source was read up to {passed}"
            ));
        }
        let covered = |offset: Offset| offset < watermark || beyond.contains(offset);
        let unsettled = part
            .seen
            .range(part.watermark..)
            .find(|(offset, seen)| covered(**offset) && !self.is_settled(seen))
            .map(|(offset, seen)| (*offset, seen.token.clone()));
        if let Some((offset, token)) = unsettled {
            let place = Place(partition, offset);
            self.violate(format!(
                "commit of watermark {watermark} with {} beyond passes the unsettled {place:?} ({token})",
                beyond.count_from(watermark)
            ));
        }
    }

    /// How a commit was answered. One that is durable stays durable, whether its answer arrives or not.
    pub fn committed(&mut self, process: Process, commit: &Commit, durable: bool, answer: &'static str) {
        let (partition, watermark) = (commit.partition.partition, commit.position.watermark);
        let beyond = commit.position.beyond.len();
        self.note(Event::Committed { process, partition, watermark, beyond, answer });
        self.coverage.add(&format!("commit {answer}"), 1);
        if !durable {
            return;
        }
        let part = self.parts.entry(partition).or_default();
        let (before, owner) = (part.watermark, part.owner);
        if owner != Some((process, commit.generation)) {
            let generation = commit.generation;
            self.violate(format!(
                "a commit of partition {partition} by {process:?} under {generation:?} is taken; {owner:?} has it"
            ));
        }
        if watermark < before {
            self.violate(format!("partition {partition} is committed at {watermark} after {before}"));
        }
        self.durable(partition, &commit.position);
    }

    fn durable(&mut self, partition: u32, position: &Position) {
        let part = self.parts.entry(partition).or_default();
        if position.watermark >= part.watermark {
            part.watermark = position.watermark;
            part.beyond = codec::decode(position).unwrap_or_default();
        }
    }

    /// Whether everything of `partition` below `end` is durably settled.
    pub fn is_through(&self, partition: u32, end: Offset) -> bool {
        self.parts.get(&partition).map_or(0, |part| part.watermark) >= end
    }
}
