//! Records of one send on their way from its caller to the pump: checked, named, with room, and owed an answer.

use crate::admit::Room;
use crate::answer::{Answer, Call};
use crate::error::SendError;
use crate::ids::{NAMED_BYTES_MAX, Names};
use crate::inbox::{Duty, Entries, Entry};
use crate::producer::{ENTRY_BYTES, Producer, Shared};
use crate::spill::frame;
use crate::spill::keys::Bucket;
use seawall_core::name::check_name;
use seawall_core::{Durability, Header, Nanos, Outgoing};
use std::sync::Arc;

/// As many headers have their lengths, as they are written, within what is reckoned for each record.
const FEW_HEADERS: usize = 16;

/// Checks the records of one send and names them.
pub(crate) struct Check<'a> {
    shared: &'a Shared,
    asked: Durability,
    names: Names<'a>,
    /// The last one that was right: most sends have one alone.
    topic: Option<Arc<str>>,
}

impl<'a> Check<'a> {
    pub(crate) fn new(shared: &'a Shared, asked: Durability, records: usize) -> Self {
        Self { shared, asked, names: shared.ids.names(records), topic: None }
    }

    /// What the record takes of the memory's budget.
    pub(crate) fn check(&mut self, outgoing: &mut Outgoing) -> Result<usize, SendError> {
        let Self { shared, asked, .. } = *self;
        if asked > shared.best {
            return Err(SendError::Unreachable { asked, best: shared.best });
        }
        if self.topic.as_ref().is_none_or(|checked| !Arc::ptr_eq(checked, &outgoing.topic)) {
            check_name("topic", &outgoing.topic)?;
            self.topic = Some(Arc::clone(&outgoing.topic));
        }
        self.names.name(outgoing);
        if shared.options.record_bounds {
            // With its id, which is a header, too.
            outgoing.record.check()?;
        }
        let bytes = size(outgoing);
        if bytes > shared.options.record_bytes_max {
            return Err(SendError::TooLarge { bytes, max: shared.options.record_bytes_max });
        }
        Ok(bytes + ENTRY_BYTES + shared.list_bytes(outgoing))
    }
}

impl Shared {
    /// What the list of its headers takes in memory. No record takes more than all that there is: its bytes are at most a
    /// quarter.
    fn list_bytes(&self, outgoing: &Outgoing) -> usize {
        outgoing.record.headers.list_bytes().min(self.options.memory_bytes_max / 2)
    }

    /// What is owed for a record that has room since `taken`.
    pub(crate) fn duty(
        &self,
        outgoing: &Outgoing,
        weight: usize,
        asked: Durability,
        taken: Nanos,
        answer: Answer,
    ) -> Duty {
        let few = outgoing.record.headers.len() <= FEW_HEADERS;
        Duty {
            weight,
            bytes: if few {
                weight - self.list_bytes(outgoing)
            } else {
                frame::record_bytes(outgoing) + ENTRY_BYTES
            },
            bucket: Bucket::of(&outgoing.topic, outgoing.record.key.as_deref()),
            asked,
            answer,
            taken,
            deadline: taken.plus(self.options.timeout),
            attempted: false,
            shadow: None,
            dealt: false,
        }
    }

    /// Whether a record has room at once.
    fn has_room(&self, weight: usize) -> bool {
        let (bytes, records) = self.budget.used();
        bytes + weight <= self.options.memory_bytes_max && records < self.options.memory_records_max
    }
}

/// The records of one send. Those that have room, and are still here when this goes away, give it back.
pub(crate) struct Drafts<'a> {
    producer: &'a Producer,
    call: &'a Arc<Call>,
    asked: Durability,
    check: Check<'a>,
    entries: Entries,
    /// For those that are still to come.
    room: Room<'a>,
    /// When the last of them had room.
    taken: Nanos,
}

impl<'a> Drafts<'a> {
    /// Room for all of `records` is taken at once, where it is there.
    pub(crate) fn new(
        producer: &'a Producer,
        call: &'a Arc<Call>,
        asked: Durability,
        records: &[Outgoing],
    ) -> Self {
        let shared = producer.shared();
        let each = ENTRY_BYTES + NAMED_BYTES_MAX + size_of::<Header>();
        let bytes = records.iter().map(|outgoing| size(outgoing) + shared.list_bytes(outgoing) + each).sum();
        Self {
            producer,
            call,
            asked,
            check: Check::new(shared, asked, records.len()),
            entries: Entries::default(),
            room: shared.budget.take_ahead(bytes, records.len()),
            taken: shared.clock.now(),
        }
    }

    /// Hands over all that are right, once they have room; the others are refused.
    pub(crate) async fn admit(&mut self, mut records: Vec<Outgoing>) {
        let duties = self.admit_ready(&mut records);
        let ready = duties.len();
        let rest = records.split_off(ready);
        self.entries = Entries::of(records, duties);
        let mut stopped = None;
        for (place, mut outgoing) in (ready..).zip(rest) {
            if let Some(error) = &stopped {
                self.call.refuse(place, SendError::clone(error));
                continue;
            }
            // A record that is bad in itself stops nobody else.
            let weight = match self.check.check(&mut outgoing) {
                Ok(weight) => weight,
                Err(error) => {
                    self.call.refuse(place, error);
                    continue;
                }
            };
            if let Err(error) = self.find_room(weight).await {
                self.call.refuse(place, error.clone());
                stopped = Some(error);
                continue;
            }
            let duty = self.duty(&outgoing, weight, place);
            self.entries.push(Entry { outgoing, duty });
        }
        self.hand_over();
    }

    /// The duties for the first records, as far as they are right and have room. Usually that is all of them, and none
    /// has to be moved.
    fn admit_ready(&mut self, records: &mut [Outgoing]) -> Vec<Duty> {
        let mut duties = Vec::with_capacity(records.len());
        for (place, outgoing) in records.iter_mut().enumerate() {
            match self.check.check(outgoing) {
                Ok(weight) if self.room.spend(weight) => duties.push(self.duty(outgoing, weight, place)),
                _ => break,
            }
        }
        duties
    }

    fn duty(&self, outgoing: &Outgoing, weight: usize, place: usize) -> Duty {
        let answer = self.call.answer(place);
        self.producer.shared().duty(outgoing, weight, self.asked, self.taken, answer)
    }

    /// Room for one record more.
    async fn find_room(&mut self, weight: usize) -> Result<(), SendError> {
        if self.room.spend(weight) {
            return Ok(());
        }
        // What waits for room must not hold back what has it: the room may be theirs to free.
        if !self.producer.shared().has_room(weight) {
            self.hand_over();
        }
        self.producer.find_room(weight).await?;
        self.taken = self.producer.shared().clock.now();
        Ok(())
    }

    fn hand_over(&mut self) {
        self.producer.hand_over(std::mem::take(&mut self.entries));
    }
}

impl Drop for Drafts<'_> {
    fn drop(&mut self) {
        for duty in self.entries.duties() {
            self.producer.shared().budget.free(duty.weight, 1);
        }
    }
}

fn size(outgoing: &Outgoing) -> usize {
    outgoing.topic.len() + outgoing.record.weight()
}
