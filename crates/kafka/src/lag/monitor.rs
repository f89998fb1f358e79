//! Asks the cluster and puts the answers together.

use super::filter::Filter;
use super::head::{Head, Heads, Place};
use super::snapshot::{LagSnapshot, PartitionLag, Unread};
use super::track::{Seen, StuckRule, Track, lag};
use crate::admin::{Asking, Committed, Group, Quiet, Span, committed, group_client};
use crate::connection::Connection;
use crate::error::KafkaError;
use rdkafka::consumer::BaseConsumer;
use seawall_core::{Clock, TopicPartition, WallMs};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Clients kept for groups between samples: one holds a thread and its connections. Beyond, one is made for
/// each question.
const CLIENTS_MAX: usize = 32;

/// What is watched, and how patiently.
#[derive(Clone, Debug)]
pub struct LagOptions {
    /// Which groups.
    pub groups: Filter,
    /// Which topics.
    pub topics: Filter,
    /// How long one question to the cluster may take. Default 15 s.
    pub wait: Duration,
    /// How long one sample may read first uncommitted records. Default 3 s; zero reads none.
    pub heads_wait: Duration,
    /// When a partition is stuck.
    pub stuck: StuckRule,
}

impl Default for LagOptions {
    fn default() -> Self {
        Self {
            groups: Filter::default(),
            topics: Filter::default(),
            wait: Duration::from_secs(15),
            heads_wait: Duration::from_secs(3),
            stuck: StuckRule::default(),
        }
    }
}

/// Samples the lag of all groups. Each sample blocks its thread while it asks.
pub struct LagMonitor {
    connection: Connection,
    options: LagOptions,
    asking: Asking,
    heads: Heads,
    clients: HashMap<String, BaseConsumer<Quiet>>,
    tracks: HashMap<(Arc<str>, TopicPartition), Track>,
}

/// What one group was found to have.
struct Found {
    group: Group,
    committed: Committed,
}

impl LagMonitor {
    /// A monitor of the cluster of `connection`. No broker is asked yet.
    ///
    /// # Errors
    /// [`KafkaError::Setting`] and [`KafkaError::Client`] name what is wrong with the settings.
    pub fn open(connection: &Connection, options: LagOptions) -> Result<Self, KafkaError> {
        Ok(Self {
            connection: connection.clone(),
            asking: Asking::open(connection, options.wait)?,
            heads: Heads::open(connection)?,
            options,
            clients: HashMap::new(),
            tracks: HashMap::new(),
        })
    }

    /// Takes one sample. `clock` gives the time of the verdicts and the age of records.
    ///
    /// # Errors
    /// [`KafkaError::Refused`] where the cluster does not answer; one group that does not is told in
    /// [`LagSnapshot::unread`].
    pub fn sample(&mut self, clock: &dyn Clock) -> Result<LagSnapshot, KafkaError> {
        let mut partitions = Vec::new();
        for topic in self.asking.topics()?.into_iter().filter(|topic| self.options.topics.lets(&topic.name)) {
            let name: Arc<str> = topic.name.into();
            // One without a leader has no end to be asked for, and would make the whole question fail.
            let served = topic.partitions.iter().filter(|partition| partition.leader.is_some());
            partitions.extend(served.map(|partition| TopicPartition::new(name.clone(), partition.number)));
        }
        let groups = self.asking.groups()?;
        let groups: Vec<_> =
            groups.into_iter().filter(|group| self.options.groups.lets(&group.name)).collect();
        self.clients.retain(|name, _| groups.iter().any(|group| group.name == *name));
        let (mut found, mut unread) = (Vec::new(), Vec::new());
        for group in groups {
            match self.committed(&group.name, &partitions) {
                Ok(committed) => found.push(Found { group, committed }),
                Err(error) => unread.push(Unread { group: group.name, error }),
            }
        }
        // Asked for after the commits, so that no commit lies beyond its log's end.
        let spans = self.asking.spans(&watched(&found, &partitions))?;
        let mut rows: Vec<_> = found.iter().flat_map(|found| rows(found, &partitions, &spans)).collect();
        self.judge(&mut rows, clock);
        Ok(LagSnapshot { at: clock.wall(), partitions: rows, unread })
    }

    fn committed(&mut self, group: &str, partitions: &[TopicPartition]) -> Result<Committed, KafkaError> {
        if let Some(client) = self.clients.get(group) {
            return committed(client, group, partitions, self.options.wait);
        }
        let client = group_client(&self.connection, group)?;
        let said = committed(&client, group, partitions, self.options.wait);
        if self.clients.len() < CLIENTS_MAX {
            self.clients.insert(group.to_owned(), client);
        }
        said
    }

    /// Adds what needs the past or the records themselves.
    fn judge(&mut self, rows: &mut [PartitionLag], clock: &dyn Clock) {
        let wanted = rows.iter().filter(|row| row.lag > 0).map(|row| (place(row), row.end)).collect();
        if !self.options.heads_wait.is_zero() {
            self.heads.learn(&wanted, clock, self.options.heads_wait);
        }
        let (now, wall) = (clock.now(), clock.wall());
        let mut tracks = HashMap::with_capacity(rows.len());
        for row in rows {
            let head = self.heads.get(&place(row));
            row.seconds = if row.lag == 0 { Some(0.0) } else { head.map(|head| age(head, wall)) };
            let key = (row.group.clone(), TopicPartition::new(row.topic.clone(), row.partition));
            let seen = Seen { committed: row.committed, begin: row.begin, end: row.end };
            let track = match self.tracks.remove(&key) {
                Some(mut track) => {
                    let stands = track.observe(seen, now, self.options.stuck);
                    // Where nothing can be read, nobody can get on.
                    row.stuck = Some(stands && !matches!(head, Some(Head::Nothing { .. })));
                    track
                }
                None => Track::new(seen, now),
            };
            tracks.insert(key, track);
        }
        // What is gone from the cluster is forgotten with it.
        self.tracks = tracks;
    }
}

fn place(row: &PartitionLag) -> Place {
    let from = row.committed.unwrap_or(row.begin).max(row.begin);
    (TopicPartition::new(row.topic.clone(), row.partition), from)
}

fn age(head: Head, now: WallMs) -> f64 {
    match head {
        // A producer's clock may run ahead.
        Head::Written(at) => now.0.saturating_sub(at.0).max(0) as f64 / 1000.0,
        Head::Nothing { .. } => 0.0,
    }
}

/// The topics a group has to do with: those it committed for, and those its members have.
fn topics(found: &Found) -> BTreeSet<&str> {
    let assigned = found.group.members.iter().flat_map(|member| &member.assigned);
    found.committed.keys().chain(assigned).map(|at| &*at.topic).collect()
}

fn watched(found: &[Found], partitions: &[TopicPartition]) -> Vec<TopicPartition> {
    let topics: BTreeSet<&str> = found.iter().flat_map(topics).collect();
    partitions.iter().filter(|at| topics.contains(&*at.topic)).cloned().collect()
}

fn rows(
    found: &Found,
    partitions: &[TopicPartition],
    spans: &BTreeMap<TopicPartition, Span>,
) -> Vec<PartitionLag> {
    let (topics, group): (_, Arc<str>) = (topics(found), found.group.name.as_str().into());
    let mut holders: HashMap<&TopicPartition, &str> = HashMap::new();
    for member in &found.group.members {
        holders.extend(member.assigned.iter().map(|at| (at, member.client_id.as_str())));
    }
    let row = |at: &TopicPartition| {
        let Span { begin, end } = *spans.get(at)?;
        let committed = found.committed.get(at).copied();
        Some(PartitionLag {
            group: group.clone(),
            topic: at.topic.clone(),
            partition: at.partition,
            client_id: holders.get(at).copied().unwrap_or_default().into(),
            committed,
            begin,
            end,
            lag: lag(Seen { committed, begin, end }),
            seconds: None,
            stuck: (lag(Seen { committed, begin, end }) == 0).then_some(false),
        })
    };
    partitions.iter().filter(|at| topics.contains(&*at.topic)).filter_map(row).collect()
}

impl std::fmt::Debug for LagMonitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LagMonitor").field("options", &self.options).finish_non_exhaustive()
    }
}
