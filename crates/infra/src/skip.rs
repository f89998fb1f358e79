//! The way a test says that it cannot run here.

use crate::kafka::{KafkaCluster, KafkaError, KafkaOptions};
use crate::proxy::FaultProxy;

/// A running cluster; `None` where Java or Maven is missing, after the line `SKIP test: reason` that
/// `cargo xtask test` counts (and that fails under `CI=true` unless the tool could not be installed).
///
/// # Panics
///
/// When the tools are there and the cluster still does not come up: that is a failed test, not a skipped one.
pub fn kafka_or_skip(test: &str, options: KafkaOptions) -> Option<KafkaCluster> {
    or_skip(test, KafkaCluster::start(options))
}

/// As [`kafka_or_skip`], with a fault proxy in front of each broker. What faults leave to chance is drawn from
/// `seed`. Clients of [`KafkaCluster::bootstrap_proxied`] stay behind the proxies.
///
/// # Panics
///
/// As there.
pub fn kafka_behind_proxies_or_skip(
    test: &str,
    options: KafkaOptions,
    seed: u64,
) -> Option<(KafkaCluster, Vec<FaultProxy>)> {
    or_skip(test, KafkaCluster::start_behind_proxies(options, seed))
}

#[expect(clippy::print_stdout, reason = "the line is for the test runner")]
#[expect(clippy::panic, reason = "called by tests only, for which a panic is the way to fail")]
fn or_skip<T>(test: &str, started: Result<T, KafkaError>) -> Option<T> {
    match started {
        Ok(started) => Some(started),
        Err(error) => match skip_line(test, &error) {
            Some(line) => {
                println!("{line}");
                None
            }
            None => panic!("{test}: Kafka did not start: {error}"),
        },
    }
}

fn skip_line(test: &str, error: &KafkaError) -> Option<String> {
    matches!(error, KafkaError::Missing { .. } | KafkaError::JavaTooOld { .. })
        .then(|| format!("SKIP {test}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_tool_is_a_skip_and_its_name_stands_alone() {
        let missing = KafkaError::Missing { tool: "mvn", package: "maven", variable: "SEAWALL_MVN" };
        let line = skip_line("a_test", &missing).unwrap();
        assert!(line.starts_with("SKIP a_test: "), "{line}");
        // The runner looks for the tool's name as a word.
        assert!(line.split(|c: char| c.is_whitespace() || c == ':').any(|word| word == "mvn"), "{line}");
        assert_eq!(skip_line("a_test", &KafkaError::NoSlot), None);
    }
}
