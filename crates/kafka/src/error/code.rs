//! What each code of the protocol and of the client asks for.
//!
//! Codes below -1 are the client's own, the others the brokers' (Kafka protocol, "Error codes"). A code that is
//! in no list is retried: an unknown trouble must not stop a pipeline for ever.

use rdkafka::error::RDKafkaErrorCode as Code;
use seawall_core::Class;

/// What to do about a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// Whether it may work when tried again.
    pub class: Class,
    /// What a person should do.
    pub advice: &'static str,
}

const fn never(advice: &'static str) -> Meaning {
    Meaning { class: Class::Permanent, advice }
}

const fn again(advice: &'static str) -> Meaning {
    Meaning { class: Class::Transient, advice }
}

/// The assignment, the member or the producer has been replaced: what it held is somebody else's.
pub fn is_fenced(code: Code) -> bool {
    matches!(
        code,
        Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::FencedInstanceId
            | Code::FencedMemberEpoch
            | Code::StaleMemberEpoch
            | Code::AssignmentLost
            | Code::Fenced
    )
}

/// Whether it is about a group, or the broker that is to coordinate it, and nothing else.
pub(crate) fn is_about_group(code: Code) -> bool {
    matches!(
        code,
        Code::GroupAuthorizationFailed
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::NotCoordinator
            | Code::WaitingForCoordinator
    )
}

/// The class of `code` and what to do about it.
pub fn meaning(code: Code) -> Meaning {
    rights(code)
        .or_else(|| group(code))
        .or_else(|| content(code))
        .or_else(|| settings(code))
        .unwrap_or_else(|| passing(code))
}

fn rights(code: Code) -> Option<Meaning> {
    Some(match code {
        Code::Authentication | Code::SaslAuthenticationFailed | Code::IllegalSASLState => {
            never("check the user name, the password and the SASL mechanism")
        }
        Code::UnsupportedSASLMechanism => never("use a SASL mechanism that the listener offers"),
        Code::SSL => never("check the TLS certificates, and that this port of the broker speaks TLS"),
        Code::TopicAuthorizationFailed => {
            never("grant this user the ACL it needs on the topic (Read, Write, Describe, DescribeConfigs)")
        }
        Code::GroupAuthorizationFailed => never("grant this user the ACL Read on the consumer group"),
        Code::ClusterAuthorizationFailed => never(
            "grant this user the ACL it needs: Write on the topic (or IdempotentWrite on the cluster) to write, \
                 Create on the cluster to make topics",
        ),
        Code::TransactionalIdAuthorizationFailed => {
            never("grant this user the ACLs Write and Describe on the transactional id")
        }
        Code::DelegationTokenAuthDisabled
        | Code::DelegationTokenNotFound
        | Code::DelegationTokenOwnerMismatch
        | Code::DelegationTokenRequestNotAllowed
        | Code::DelegationTokenAuthorizationFailed
        | Code::DelegationTokenExpired
        | Code::InvalidPrincipalType
        | Code::PrincipalDeserializationFailure
        | Code::UnacceptableCredential
        | Code::SecurityDisabled => {
            never("check the cluster's security settings and this user's credentials")
        }
        _ => return None,
    })
}

fn group(code: Code) -> Option<Meaning> {
    Some(match code {
        Code::FencedInstanceId | Code::UnreleasedInstanceId => never(
            "another member uses the same instance id: give each process its own, and stop the one that is too many",
        ),
        Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::FencedMemberEpoch
        | Code::StaleMemberEpoch
        | Code::AssignmentLost
        | Code::Fenced => never(
            "the group has moved on without this member: drop what was held; the new owner delivers it again",
        ),
        Code::ProducerFenced | Code::InvalidProducerEpoch | Code::TransactionCoordinatorFenced => {
            never("another producer with the same transactional id took over: stop this one")
        }
        Code::InconsistentGroupProtocol | Code::UnsupportedAssignor => never(
            "all members of the group must share an assignment strategy: stop the others or use another group",
        ),
        Code::GroupMaxSizeReached => {
            never("the group is full: raise `group.max.size` or start fewer members")
        }
        Code::InvalidGroupId => never("use a group id that is not empty"),
        Code::InvalidSessionTimeout => never(
            "choose a session timeout between the broker's `group.min.session.timeout.ms` and `group.max.session.timeout.ms`",
        ),
        Code::NonEmptyGroup | Code::GroupSubscribedToTopic => never("stop the group's members first"),
        Code::GroupIdNotFound | Code::UnknownGroup => never("check the group's name"),
        Code::OffsetMetadataTooLarge => {
            never("the broker's `offset.metadata.max.bytes` must be at least 4096")
        }
        Code::InvalidCommitOffsetSize => never("the commit is too large: commit fewer partitions at once"),
        _ => return None,
    })
}

fn content(code: Code) -> Option<Meaning> {
    Some(match code {
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => {
            never("make the record smaller, or raise `max.message.bytes` of the topic")
        }
        Code::InvalidTopic => {
            never("topic names have 1 to 249 of the characters a-z, A-Z, 0-9, `.`, `_` and `-`")
        }
        Code::UnknownTopic | Code::UnknownPartition => never("check the topic's name, or create it"),
        Code::TopicAlreadyExists => never("the topic exists already"),
        Code::InvalidPartitions => never("choose at least one partition, and never fewer than there are"),
        Code::InvalidReplicationFactor | Code::InvalidReplicaAssignment => {
            never("choose a replication factor of at most the number of brokers")
        }
        Code::PolicyViolation => never("the cluster's policy forbids this: ask its administrator"),
        Code::TopicDeletionDisabled => never("the cluster does not let topics be deleted"),
        Code::InvalidRecord | Code::InvalidTimestamp => {
            never("the record breaks a rule of the topic (a key where it is compacted, a sane timestamp)")
        }
        Code::UnsupportedCompressionType | Code::BadCompression => {
            never("use a compression that client, topic and broker know")
        }
        Code::InvalidRequiredAcks | Code::ISRInsufficient => never("use `acks=all`"),
        Code::KeySerialization
        | Code::ValueSerialization
        | Code::KeyDeserialization
        | Code::ValueDeserialization
        | Code::InvalidType => never("the record cannot be read or written in this form"),
        Code::ResourceNotFound | Code::DuplicateResource | Code::NoEnt => {
            never("check the name that was given")
        }
        _ => return None,
    })
}

fn settings(code: Code) -> Option<Meaning> {
    Some(match code {
        Code::InvalidConfig | Code::InvalidArgument | Code::InvalidRequest | Code::NotConfigured => {
            never("check the settings that were given")
        }
        Code::UnsupportedVersion
        | Code::UnsupportedFeature
        | Code::UnsupportedForMessageFormat
        | Code::UnknownProtocol
        | Code::NotImplemented
        | Code::FeatureUpdateFailed
        | Code::InvalidUpdateVersion
        | Code::InconsistentVoterSet => {
            never("the broker is too old or too new for this: Seawall needs Kafka 2.4 or later")
        }
        Code::InvalidTransactionTimeout => {
            never("choose a transaction timeout of at most the broker's `transaction.max.timeout.ms`")
        }
        Code::InvalidTransactionalState | Code::InvalidProducerIdMapping => {
            never("the transaction is in another state than this client believes: restart the producer")
        }
        Code::Fatal | Code::GaplessGuarantee | Code::Inconsistent => {
            never("the client cannot go on: restart it; the cause is in the lines logged before")
        }
        Code::FileSystem | Code::CriticalSystemResource | Code::LogDirNotFound => {
            never("check this machine's or the broker's disk and limits")
        }
        Code::ExistingSubscription | Code::Conflict | Code::State | Code::ReadOnly => never(
            "the client was asked for something that its state forbids: this is a defect of Seawall, report it",
        ),
        _ => return None,
    })
}

fn passing(code: Code) -> Meaning {
    match code {
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::BrokerDestroy
        | Code::DestroyBroker
        | Code::NetworkException
        | Code::BrokerNotAvailable
        | Code::ListenerNotFound
        | Code::UnknownBroker
        | Code::RebootstrapRequired => again(
            "check the bootstrap addresses, the network and that the brokers are up; it goes on by itself",
        ),
        Code::OperationTimedOut | Code::MessageTimedOut | Code::RequestTimedOut | Code::TimedOutQueue => {
            again("the broker answered too late; it is tried again")
        }
        Code::NotLeaderForPartition
        | Code::LeaderNotAvailable
        | Code::ReplicaNotAvailable
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::PreferredLeaderNotAvailable
        | Code::EligibleLeadersNotAvailable => again("the partition is moving to another broker"),
        Code::UnknownTopicOrPartition | Code::UnknownTopicId => {
            again("the topic is not known (yet): check its name, or create it")
        }
        Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::WaitingForCoordinator => again("the group's coordinator is starting or moving"),
        Code::RebalanceInProgress | Code::MemberIdRequired => again("the group is rebalancing"),
        Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => {
            again("too few replicas are in sync: bring the missing brokers back")
        }
        Code::OffsetOutOfRange | Code::AutoOffsetReset | Code::LogTruncation => {
            again("the offset is not held any more: Seawall goes on as `start_at` says")
        }
        Code::InvalidMessage | Code::BadMessage | Code::InvalidMessageSize => {
            again("a batch is corrupt: look for disk or network trouble on the broker; it is fetched again")
        }
        Code::KafkaStorageError => again("the broker has trouble with its disk"),
        Code::ThrottlingQuotaExceeded => again("a quota is used up: raise it or send less"),
        Code::QueueFull => again("the client's queue is full"),
        Code::PollExceeded => {
            again("the member did not poll within `max.poll.interval.ms` and left its group; it joins again")
        }
        _ => again("it is tried again; if it stays, look into the broker's log"),
    }
}
