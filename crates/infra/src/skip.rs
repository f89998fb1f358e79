//! The way a test says that it cannot run here.

use crate::kafka::{KafkaCluster, KafkaError, KafkaOptions};

/// A running cluster; `None` where Java or Maven is missing, after the line `SKIP test: reason` that
/// `cargo xtask test` counts (and that fails under `CI=true` unless the tool could not be installed).
///
/// # Panics
///
/// When the tools are there and the cluster still does not come up: that is a failed test, not a skipped one.
#[expect(clippy::print_stdout, reason = "the line is for the test runner")]
#[expect(clippy::panic, reason = "called by tests only, for which a panic is the way to fail")]
pub fn kafka_or_skip(test: &str, options: KafkaOptions) -> Option<KafkaCluster> {
    match KafkaCluster::start(options) {
        Ok(cluster) => Some(cluster),
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
