//! Groups and their members.

use super::assignment::assigned;
use super::{Admin, Asking};
use crate::error::KafkaError;
use rdkafka::consumer::Consumer;
use rdkafka::groups::{GroupInfo, GroupMemberInfo};
use seawall_core::TopicPartition;

/// A group that the cluster knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub name: String,
    /// `Stable`, `Empty`, `PreparingRebalance`, …, as the coordinator says.
    pub state: String,
    /// Its members. Of a group of the newer protocol (KIP-848) they are not told, and the list is empty.
    pub members: Vec<Member>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The id that the coordinator gave it.
    pub id: String,
    /// What it calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// The partitions it has.
    pub assigned: Vec<TopicPartition>,
}

impl Admin {
    /// All groups of consumers, by name.
    ///
    /// # Errors
    /// [`KafkaError::Refused`].
    pub async fn groups(&self) -> Result<Vec<Group>, KafkaError> {
        self.blocking(Asking::groups).await
    }
}

impl Asking {
    pub(crate) fn groups(&self) -> Result<Vec<Group>, KafkaError> {
        let said = self.client()?.fetch_group_list(None, self.wait);
        let said = self.answered(|| "listing groups".to_owned(), said)?;
        // Kafka Connect's workers form groups, too, which consume nothing. A group that only commits, without
        // ever joining, has no type.
        let consumes = |group: &&GroupInfo| matches!(group.protocol_type(), "consumer" | "");
        let mut groups: Vec<_> = said.groups().iter().filter(consumes).map(group).collect();
        groups.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(groups)
    }
}

fn group(said: &GroupInfo) -> Group {
    let member = |said: &GroupMemberInfo| Member {
        id: said.id().to_owned(),
        client_id: said.client_id().to_owned(),
        host: said.client_host().trim_start_matches('/').to_owned(),
        // An assignment that cannot be read belongs to a protocol of its own; its lag is still told.
        assigned: said.assignment().and_then(assigned).unwrap_or_default(),
    };
    Group {
        name: said.name().to_owned(),
        state: said.state().to_owned(),
        members: said.members().iter().map(member).collect(),
    }
}
