//! Texts: nothing of the machine it was written on, nothing left for later, nothing left out silently.

use super::Finding;
use super::source;
use std::path::Path;

/// Folders that only the author's machine has.
const MACHINE_PATHS: &[&str] = &["/work/", "/root/", "/farm", "/home/"];
/// Package hosts: the ordinary clients know them; a written one breaks where a mirror is in use.
const REGISTRY_HOSTS: &[&str] = &[
    "registry.npmjs.org",
    "static.crates.io",
    "index.crates.io",
    "proxy.golang.org",
    "registry.yarnpkg.com",
];
/// Code that must not be landed, and why.
const UNFINISHED: &[(&str, &str)] = &[
    ("todo!", "unfinished code"),
    ("unimplemented!", "unfinished code"),
    ("dbg!", "a debugging aid"),
    ("#[ignore", "a test that nobody runs; print `SKIP name: reason` where it cannot run"),
];

pub(super) fn check(file: &Path, text: &str) -> Vec<Finding> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mut findings = Vec::new();
    // This file has to name what it looks for.
    if file == Path::new("xtask/src/tidy/text.rs") {
        return findings;
    }
    let lockfile = matches!(&*name, "Cargo.lock" | "package-lock.json" | "go.sum");
    for (number, line) in text.lines().enumerate() {
        if let Some(path) = MACHINE_PATHS.iter().find(|path| names_path(line, path)) {
            findings.push(Finding::at(file, number + 1, format!("a path of one machine: {path}")));
        }
        if let Some(host) = REGISTRY_HOSTS.iter().find(|host| !lockfile && line.contains(**host)) {
            findings.push(Finding::at(file, number + 1, format!("a package host: {host}")));
        }
    }
    if file.extension().is_some_and(|extension| extension == "rs") {
        for (number, line) in source::blank(text).lines().enumerate() {
            if let Some((word, why)) = UNFINISHED.iter().find(|(word, _)| line.contains(word)) {
                findings.push(Finding::at(file, number + 1, format!("`{word}`: {why}")));
            }
        }
    }
    findings
}

/// Whether `path` stands in `line` as the start of an absolute path, not in the middle of another.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !(c.is_alphanumeric() || "._-}~/*)<>".contains(c)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(file: &str, text: &str) -> usize {
        check(Path::new(file), text).len()
    }

    #[test]
    fn a_path_of_this_machine_is_found_and_a_relative_one_is_not() {
        assert_eq!(count("README.md", "see /work/main/README"), 1);
        assert_eq!(count("a.toml", "dir = \"/root/data\""), 1);
        assert_eq!(count("a.toml", "dir = \"crates/work/root\""), 0);
        assert_eq!(count("a.md", "https://example.org/work/x and ../root/"), 0);
    }

    #[test]
    fn package_hosts_belong_into_lockfiles() {
        assert_eq!(count("package-lock.json", "\"https://registry.npmjs.org/uplot\""), 0);
        assert_eq!(count(".npmrc", "registry=https://registry.npmjs.org/"), 1);
    }

    #[test]
    fn unfinished_code_is_found_and_words_about_it_are_not() {
        assert_eq!(count("src/a.rs", "fn a() { todo!() }"), 1);
        assert_eq!(count("src/a.rs", "#[ignore = \"slow\"]\nfn a() {}"), 1);
        assert_eq!(count("src/a.rs", "// no todo! here\nlet a = \"dbg!\";"), 0);
    }
}
