//! What a log says of the processes before this one.

use super::error::{Flaw, OpenError};
use super::frame::{self, Entry, Unreadable};
use super::index::Index;
use super::key::Secret;
use seawall_core::Nanos;
use seawall_wal::{Disk, Limit, Log, WalError};
use std::path::Path;

/// How much is read at a time.
const READ: Limit = Limit { frames: 4096, bytes: 1 << 20 };

/// What was found besides claims and completions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// `None` in a new directory.
    pub(super) secret: Option<Secret>,
    /// The last epoch; zero in a new directory.
    pub(super) epoch: u32,
    /// How long the store was open in all, as far as the log shows.
    pub(super) uptime: Nanos,
}

/// Fills `index` from `log`.
pub(super) fn replay<D: Disk>(log: &Log<D>, index: &mut Index) -> Result<Found, OpenError> {
    let dir = log.dir();
    let failed = |source: WalError| OpenError::Log { dir: dir.to_owned(), source };
    let reader = log.reader();
    let mut found = Found::default();
    let mut from = reader.first();
    let begun = from;
    while from < reader.next() {
        let read = reader.read(from, READ).map_err(failed)?;
        if read.next <= from {
            break;
        }
        for frame in read.frames {
            take(&frame.payload, index, &mut found).map_err(|why| refuse(dir, frame.seq, why))?;
        }
        from = read.next;
    }
    if found.secret.is_none() && from > begun {
        return Err(OpenError::NoOpening { dir: dir.to_owned() });
    }
    index.replayed(found.uptime);
    Ok(found)
}

fn take(payload: &[u8], index: &mut Index, found: &mut Found) -> Result<(), Unreadable> {
    let mut mixed = false;
    frame::read(payload, |entry| match entry {
        Entry::Opening(opening) => {
            mixed |= found.secret.is_some_and(|secret| secret != opening.secret);
            found.secret = Some(opening.secret);
            found.epoch = found.epoch.max(opening.epoch);
            found.uptime = found.uptime.max(opening.at);
        }
        Entry::Time(at) => found.uptime = found.uptime.max(at),
        Entry::Claimed(claimed) => index.replay_claim(claimed, found.uptime),
        Entry::Done(done) => {
            found.uptime = found.uptime.max(done.at);
            index.replay_done(done);
        }
    })?;
    if mixed { Err(Unreadable::Flawed(Flaw::OtherKey)) } else { Ok(()) }
}

fn refuse(dir: &Path, seq: u64, why: Unreadable) -> OpenError {
    let dir = dir.to_owned();
    match why {
        Unreadable::Foreign(found) => OpenError::Foreign { dir, seq, found, want: frame::TAG },
        Unreadable::Flawed(what) => OpenError::Damaged { dir, seq, what },
    }
}
