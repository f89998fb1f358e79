//! Commits, on a thread of their own.
//!
//! The client's own commit waits for its coordinator as long as that takes. So it is made elsewhere, and waited
//! for no longer than [`PATIENCE`], since the poll loop fetches nothing meanwhile: a commit that is not answered by
//! then is `Transient`, and while it is still under way the next ones are answered so at once. Its own answer counts
//! for whoever asks for the very same positions again. Should it arrive late it does no harm: what it says was true
//! when it was sent, so the worst is an older position, from which records are delivered again.

use super::{GroupConsumer, SourceOptions};
use crate::connection::Connection;
use crate::error::KafkaError;
use crate::position;
use crate::position::overflow::Overflow;
use rdkafka::Offset as ClientOffset;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::topic_partition_list::TopicPartitionList;
use seawall_core::{Clock, Commit, Nanos, SystemClock};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

type Answer = Result<(), KafkaError>;

/// How long the poll loop waits for a commit: many times what a healthy coordinator takes, and short enough that one
/// that is away costs little of the fetching.
const PATIENCE: Duration = Duration::from_secs(1);

/// The side of the poll loop.
pub(super) struct Committer {
    jobs: Sender<Vec<Commit>>,
    answers: Receiver<Answer>,
    thread: JoinHandle<()>,
    /// What was not answered in time, is still under way, and since when.
    late: Option<(Vec<Commit>, Nanos)>,
    group: Arc<str>,
    clock: SystemClock,
    bound: Duration,
}

impl Committer {
    pub(super) fn start(
        consumer: &Arc<GroupConsumer>,
        connection: &Connection,
        group: &Arc<str>,
        options: &SourceOptions,
    ) -> Result<Self, KafkaError> {
        let (jobs, todo) = channel::<Vec<Commit>>();
        let (done, answers) = channel();
        let consumer = Arc::clone(consumer);
        let name = Arc::clone(group);
        let timeout = options.request_timeout;
        let mut overflow = Overflow::new(connection.clone(), options.overflow_topic.clone(), timeout);
        let work = move || {
            for commits in todo {
                let answer = write(&consumer, &name, &mut overflow, &commits);
                if done.send(answer).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("seawall-commit".to_owned()).spawn(work);
        let thread = thread.map_err(|source| KafkaError::Thread {
            doing: "starting the commit thread",
            source: Arc::new(source),
        })?;
        let clock = SystemClock::new();
        Ok(Self { jobs, answers, thread, late: None, group: Arc::clone(group), clock, bound: timeout })
    }

    pub(super) fn commit(&mut self, commits: &[Commit]) -> Answer {
        if let Some((late, since)) = &self.late {
            match self.answers.try_recv() {
                Ok(answer) => {
                    let asked_again = late == commits;
                    self.late = None;
                    if asked_again {
                        return answer;
                    }
                }
                Err(TryRecvError::Empty) => return Err(self.unanswered(*since)),
                Err(TryRecvError::Disconnected) => return Err(KafkaError::Closed),
            }
        }
        let since = self.clock.now();
        self.jobs.send(commits.to_vec()).map_err(|_| KafkaError::Closed)?;
        match self.answers.recv_timeout(PATIENCE.min(self.bound)) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => {
                self.late = Some((commits.to_vec(), since));
                Err(self.unanswered(since))
            }
            Err(RecvTimeoutError::Disconnected) => Err(KafkaError::Closed),
        }
    }

    fn unanswered(&self, since: Nanos) -> KafkaError {
        let waited_ms = self.clock.now().since(since).as_millis();
        KafkaError::Unanswered { group: self.group.to_string(), waited_ms }
    }

    /// Ends the thread; waits at most the bound for a commit under way.
    pub(super) fn stop(self) {
        drop(self.jobs);
        let late = self.late.is_some();
        if late {
            let _ = self.answers.recv_timeout(self.bound);
        }
        let stuck = late && !self.thread.is_finished();
        drop(self.answers);
        if !stuck {
            let _ = self.thread.join();
        }
    }
}

/// Writes positions of `group`, as the member that `consumer` is, or from outside of a group without members.
///
/// Where what is settled beyond a watermark can be kept nowhere the watermark is written alone.
pub(crate) fn write<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    group: &str,
    overflow: &mut Overflow,
    commits: &[Commit],
) -> Answer {
    let mut metadata: Vec<Option<String>> =
        commits.iter().map(|commit| position::inline(&commit.position.beyond)).collect();
    let large: Vec<usize> = (0..commits.len()).filter(|nth| metadata[*nth].is_none()).collect();
    if !large.is_empty() {
        let commits: Vec<&Commit> = large.iter().map(|nth| &commits[*nth]).collect();
        for (nth, pointer) in large.iter().zip(overflow.write(group, &commits)) {
            metadata[*nth] = pointer.as_ref().map(position::point_to);
        }
    }
    let metadata: Vec<String> = metadata.into_iter().map(Option::unwrap_or_default).collect();
    match write_with(consumer, group, commits, &metadata) {
        Err(KafkaError::Refused { code: Code::OffsetMetadataTooLarge, advice, .. })
            if metadata.iter().any(|text| !text.is_empty()) =>
        {
            tracing::warn!(
                group,
                advice,
                "the broker takes no metadata of this length: what is settled beyond the committed offset is not \
                 kept, and delivered again after a restart"
            );
            write_with(consumer, group, commits, &vec![String::new(); commits.len()])
        }
        answer => answer,
    }
}

fn write_with<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    group: &str,
    commits: &[Commit],
    metadata: &[String],
) -> Answer {
    let mut list = TopicPartitionList::with_capacity(commits.len());
    let doing = || format!("committing {} positions of group {group}", commits.len());
    for (commit, metadata) in commits.iter().zip(metadata) {
        let mut element = list.add_partition(&commit.partition.topic, commit.partition.partition as i32);
        element
            .set_offset(ClientOffset::Offset(commit.position.watermark as i64))
            .map_err(|source| KafkaError::refused(doing(), source))?;
        element.set_metadata(metadata);
    }
    consumer.commit(&list, CommitMode::Sync).map_err(|source| KafkaError::refused(doing(), source))
}
