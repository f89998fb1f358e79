//! What must be true at the end, after a calm phase in which everything could finish.

use super::{Facts, Place};

impl Facts {
    /// Every record with a receipt had its effect or is a dead letter, and rejected ones are dead letters alone.
    pub fn check_end(&mut self) {
        let mut wrong = Vec::new();
        for (place, id) in &self.receipts {
            let seen = self.parts.get(&place.0).and_then(|part| part.seen.get(&place.1));
            match seen {
                None => wrong.push(format!("{place:?} (record {id}) has a receipt and was never handed out")),
                Some(seen) if !self.is_settled(seen) => {
                    wrong.push(format!("{place:?} (record {id}) has a receipt and was never settled"));
                }
                Some(_) => {}
            }
        }
        for (partition, part) in &self.parts {
            for (offset, seen) in &part.seen {
                let place = Place(*partition, *offset);
                let rejected = self.planned(seen.id).is_some_and(|planned| planned.rejected);
                if rejected && !seen.letter.is_confirmed() {
                    wrong.push(format!("{place:?} was rejected and is no dead letter"));
                }
                let subject = self.subjects.get(&self.subject_of(place, &seen.token));
                if !seen.letter.is_confirmed() && subject.is_none_or(|subject| subject.effects == 0) {
                    wrong.push(format!("{place:?} is settled, and its effect never happened"));
                }
            }
        }
        if let Some(wrong) = wrong.into_iter().next() {
            self.violate(wrong);
        }
    }

    /// Everything did not finish in time.
    pub fn check_live(&mut self, partition: u32, end: u64, told: &str) {
        if !self.is_through(partition, end) {
            let stuck = self.first_unfinished(partition, 0);
            self.violate(format!(
                "calm for minutes, and partition {partition} has not come to {end}; stuck at {stuck:?}; {told}"
            ));
        }
    }
}
