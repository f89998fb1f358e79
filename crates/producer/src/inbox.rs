//! Where records wait for the pump's next look. Its bound is the [`budget`](crate::admit).

use crate::answer::Answer;
use crate::spill::keys::Bucket;
use seawall_core::{Durability, Nanos, Outgoing};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// So many are copied into the room that there is; more come with their own.
pub(crate) const FEW: usize = 16;

/// A record on its way, with the duty to answer for it.
pub(crate) struct Entry {
    pub(crate) outgoing: Outgoing,
    pub(crate) duty: Duty,
}

/// What is owed to a record's caller, and what is known of its way.
pub(crate) struct Duty {
    /// What the record takes of the memory's budget.
    pub(crate) weight: usize,
    /// What it is reckoned with on disk, and in a call.
    pub(crate) bytes: usize,
    pub(crate) bucket: Bucket,
    pub(crate) asked: Durability,
    pub(crate) answer: Answer,
    /// When it was taken.
    pub(crate) taken: Nanos,
    pub(crate) deadline: Nanos,
    /// A sink was called with it and did not answer for it.
    pub(crate) attempted: bool,
    /// It is still in a call, too: lane, and place in that call.
    pub(crate) shadow: Option<(usize, usize)>,
    /// A sink has dealt with it, and its caller is told, while it is on its way to the disk.
    pub(crate) dealt: bool,
}

/// Entries, their records apart from their duties: the disk is given the records alone, all at once.
#[derive(Default)]
pub(crate) struct Entries {
    records: Vec<Outgoing>,
    duties: Vec<Duty>,
}

impl Entries {
    /// As many records as duties.
    pub(crate) fn of(records: Vec<Outgoing>, duties: Vec<Duty>) -> Self {
        Self { records, duties }
    }

    pub(crate) fn with_capacity(entries: usize) -> Self {
        Self { records: Vec::with_capacity(entries), duties: Vec::with_capacity(entries) }
    }

    pub(crate) fn push(&mut self, Entry { outgoing, duty }: Entry) {
        self.records.push(outgoing);
        self.duties.push(duty);
    }

    /// Takes all of `others`.
    pub(crate) fn append(&mut self, others: &mut Self) {
        if self.is_empty() && others.len() > FEW {
            std::mem::swap(self, others);
        } else {
            self.records.append(&mut others.records);
            self.duties.append(&mut others.duties);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.duties.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.duties.is_empty()
    }

    pub(crate) fn duties(&self) -> &[Duty] {
        &self.duties
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Entry> {
        let entry = |(outgoing, duty)| Entry { outgoing, duty };
        self.records.drain(..).zip(self.duties.drain(..)).map(entry)
    }

    pub(crate) fn into_parts(self) -> (Vec<Outgoing>, Vec<Duty>) {
        (self.records, self.duties)
    }
}

/// A wish to end.
pub(crate) struct Closing {
    pub(crate) within: Duration,
    pub(crate) done: oneshot::Sender<()>,
}

#[derive(Default)]
struct State {
    entries: Entries,
    /// The pump sleeps.
    idle: bool,
    closed: bool,
    closing: Vec<Closing>,
    /// Nobody looks any more.
    ended: bool,
}

#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    bell: Notify,
}

/// What a look found.
#[derive(Default)]
pub(crate) struct Look {
    pub(crate) entries: Entries,
    pub(crate) closed: bool,
    pub(crate) closing: Vec<Closing>,
}

impl Inbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands records over, or gives them back where the producer is closed.
    pub(crate) fn push(&self, mut entries: Entries) -> Result<(), Entries> {
        let mut state = self.state();
        if state.closed {
            return Err(entries);
        }
        state.entries.append(&mut entries);
        self.wake(state);
        Ok(())
    }

    /// Takes nothing more; what was taken is still dealt with. Once that has [ended](Self::end) a wish is dropped.
    pub(crate) fn close(&self, closing: Option<Closing>) {
        let mut state = self.state();
        state.closed = true;
        if !state.ended {
            state.closing.extend(closing);
        }
        self.wake(state);
    }

    /// Whoever wishes for the end, now or later, has it.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        (state.closed, state.ended) = (true, true);
        let left = (std::mem::take(&mut state.closing), std::mem::take(&mut state.entries));
        drop(state);
        // Its callers hear that they are lost.
        drop(left);
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        if std::mem::take(&mut state.idle) {
            drop(state);
            self.bell.notify_one();
        }
    }

    /// Everything there is; `look.entries` must be empty and lends its room.
    pub(crate) fn take(&self, look: &mut Look) {
        let mut state = self.state();
        std::mem::swap(&mut state.entries, &mut look.entries);
        look.closed = state.closed;
        look.closing = std::mem::take(&mut state.closing);
    }

    /// Waits until there is something new. `closed` is what the last look said.
    pub(crate) async fn filled(&self, closed: bool) {
        loop {
            {
                let mut state = self.state();
                if !state.entries.is_empty() || !state.closing.is_empty() || state.closed != closed {
                    return;
                }
                state.idle = true;
            }
            self.bell.notified().await;
        }
    }
}
