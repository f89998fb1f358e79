//! Counting: what a test program printed, as passed, failed and skipped.

use super::Run;
use std::collections::BTreeSet;

/// A test that said it could not run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Skip {
    pub(super) name: String,
    pub(super) reason: String,
}

impl Skip {
    pub(super) fn new(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { name: name.into(), reason: reason.into() }
    }

    /// Whether the reason stands even where nothing may be skipped: no machine of this kind can, the long run
    /// was not asked for, or it names a tool that could not be had.
    pub(super) fn excused(&self, run: &Run) -> bool {
        let long = self.reason.starts_with("soak:") || self.reason.contains("SEAWALL_SOAK");
        let names = |tool: &&str| {
            let mut words = self.reason.split(|c: char| c.is_whitespace() || matches!(c, ':' | ',' | ';'));
            words.any(|word| word.eq_ignore_ascii_case(tool))
        };
        self.reason.starts_with("unsupported:") || (long && !run.soak) || run.missing.iter().any(names)
    }

    fn parse(line: &str) -> Option<Self> {
        let (name, reason) = line.strip_prefix("SKIP ")?.split_once(':')?;
        let (name, reason) = (name.trim(), reason.trim());
        (!name.is_empty() && !reason.is_empty()).then(|| Self::new(name, reason))
    }
}

/// How many passed, failed, and which were skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skips: Vec<Skip>,
    /// Names of what failed, for the end of the report.
    pub(super) failures: Vec<String>,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skips.extend(other.skips);
        self.failures.extend(other.failures);
    }

    pub(super) fn pass(&mut self) {
        self.passed += 1;
    }

    pub(super) fn fail(&mut self, what: impl Into<String>) {
        self.failed += 1;
        self.failures.push(what.into());
    }

    pub(super) fn skip(&mut self, name: impl Into<String>, reason: impl Into<String>) {
        self.skips.push(Skip::new(name, reason));
    }

    pub(super) fn summary(&self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skips.len())
    }

    /// Reads what the test program `program` printed with `--show-output`. `ended_well` is its exit: a
    /// program that died without saying so in a result line counts as one failure, and one without libtest's
    /// result line (`harness = false`) as one test.
    pub(super) fn of_output(program: &str, output: &str, ended_well: bool) -> Self {
        let mut tally = Self::default();
        let mut results = 0;
        let mut section: Option<&str> = None;
        let mut failed_names = BTreeSet::new();
        let mut skipped_sections = BTreeSet::new();
        for line in output.lines() {
            if let Some(result) = parse_result(line) {
                results += 1;
                tally.passed += result.passed;
                tally.failed += result.failed;
                section = None;
                for _ in 0..result.ignored {
                    tally.skip(program, "a test is marked #[ignore] in the source");
                }
            } else if let Some(name) = parse_section(line) {
                section = Some(name);
            } else if let Some(name) = parse_failed(line) {
                failed_names.insert(name);
                tally.failures.push(format!("{program} {name}"));
            } else if let Some(skip) = Skip::parse(line) {
                // A test that failed after it printed a skip has failed.
                if !section.is_some_and(|name| failed_names.contains(name)) {
                    skipped_sections.insert(section.map_or_else(|| skip.name.clone(), str::to_owned));
                    tally.skips.push(skip);
                }
            }
        }
        if results == 0 && ended_well && skipped_sections.is_empty() {
            tally.passed += 1;
        }
        tally.passed = tally.passed.saturating_sub(skipped_sections.len() as u64);
        if !ended_well && tally.failed == 0 {
            tally.fail(format!("{program} ended badly without naming a failed test"));
        }
        tally
    }
}

struct ResultLine {
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// `test result: ok. 12 passed; 0 failed; 0 ignored; …`
fn parse_result(line: &str) -> Option<ResultLine> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let count = |word: &str| {
        counts
            .split(';')
            .filter_map(|part| part.trim().split_once(' '))
            .find(|(_, what)| *what == word)
            .and_then(|(number, _)| number.parse().ok())
    };
    Some(ResultLine { passed: count("passed")?, failed: count("failed")?, ignored: count("ignored")? })
}

/// `---- folder::name stdout ----`
fn parse_section(line: &str) -> Option<&str> {
    line.strip_prefix("---- ")?.strip_suffix(" ----")?.strip_suffix(" stdout")
}

/// `test folder::name ... FAILED`
fn parse_failed(line: &str) -> Option<&str> {
    let (name, verdict) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    // `#[should_panic]` tests are named with a suffix.
    verdict.trim().starts_with("FAILED").then(|| name.trim_end_matches(" - should panic"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSING: &str = "
running 3 tests
test a ... ok
test b ... ok
test c ... ok

successes:

---- b stdout ----
looking for ext4
SKIP b: unsupported: no loop devices
SKIP b_long: soak: 40 power cuts

successes:
    a
    b
    c

test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.10s
";

    #[test]
    fn a_passing_test_that_says_skip_is_skipped_and_not_passed() {
        let tally = Tally::of_output("wal", PASSING, true);
        assert_eq!((tally.passed, tally.failed), (2, 0));
        assert_eq!(
            tally.skips,
            [Skip::new("b", "unsupported: no loop devices"), Skip::new("b_long", "soak: 40 power cuts")]
        );
    }

    #[test]
    fn several_result_lines_are_summed() {
        let twice = format!("{PASSING}{PASSING}");
        let tally = Tally::of_output("doc", &twice, true);
        assert_eq!(tally.summary(), "5 passed, 0 failed, 4 skipped");
    }

    #[test]
    fn a_failed_test_is_failed_whatever_it_printed() {
        let output = "
running 2 tests
test a ... ok
test guard::b ... FAILED

failures:

---- guard::b stdout ----
SKIP b: no chromium

thread 'guard::b' panicked at src/lib.rs:1:1:
no

failures:
    guard::b

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";
        let tally = Tally::of_output("guard", output, false);
        assert_eq!(tally.summary(), "1 passed, 1 failed, 0 skipped");
        assert_eq!(tally.failures, ["guard guard::b"]);
    }

    #[test]
    fn a_program_that_dies_without_a_result_is_a_failure() {
        let tally = Tally::of_output("wal", "running 2 tests\ntest a ... ok\n", false);
        assert_eq!(tally.summary(), "0 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn a_program_that_dies_after_a_good_result_is_a_failure() {
        assert_eq!(Tally::of_output("wal", PASSING, false).failed, 1);
    }

    #[test]
    fn a_harness_of_its_own_counts_as_one_test() {
        assert_eq!(Tally::of_output("sim", "10000 seeds\n", true).passed, 1);
        let skipped = Tally::of_output("sim", "SKIP sim: no room\n", true);
        assert_eq!(skipped.summary(), "0 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn an_ignored_test_is_a_skip_without_an_excuse() {
        let line =
            "test result: ok. 4 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0s";
        let tally = Tally::of_output("log", line, true);
        assert_eq!(tally.summary(), "4 passed, 0 failed, 2 skipped");
        let run = Run { soak: false, environment: Vec::new(), missing: Vec::new() };
        assert!(tally.skips.iter().all(|skip| !skip.excused(&run)));
    }

    #[test]
    fn a_line_about_skipping_is_not_a_skip() {
        assert_eq!(Skip::parse("SKIPPED x: y"), None);
        assert_eq!(Skip::parse("SKIP everything"), None);
        assert_eq!(Skip::parse("  SKIP x: y"), None);
    }
}
