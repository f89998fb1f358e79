//! Dead letters: every one tells its story, and none is sent without a failure.

use super::{Facts, Place, Process};
use crate::trace::Event;
use seawall_consumer::dead_letter::Provenance;
use seawall_core::{Class, Record};
use std::collections::BTreeMap;

/// What is known of a record's dead letter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Letter {
    /// Times the sink was asked.
    asked: u32,
    confirmed: bool,
    /// Who got the last confirmation, as long as it holds the partition without a break.
    pub(super) by: Option<Process>,
}

impl Letter {
    pub(super) fn is_confirmed(&self) -> bool {
        self.confirmed
    }
}

impl Facts {
    /// A dead letter is sent. Its place, where it has one.
    pub fn burying(&mut self, process: Process, letter: &Record) -> Option<Place> {
        let place = self.check_letter(process, letter);
        match place {
            Ok(place) => {
                if let Some(seen) = self.seen_mut(place) {
                    seen.letter.asked += 1;
                }
                Some(place)
            }
            Err(why) => {
                self.violate(why);
                None
            }
        }
    }

    fn check_letter(&mut self, process: Process, letter: &Record) -> Result<Place, String> {
        let story = Provenance::from_record(letter).map_err(|error| format!("a dead letter: {error}"))?;
        let place = Place(story.origin.partition, story.offset);
        if &*story.origin.topic != super::TOPIC || story.pipeline != self.terms.pipeline {
            return Err(format!("the dead letter of {place:?} tells of another origin: {story:?}"));
        }
        let seen = self.parts.get(&place.0).and_then(|part| part.seen.get(&place.1));
        let seen = seen.ok_or_else(|| format!("a dead letter of {place:?}, which was never handed out"))?;
        let mut original = letter.clone();
        Provenance::strip(&mut original);
        if self.planned(seen.id).map(|planned| &planned.record) != Some(&original) {
            return Err(format!("the dead letter of {place:?} is not the record: {original:?}"));
        }
        if story.token != seen.token {
            return Err(format!("the dead letter of {place:?} says {}, not {}", story.token, seen.token));
        }
        let failures = seen.failed.get(&process).copied().unwrap_or(0);
        if story.attempts == 0 || story.attempts > failures {
            return Err(format!(
                "the dead letter of {place:?} tells of {} attempts, {failures} failed",
                story.attempts
            ));
        }
        let rejected = self.planned(seen.id).is_some_and(|planned| planned.rejected);
        if story.class == Class::Permanent && !rejected {
            return Err(format!("{place:?} is buried as permanent, and the service never said so"));
        }
        if seen.letter.by == Some(process) {
            return Err(format!("{place:?} is buried twice by one process"));
        }
        Ok(place)
    }

    /// The sink answered.
    pub fn buried(&mut self, process: Process, place: Place, answer: &'static str) {
        self.note(Event::Letter { process, place, answer });
        if answer != "ok" {
            return;
        }
        self.coverage.add("dead letter", 1);
        let owner = self.parts.get(&place.0).and_then(|part| part.owner);
        if let Some(seen) = self.seen_mut(place) {
            // One that lost the partition and has it again buries once more what it could not commit meanwhile.
            let holds = seen.tried.is_some() && seen.tried == owner;
            (seen.letter.confirmed, seen.letter.by) = (true, holds.then_some(process));
        }
    }

    /// What the dead letters' topic holds at the end: a letter for every confirmation, none that was not sent.
    pub fn check_letters<'a>(&mut self, letters: impl Iterator<Item = &'a Record>) {
        let mut held: BTreeMap<Place, u32> = BTreeMap::new();
        for letter in letters {
            match Provenance::from_record(letter) {
                Ok(story) => *held.entry(Place(story.origin.partition, story.offset)).or_default() += 1,
                Err(error) => self.violate(format!("in the dead letters: {error}")),
            }
        }
        let mut wrong = None;
        for (partition, part) in &self.parts {
            for (offset, seen) in &part.seen {
                let place = Place(*partition, *offset);
                let count = held.remove(&place).unwrap_or(0);
                let least = u32::from(seen.letter.is_confirmed());
                if count < least || count > seen.letter.asked {
                    let asked = seen.letter.asked;
                    wrong = Some(format!("{place:?}: {count} dead letters, {least} to {asked} are right"));
                }
            }
        }
        if let Some((place, _)) = held.first_key_value() {
            wrong = Some(format!("a dead letter of {place:?}, which does not exist"));
        }
        if let Some(wrong) = wrong {
            self.violate(wrong);
        }
    }
}
