//! Making progress durable.
//!
//! What is committed is taken from the trackers alone. A commit that failed for a moment is superseded by the
//! next one, since positions only grow. A commit that was refused for good means that the assignment has ended
//! without our hearing of it: that partition's state is dropped, nothing is tried again.

use super::{Class, Fetcher, Source, TopicPartition, count};
use crate::partition::Partition;
use seawall_core::{Commit, Fault};
use std::sync::Arc;

impl<S: Source> Fetcher<S> {
    /// Commits every partition that has progressed.
    pub(super) fn commit(&mut self) {
        let mut commits = Vec::new();
        let owned: Vec<Arc<Partition>> =
            self.owned.values().map(|owned| Arc::clone(&owned.partition)).collect();
        for partition in owned {
            commits.extend(self.take_commit(&partition));
        }
        if commits.is_empty() {
            return;
        }
        match self.source.commit(&commits) {
            Ok(()) => self.committed(&commits),
            Err(fault) if fault.class() == Class::Permanent => self.commit_one_by_one(&commits),
            Err(fault) => self.commit_later(&commits, &fault),
        }
    }

    /// What there is to commit of a partition.
    pub(super) fn take_commit(&self, partition: &Partition) -> Option<Commit> {
        let mut book = partition.book();
        if !std::mem::take(&mut book.dirty) {
            return None;
        }
        book.committing = book.uncommitted;
        let encoded = book.tracker.position(self.shared.options.commit.beyond_bytes_max);
        count(&self.shared.totals.commits_truncated, u64::from(encoded.truncated));
        Some(Commit {
            partition: partition.id.clone(),
            generation: partition.generation,
            position: encoded.position,
        })
    }

    /// One of several was refused for good: finds out which.
    fn commit_one_by_one(&mut self, commits: &[Commit]) {
        for commit in commits {
            let one = std::slice::from_ref(commit);
            match self.source.commit(one) {
                Ok(()) => self.committed(one),
                Err(fault) if fault.class() == Class::Permanent => {
                    tracing::warn!(
                        partition = %commit.partition, generation = commit.generation.0, %fault,
                        "commit refused for good: the partition is no longer ours, its state is dropped"
                    );
                    count(&self.shared.totals.commit_failures, 1);
                    self.lose(&commit.partition);
                }
                Err(fault) => self.commit_later(one, &fault),
            }
        }
    }

    pub(super) fn committed(&mut self, commits: &[Commit]) {
        if let Some(since) = self.commits_fail_since.take() {
            let lasted = self.shared.now().since(since);
            tracing::info!(pipeline = %self.shared.options.pipeline, ?lasted, "commits are taken again");
        }
        count(&self.shared.totals.commits, commits.len() as u64);
        for commit in commits {
            if let Some(owned) = self.owned.get(&commit.partition) {
                let mut book = owned.partition.book();
                book.committed = commit.position.watermark;
                book.uncommitted -= std::mem::take(&mut book.committing);
            }
        }
    }

    fn commit_later(&mut self, commits: &[Commit], fault: &Fault) {
        let pipeline = &self.shared.options.pipeline;
        // Tried ten times a second, it would fill the log of an outage.
        if self.commits_fail_since.is_none() {
            tracing::warn!(%pipeline, %fault, "commit failed; the next one supersedes it, and more failures in a row are not told");
            self.commits_fail_since = Some(self.shared.now());
        } else {
            tracing::debug!(%pipeline, %fault, "commit failed again");
        }
        count(&self.shared.totals.commit_failures, commits.len() as u64);
        for commit in commits {
            self.mark_dirty(&commit.partition);
        }
    }

    pub(super) fn mark_dirty(&self, id: &TopicPartition) {
        if let Some(owned) = self.owned.get(id) {
            owned.partition.book().dirty = true;
        }
    }
}
