//! One round: everything queued is written, synced and answered.

use crate::append::{Offsets, Statement, Submission, Work};
use crate::broker::Shared;
use crate::error::LogError;
use crate::group::state::Fact;
use crate::group::store::PLACE;
use crate::partition::{Packed, Partition};
use seawall_wal::Disk;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Does all of `work`. Answers go out only when everything of the round is durable: one burst of wake-ups
/// instead of one per partition.
pub(crate) fn run<D: Disk>(shared: &Shared<D>, work: Vec<Work<D>>) {
    let mut submissions = Vec::new();
    let mut statements = Vec::new();
    for item in work {
        match item {
            Work::Append(submission) => submissions.push(submission),
            Work::State(statement) => statements.push(statement),
        }
    }
    let (answers, dirty) = append_all(shared, &submissions);
    let statement_answers = state_all(shared, &mut statements);
    for (submission, answer) in submissions.into_iter().zip(answers) {
        drop(submission.room);
        // A caller that went away leaves its records written, which its contract allows.
        let _ = submission.done.send(answer);
    }
    for (statement, answer) in statements.into_iter().zip(statement_answers) {
        let _ = statement.done.send(answer);
    }
    for partition in dirty {
        partition.wake_listeners();
    }
}

/// Where a part stands: the submission's index and the part's index in it.
type Place = (usize, usize);

fn append_all<D: Disk>(
    shared: &Shared<D>,
    submissions: &[Submission<D>],
) -> (Vec<Offsets>, Vec<Arc<Partition<D>>>) {
    let mut by_partition: BTreeMap<usize, (Arc<Partition<D>>, Vec<Place>)> = BTreeMap::new();
    for (at, submission) in submissions.iter().enumerate() {
        for (part_at, part) in submission.parts.iter().enumerate() {
            let entry = by_partition
                .entry(part.partition.id)
                .or_insert_with(|| (Arc::clone(&part.partition), Vec::new()));
            entry.1.push((at, part_at));
        }
    }
    let unwritten = |submission: &Submission<D>| vec![Err(LogError::Unconfirmed); submission.parts.len()];
    let mut answers: Vec<Offsets> = submissions.iter().map(unwritten).collect();
    let mut dirty = Vec::with_capacity(by_partition.len());
    for (partition, places) in by_partition.into_values() {
        let parts: Vec<&Packed> =
            places.iter().map(|(at, part_at)| &submissions[*at].parts[*part_at].packed).collect();
        let offsets = partition.commit(&parts, shared.clock.wall());
        let failed = offsets.iter().find_map(|offset| offset.as_ref().err());
        shared.failing.note(|| partition.tp.to_string(), failed);
        for ((at, part_at), offset) in places.into_iter().zip(offsets) {
            answers[at][part_at] = offset;
        }
        dirty.push(partition);
    }
    (answers, dirty)
}

/// Writes the facts of all statements with one sync. Fences are judged here, in the order of the queue, so that
/// a commit that was overtaken by a rebalance is refused.
fn state_all<D: Disk>(shared: &Shared<D>, statements: &mut [Statement]) -> Vec<Result<(), LogError>> {
    if statements.is_empty() {
        return Vec::new();
    }
    let mut facts: Vec<Fact> = Vec::new();
    let mut answers: Vec<Result<(), LogError>> = Vec::with_capacity(statements.len());
    for statement in statements {
        let mut answer = Ok(());
        for (fence, fact) in std::mem::take(&mut statement.facts) {
            match fence.filter(|f| !f.group.in_force(f.member, &f.partition, f.generation)) {
                None => facts.push(fact),
                Some(fence) => {
                    answer = Err(LogError::Fenced {
                        group: fence.group.name.to_string(),
                        partition: fence.partition,
                        given: fence.generation,
                    });
                }
            }
        }
        answers.push(answer);
    }
    let written = if facts.is_empty() { Ok(()) } else { shared.store.write(facts, &*shared.clock) };
    shared.failing.note(|| PLACE.to_owned(), written.as_ref().err());
    match written {
        Ok(()) => {
            if let Err(error) = shared.store.compact_if_due(&*shared.clock) {
                // The facts are durable in their longer form; the next round tries again.
                tracing::warn!(error = &error as &dyn std::error::Error, "group state was not compacted");
            }
        }
        Err(error) => {
            for answer in &mut answers {
                if answer.is_ok() {
                    *answer = Err(error.clone());
                }
            }
        }
    }
    answers
}
