//! What a sink answered for live records: told to their callers, or the records wait for another call.

use super::Pump;
use super::lane::{Answers, Load, Sent};
use crate::answer::Settled;
use crate::error::SendError;
use crate::grade::Safe;
use crate::inbox::Entry;
use crate::spill::keys::Bucket;
use crate::stats::Path;
use seawall_core::{Class, Classify, Durability, Fault, Nanos, Outgoing, Receipt};
use seawall_wal::Disk;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Calls in a row of which a part failed, before that part goes to the disk.
const PARTLY_MAX: u32 = 2;

/// Takes back the receipts of records that overtook an earlier one of their key in the same call, which is sent again:
/// they follow it again.
///
/// `stays` says of which faults: what is refused for good, and put aside, has no order any more.
pub(super) fn in_order(
    buckets: impl Iterator<Item = Option<Bucket>>,
    mut answers: Answers,
    stays: impl Fn(&Fault) -> bool,
) -> Answers {
    let mut failed: BTreeMap<Bucket, Fault> = BTreeMap::new();
    for (bucket, answer) in buckets.zip(&mut answers) {
        let Some(bucket) = bucket.filter(|bucket| bucket.lane(1).is_some()) else { continue };
        match (&answer, failed.get(&bucket)) {
            (Ok(_), Some(fault)) => *answer = Err(fault.clone()),
            (Err(fault), None) if stays(fault) => {
                let _ = failed.insert(bucket, fault.clone());
            }
            _ => {}
        }
    }
    answers
}

/// A sink's receipt is worth less than the disk's, which was given already.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the sink's receipt is {}, and the record, which is on disk, is synced: it stays there", .0.as_str())]
struct LessThanDisk(Durability);

impl Classify for LessThanDisk {
    fn class(&self) -> Class {
        Class::Transient
    }
}

fn enough_for_disk(receipt: &Receipt) -> Result<(), Fault> {
    match receipt.durability {
        less if less < Durability::Synced => Err(LessThanDisk(less).into()),
        _ => Ok(()),
    }
}

/// What a sink's answer is worth for a record that is on disk, and would be deleted there.
pub(super) fn for_disk(answer: Result<Receipt, Fault>) -> Result<Receipt, Fault> {
    answer.and_then(|receipt| enough_for_disk(&receipt).map(|()| receipt))
}

/// What a sink's answers are worth for those of a call's records that are on disk.
pub(super) fn for_disk_alone(load: &Load, answers: &mut Answers) {
    let on_disk = |place: usize| match load {
        Load::Replay(_) => true,
        Load::Live(sent) => matches!(sent.get(place), Some(Sent::OnDisk(_))),
    };
    for (place, answer) in answers.iter_mut().enumerate() {
        if let Ok(receipt) = answer
            && on_disk(place)
            && let Err(less) = enough_for_disk(receipt)
        {
            *answer = Err(less);
        }
    }
}

impl<D: Disk> Pump<D> {
    /// Whether it left records that wait in the lane itself.
    pub(super) fn settle_live(
        &mut self,
        at: usize,
        sink: usize,
        (sent, records): (Vec<Sent>, Vec<Outgoing>),
        answers: Answers,
        now: Nanos,
    ) -> bool {
        let bucket = |sent: &Sent| match sent {
            Sent::Mine(duty) => Some(duty.bucket),
            Sent::OnDisk(stored) => Some(stored.bucket),
            Sent::Queued => None,
        };
        let answers = in_order(sent.iter().map(bucket), answers, |fault| fault.class() != Class::Permanent);
        if let Some(backlog) = &mut self.backlog {
            for sent in &sent {
                if let Sent::OnDisk(stored) = sent {
                    backlog.in_call.remove(&stored.seq);
                }
            }
        }
        // Until the progress says that these were delivered, a crash would have them delivered once more, behind what
        // follows them here: so that, too, follows them once more.
        let on_disk = |sent: &Sent| match sent {
            Sent::OnDisk(stored) if stored.bucket.lane(1).is_some() => Some(stored.bucket),
            _ => None,
        };
        let on_disk: BTreeSet<Bucket> = sent.iter().filter_map(on_disk).collect();
        let mut again = Vec::new();
        let mut paths = [0_u64; 4];
        let mut settled = Settled::default();
        for ((sent, outgoing), answer) in sent.into_iter().zip(records).zip(answers) {
            match (sent, answer) {
                (Sent::Mine(duty), Ok(_)) if on_disk.contains(&duty.bucket) => {
                    again.push(Entry { outgoing, duty });
                }
                (Sent::Mine(mut duty), Ok(receipt)) => {
                    let path = if duty.attempted { Path::Buffer } else { Path::Direct };
                    paths[path as usize] += 1;
                    let outcome = self.delivered(sink, receipt, duty.asked);
                    settled.add(&mut duty.answer, outcome);
                    self.free(duty.weight, 1);
                }
                (Sent::Mine(mut duty), Err(fault)) if fault.class() == Class::Permanent => {
                    settled.add(&mut duty.answer, Err(self.refusal(sink, fault)));
                    self.free(duty.weight, 1);
                }
                (Sent::Mine(duty), Err(_)) => again.push(Entry { outgoing, duty }),
                (Sent::OnDisk(stored), Ok(receipt)) => {
                    paths[Path::Direct as usize] += 1;
                    self.delivered_from_disk(sink, stored, receipt);
                }
                // It is on disk: the replay brings it, and hears what the sink says then.
                (Sent::OnDisk(_), Err(_)) | (Sent::Queued, _) => {}
            }
        }
        drop(settled);
        for path in Path::ALL {
            self.shared.stats.count(sink, path, paths[path as usize]);
        }
        let mut left = Vec::new();
        for mut entry in again {
            entry.duty.attempted = true;
            if entry.duty.answer.is_settled() || now >= entry.duty.deadline {
                self.time_out(&mut entry);
                self.free(entry.duty.weight, 1);
            } else {
                left.push(entry);
            }
        }
        // What fails again and again while others are taken waits on disk, where it is in nobody's way.
        if self.lanes[at].partly >= PARTLY_MAX
            && let Some(backlog) = self.backlog.as_mut().filter(|backlog| backlog.takes(now))
        {
            left.drain(..).for_each(|entry| backlog.enqueue(entry));
        }
        let waits = !left.is_empty();
        for entry in left.into_iter().rev() {
            self.lanes[at].push_back_to_front(entry);
        }
        waits
    }

    /// What a caller is told whose record a sink refused for good.
    pub(super) fn refusal(&self, sink: usize, fault: Fault) -> SendError {
        SendError::Refused { sink: Arc::clone(&self.shared.targets[sink].name), fault }
    }

    /// What a sink's receipt is worth to the caller.
    pub(super) fn delivered(
        &self,
        sink: usize,
        receipt: Receipt,
        asked: Durability,
    ) -> Result<Safe, SendError> {
        let sink = Arc::clone(&self.shared.targets[sink].name);
        let given = receipt.durability;
        if given < asked {
            Err(SendError::Weaker { sink, asked, given })
        } else {
            Ok(Safe::Delivered { sink, receipt })
        }
    }
}
