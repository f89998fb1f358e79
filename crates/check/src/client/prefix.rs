//! Which settings are one client's.

use super::{Client, Dialect, Name, Setting};
use std::collections::{BTreeMap, BTreeSet};

/// Settings by the words before their names. An inner prefix (`spring.kafka.consumer`) has what its outer ones
/// (`spring.kafka`) set, where it does not set it itself.
#[derive(Default)]
pub(super) struct Prefixes {
    settings: BTreeMap<Vec<String>, Vec<Setting>>,
    librdkafka: BTreeSet<Vec<String>>,
}

impl Prefixes {
    /// A later setting of the same name wins, as clients read it.
    pub(super) fn add(&mut self, prefix: Vec<String>, setting: Setting) {
        let settings = self.settings.entry(prefix).or_default();
        settings.retain(|earlier| earlier.name != setting.name);
        settings.push(setting);
    }

    /// Clients of librdkafka have this prefix or an inner one.
    pub(super) fn librdkafka(&mut self, prefix: Vec<String>) {
        self.librdkafka.insert(prefix);
    }

    /// The clients, those of outer prefixes first; `dialect` is what those that are not librdkafka's speak.
    pub(super) fn clients(self, dialect: Dialect) -> Vec<Client> {
        let mut all: BTreeMap<Vec<String>, Client> = BTreeMap::new();
        for (prefix, own) in self.settings {
            let outer = (0..prefix.len()).rev().find(|depth| all.contains_key(&prefix[..*depth]));
            let outer = outer.and_then(|depth| all.get_mut(&prefix[..depth]));
            let mut settings = Vec::new();
            for theirs in outer.into_iter().flat_map(|client| &mut client.settings) {
                if Role::of(&prefix).has(theirs) && own.iter().all(|setting| setting.name != theirs.name) {
                    settings.push(Setting { passed_on: false, ..theirs.clone() });
                    theirs.passed_on = true;
                }
            }
            settings.extend(own);
            let librdkafka = (0..=prefix.len()).any(|depth| self.librdkafka.contains(&prefix[..depth]));
            let dialect = if librdkafka { Dialect::Librdkafka } else { dialect };
            all.insert(prefix, Client { dialect, settings });
        }
        all.into_values().collect()
    }
}

#[derive(Clone, Copy)]
enum Role {
    Producer,
    Consumer,
    Either,
}

impl Role {
    fn of(prefix: &[String]) -> Self {
        let role = |word: &String| match word.as_str() {
            "producer" | "producers" | "outgoing" => Some(Self::Producer),
            "consumer" | "consumers" | "incoming" => Some(Self::Consumer),
            _ => None,
        };
        prefix.iter().rev().find_map(role).unwrap_or(Self::Either)
    }

    fn has(self, setting: &Setting) -> bool {
        match self {
            Self::Producer => !setting.name.is_consumers(),
            Self::Consumer => {
                !setting.name.is_producers() && !matches!(setting.name, Name::InFlight | Name::Async)
            }
            Self::Either => true,
        }
    }
}
