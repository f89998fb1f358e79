//! Budgets: how long a file and a function may be before they hold more than one idea.

use super::Finding;
use super::source;
use std::path::{Path, PathBuf};

/// Production lines of a file (those above its tests). The house aims at 400.
const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 100;

/// What is longer, and why that reads better than its parts would.
const EXCEPTIONS: &[Exception] = &[];

struct Exception {
    file: &'static str,
    /// The function, or `None` for the file.
    function: Option<&'static str>,
    lines_max: usize,
    #[expect(dead_code, reason = "written for the reader of the list")]
    because: &'static str,
}

pub(super) fn check(file: &Path, text: &str) -> Vec<Finding> {
    check_against(EXCEPTIONS, file, text)
}

fn check_against(exceptions: &[Exception], file: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_test = file.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs");
    if is_test {
        return findings;
    }
    let blanked = source::blank(text);
    let production = production(&blanked);
    let limit = |function: Option<&str>, usual: usize| {
        let of_this = exceptions.iter().find(|e| Path::new(e.file) == file && e.function == function);
        of_this.map_or(usual, |exception| exception.lines_max)
    };
    let lines = production.lines().count();
    let max = limit(None, FILE_LINES_MAX);
    if lines > max {
        let what = format!("{lines} production lines, at most {max}: split it by idea");
        findings.push(Finding::new(file.display(), what));
    }
    for function in source::functions(production) {
        let max = limit(Some(&function.name), FUNCTION_LINES_MAX);
        if function.lines > max {
            let what = format!("fn {} has {} lines, at most {max}", function.name, function.lines);
            findings.push(Finding::at(file, function.line, what));
        }
    }
    findings
}

/// What stands above the test module.
fn production(blanked: &str) -> &str {
    let mut at = 0;
    let mut previous_is_test = None;
    for line in blanked.split_inclusive('\n') {
        if let Some(start) = previous_is_test.take()
            && line.trim_start().starts_with("mod ")
        {
            return &blanked[..start];
        }
        if line.trim_end() == "#[cfg(test)]" || line.starts_with("#[cfg(all(test") {
            previous_is_test = Some(at);
        }
        at += line.len();
    }
    blanked
}

/// Exceptions for files that are gone.
pub(super) fn stale_exceptions(files: &[PathBuf]) -> Vec<Finding> {
    EXCEPTIONS
        .iter()
        .filter(|exception| !files.iter().any(|file| file == Path::new(exception.file)))
        .map(|exception| Finding::new("xtask/src/tidy/budgets.rs", format!("{} is gone", exception.file)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(file: &str, text: &str) -> Vec<String> {
        check(Path::new(file), text).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn tests_do_not_count_against_the_file() {
        let lines = "const A: u8 = 1;\n".repeat(FILE_LINES_MAX);
        let tests = format!("{lines}#[cfg(test)]\nmod tests {{\n{lines}}}\n");
        assert_eq!(whats("crates/wal/src/frame.rs", &tests), Vec::<String>::new());
        let long = format!("{lines}const B: u8 = 1;\n");
        assert_eq!(whats("crates/wal/src/frame.rs", &long).len(), 1);
        assert_eq!(whats("crates/wal/tests/frame.rs", &long).len(), 0);
    }

    #[test]
    fn a_test_only_import_does_not_hide_what_follows() {
        let lines = "const A: u8 = 1;\n".repeat(FILE_LINES_MAX);
        assert_eq!(whats("src/a.rs", &format!("#[cfg(test)]\nuse x::y;\n{lines}")).len(), 1);
    }

    #[test]
    fn a_long_function_is_named_with_its_line() {
        let body = "    step();\n".repeat(FUNCTION_LINES_MAX);
        let found = check(Path::new("src/a.rs"), &format!("\nfn all() {{\n{body}}}\n"));
        assert_eq!(found, [Finding::new("src/a.rs:2", "fn all has 102 lines, at most 100")]);
    }

    #[test]
    fn an_exception_raises_one_limit_only() {
        let body = "    step();\n".repeat(FUNCTION_LINES_MAX);
        let text = format!("fn all() {{\n{body}}}\nfn other() {{\n{body}}}\n");
        let exceptions =
            [Exception { file: "src/a.rs", function: Some("all"), lines_max: 110, because: "one table" }];
        let found = check_against(&exceptions, Path::new("src/a.rs"), &text);
        assert_eq!(found.len(), 1);
        assert!(found[0].what.contains("fn other"));
    }
}
