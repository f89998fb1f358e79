//! Whether a topic that somebody else made keeps what Seawall puts into it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What Seawall keeps in a topic.
#[derive(Clone, Copy, Debug)]
pub(super) enum Keeps {
    /// Records that wait for a person.
    DeadLetters,
    /// Records that wait for their next attempt, `longest` at most; `wanted` is how long Seawall would keep them.
    Retries { longest: Duration, wanted: Duration },
}

/// A setting under which records are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Its name.
    pub name: &'static str,
    /// What the topic has.
    pub value: String,
    /// What happens to records.
    pub why: &'static str,
    /// What would be right.
    pub want: String,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, why, want } = self;
        write!(f, "{name} = {value:?}: {why}; set it to {want}")
    }
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Records are lost without anything else going wrong.
    pub(super) unfit: Option<Unfit>,
    /// They are lost where nobody reads them for a while.
    pub(super) doubts: Vec<Unfit>,
}

impl Keeps {
    /// Settings that are not named, or not in the form that Kafka gives them, are not judged.
    pub(super) fn judge(self, settings: &BTreeMap<String, String>) -> Findings {
        let mut found = Findings::default();
        if let Some(policy) = settings.get("cleanup.policy")
            && policy.split(',').any(|one| one.trim() == "compact")
        {
            found.unfit = Some(Unfit {
                name: "cleanup.policy",
                value: policy.clone(),
                why: "compaction keeps the last record of a key and throws the others away",
                want: "delete".to_owned(),
            });
        }
        let retention = |value: &String, why, want: String| Unfit {
            name: "retention.ms",
            value: value.clone(),
            why,
            want,
        };
        // Negative: for ever.
        if let Some(value) = settings.get("retention.ms")
            && let Ok(ms) = value.parse::<u64>()
        {
            let kept = Duration::from_millis(ms);
            match self {
                Self::Retries { longest, .. } if kept < longest => {
                    let why = "records are thrown away before their pause is over";
                    let want = format!("at least {}, the longest pause", longest.as_millis());
                    found.unfit.get_or_insert(retention(value, why, want));
                }
                Self::Retries { wanted, .. } if kept < wanted => {
                    let why = "little time to read records whose pause is over";
                    found.doubts.push(retention(value, why, format!("{} or more", wanted.as_millis())));
                }
                Self::Retries { .. } => {}
                Self::DeadLetters => {
                    let why = "dead letters are thrown away with time";
                    found.doubts.push(retention(value, why, "-1".to_owned()));
                }
            }
        }
        if let Some(value) = settings.get("retention.bytes")
            && value.parse::<u64>().is_ok()
        {
            found.doubts.push(Unfit {
                name: "retention.bytes",
                value: value.clone(),
                why: "records are thrown away when there are many",
                want: "-1".to_owned(),
            });
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn judge(keeps: Keeps, settings: &[(&str, &str)]) -> (Option<String>, Vec<&'static str>) {
        let owned = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let Findings { unfit, doubts } = keeps.judge(&owned.collect());
        (unfit.map(|unfit| unfit.to_string()), doubts.iter().map(|doubt| doubt.name).collect())
    }

    #[test]
    fn what_loses_records_by_itself_is_refused() {
        let retries = Keeps::Retries { longest: HOUR, wanted: 8 * HOUR };
        for keeps in [retries, Keeps::DeadLetters] {
            for policy in ["compact", "compact,delete", "delete, compact"] {
                let unfit = judge(keeps, &[("cleanup.policy", policy)]).0.unwrap();
                assert!(unfit.contains(policy) && unfit.ends_with("set it to delete"), "{unfit}");
            }
        }
        let unfit = judge(retries, &[("retention.ms", "3599999")]).0.unwrap();
        assert!(unfit.contains("at least 3600000, the longest pause"), "{unfit}");
    }

    #[test]
    fn what_loses_records_that_nobody_reads_is_told() {
        let retries = Keeps::Retries { longest: HOUR, wanted: 8 * HOUR };
        let kept = [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];
        assert_eq!(judge(retries, &kept), (None, vec![]));
        assert_eq!(judge(Keeps::DeadLetters, &kept), (None, vec![]));
        assert_eq!(judge(retries, &[("retention.ms", "28800000")]), (None, vec![]));
        let short = [("retention.ms", "28799999"), ("retention.bytes", "1000000")];
        assert_eq!(judge(retries, &short), (None, vec!["retention.ms", "retention.bytes"]));
        assert_eq!(judge(Keeps::DeadLetters, &short), (None, vec!["retention.ms", "retention.bytes"]));
    }
}
