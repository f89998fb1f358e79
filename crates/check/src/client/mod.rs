//! Settings of Kafka clients, whatever their dialect calls them.
//!
//! Java and librdkafka write `session.timeout.ms`, Spring `session-timeout`, sarama `Group.Session.Timeout`,
//! kafka-go `SessionTimeout`, franz-go `session_timeout`. Names are split into words, and a setting is known by
//! the last of them; so one table serves all dialects.

mod find;
mod name;
mod prefix;
mod quantity;

pub(crate) use find::{in_properties, in_tree};
pub(crate) use name::Name;
pub(crate) use quantity::{bytes, milliseconds, truth};

/// Whose defaults hold for what is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Java,
    Librdkafka,
    /// sarama, kafka-go, franz-go and others in YAML: what is not in the file may be in the code.
    Other,
}

/// A setting that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) name: Name,
    /// As the file calls it.
    pub(crate) written: String,
    pub(crate) value: String,
    pub(crate) line: usize,
    /// Whether a client of an inner prefix has it too, and it is judged there.
    pub(crate) passed_on: bool,
}

/// The settings of one client.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) dialect: Dialect,
    pub(crate) settings: Vec<Setting>,
}

impl Client {
    /// What is set under `name`.
    pub(crate) fn get(&self, name: Name) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.name == name)
    }

    /// Whether a finding at `line` is told here, and not by a client of an inner prefix.
    pub(crate) fn judges(&self, line: usize) -> bool {
        self.settings.iter().any(|setting| setting.line == line && !setting.passed_on)
    }

    /// Whether what is there leaves no doubt that it is a Kafka client.
    pub(crate) fn is_sure(&self) -> bool {
        self.get(Name::Brokers).is_some()
    }

    /// Whether it is in a group whose members the broker alone assigns (KIP-848): then session and heartbeat
    /// are the broker's, and settings of theirs are refused.
    pub(crate) fn broker_assigns(&self) -> bool {
        self.get(Name::GroupProtocol).is_some_and(|setting| setting.value.eq_ignore_ascii_case("consumer"))
    }

    /// A duration in milliseconds; `None` where it is not set, or where only a template knows it.
    pub(crate) fn milliseconds(&self, name: Name) -> Option<(&Setting, f64)> {
        let setting = self.get(name)?;
        Some((setting, milliseconds(&setting.value)?))
    }

    /// Whether something is on; `None` as above.
    pub(crate) fn truth(&self, name: Name) -> Option<(&Setting, bool)> {
        let setting = self.get(name)?;
        Some((setting, truth(&setting.value)?))
    }

    /// A whole number; `None` as above.
    pub(crate) fn number(&self, name: Name) -> Option<(&Setting, i64)> {
        let setting = self.get(name)?;
        Some((setting, setting.value.trim().parse().ok()?))
    }

    /// Whether every record is acknowledged by all replicas in sync. All dialects here but those in YAML do so
    /// by default.
    pub(crate) fn acks_all(&self) -> bool {
        let all = |value: &str| {
            matches!(
                value.trim().to_ascii_lowercase().as_str(),
                "all" | "-1" | "waitforall" | "requireall" | "allisr" | "allisracks"
            )
        };
        self.get(Name::Acks).is_none_or(|setting| all(&setting.value))
    }

    /// Whether the producer is idempotent; `None` where the file does not tell.
    pub(crate) fn idempotent(&self) -> Option<bool> {
        if let Some((_, on)) = self.truth(Name::Idempotence) {
            return Some(on);
        }
        if let Some((_, off)) = self.truth(Name::NoIdempotence) {
            return Some(!off);
        }
        match self.dialect {
            // Since 3.0; with weaker acks it is dropped in silence.
            Dialect::Java => Some(self.acks_all()),
            // Transactions turn it on.
            Dialect::Librdkafka => {
                Some(self.get(Name::TransactionalId).is_some_and(|id| !id.value.trim().is_empty()))
            }
            Dialect::Other => None,
        }
    }

    /// Where a producer is set up, if one is: the first line that only producers have.
    pub(crate) fn producer(&self) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.name.is_producers())
    }
}
