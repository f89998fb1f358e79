//! How a member joins its group and reads.

use crate::error::KafkaError;
use crate::position::overflow::OVERFLOW_TOPIC;
use std::time::Duration;

/// Where a group starts in a partition in which it has no position, or one that is not held any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartAt {
    /// At the oldest record held.
    #[default]
    Earliest,
    /// After the newest record at the moment of the assignment.
    Latest,
}

/// How a member joins its group and reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceOptions {
    /// Where a new group starts.
    pub start_at: StartAt,
    /// Topics that start at [`StartAt::Earliest`] whatever `start_at` says. The group's own retry topics belong here:
    /// a record may be in one before the group has a position there.
    pub from_earliest: Vec<String>,
    /// Static membership: a restart under the same id within the session timeout gets its partitions back
    /// without a rebalance. Each process of the group needs its own. `None`: the member leaves when it is
    /// dropped.
    pub instance_id: Option<String>,
    /// How long the group waits for a dead member. 6 s to 30 min with the brokers' defaults; default 45 s.
    pub session_timeout: Duration,
    /// How long the poll loop may be silent. At least the session timeout; default 5 min.
    pub poll_interval_max: Duration,
    /// The name that the brokers' logs and metrics show. Default `seawall`.
    pub client_id: String,
    /// How long one question to the brokers is waited for, and a commit under way when the member ends. Default 5 s.
    pub request_timeout: Duration,
    /// The compacted topic for positions that do not fit into a commit. Default `__seawall_positions`.
    pub overflow_topic: String,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            start_at: StartAt::default(),
            from_earliest: Vec::new(),
            instance_id: None,
            session_timeout: Duration::from_secs(45),
            poll_interval_max: Duration::from_mins(5),
            client_id: "seawall".to_owned(),
            request_timeout: Duration::from_secs(5),
            overflow_topic: OVERFLOW_TOPIC.to_owned(),
        }
    }
}

impl SourceOptions {
    pub(crate) fn is_from_earliest(&self, topic: &str) -> bool {
        self.from_earliest.iter().any(|of| of == topic)
    }

    pub(crate) fn check(&self) -> Result<(), KafkaError> {
        if self.poll_interval_max < self.session_timeout {
            return Err(KafkaError::setting(
                "poll_interval_max",
                &format!("{:?}", self.poll_interval_max),
                &format!("at least the session timeout, {:?}", self.session_timeout),
            ));
        }
        if self.request_timeout.is_zero() {
            return Err(KafkaError::setting("request_timeout", "0", "at least 1 ms"));
        }
        if self.instance_id.as_deref().is_some_and(str::is_empty) {
            return Err(KafkaError::setting("instance_id", "", "left out, or not empty"));
        }
        Ok(())
    }
}
