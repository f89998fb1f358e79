//! The README names only what exists: commands of xtask and files of the project here; the commands of
//! `seawall` are asked of the program itself by `cargo xtask test readme`.

use super::Finding;
use crate::CHORES;
use crate::error::ChoreError;
use crate::workspace;
use std::path::{Path, PathBuf};

/// A `seawall` command line in a code block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// From 1.
    pub(crate) line: usize,
    /// The command and its subcommand: `["dlq", "ls"]`.
    pub(crate) path: Vec<String>,
    /// Its long options, without values.
    pub(crate) flags: Vec<String>,
}

/// Commands that have subcommands.
const NESTED: &[&str] = &["dlq", "wal", "txn", "stress", "config"];

pub(super) fn check(files: &[PathBuf], root: &Path) -> Result<Vec<Finding>, ChoreError> {
    let mut findings = Vec::new();
    for name in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"] {
        if !files.iter().any(|file| file == Path::new(name)) {
            findings.push(Finding::new(name, "is missing"));
        }
    }
    for page in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "md")) {
        let text = workspace::read(&root.join(page))?;
        findings.extend(chores_shown(page, &text));
        findings.extend(broken_links(page, &text, root));
    }
    Ok(findings)
}

/// The `seawall …` and `cargo run --release -- …` lines of the page's code blocks.
pub(crate) fn commands_shown(text: &str) -> Vec<Shown> {
    let mut shown = Vec::new();
    for (line, code) in code_lines(text) {
        for command in code.split(['|', ';', '&']) {
            let command = command.trim().trim_start_matches("$ ");
            let rest = command
                .strip_prefix("seawall ")
                .or_else(|| command.split_once("cargo run --release -- ").map(|(_, rest)| rest));
            let Some(rest) = rest else { continue };
            let words: Vec<&str> = rest.split('#').next().unwrap_or(rest).split_whitespace().collect();
            let depth = if words.first().is_some_and(|first| NESTED.contains(first)) { 2 } else { 1 };
            let path: Vec<String> = words
                .iter()
                .take(depth)
                .filter(|word| !word.starts_with('-'))
                .map(|&word| word.to_owned())
                .collect();
            let flags = words
                .iter()
                .filter(|word| word.starts_with("--") && word.len() > 2)
                .map(|word| word.split('=').next().unwrap_or(word).to_owned())
                .collect();
            shown.push(Shown { line, path, flags });
        }
    }
    shown
}

/// Lines inside fences that are marked as shell, with their numbers.
fn code_lines(text: &str) -> Vec<(usize, &str)> {
    let mut lines = Vec::new();
    let mut fence: Option<bool> = None;
    for (number, line) in text.lines().enumerate() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            let shell = matches!(language.trim(), "sh" | "console" | "bash" | "shell");
            fence = if fence.is_some() { None } else { Some(shell) };
        } else if fence == Some(true) {
            lines.push((number + 1, line.trim()));
        }
    }
    lines
}

fn chores_shown(page: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (at, marker) in line.match_indices("cargo xtask ") {
            let name: String =
                line[at + marker.len()..].chars().take_while(|c| c.is_alphanumeric() || *c == '-').collect();
            if !name.is_empty() && !CHORES.iter().any(|chore| chore.name == name) {
                findings.push(Finding::at(page, number + 1, format!("`cargo xtask {name}` does not exist")));
            }
        }
    }
    findings
}

/// Relative links that lead nowhere.
fn broken_links(page: &Path, text: &str, root: &Path) -> Vec<Finding> {
    let folder = page.parent().unwrap_or(Path::new(""));
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for part in line.split("](").skip(1) {
            let target = part.split([')', '#', ' ']).next().unwrap_or_default();
            let outside = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
            if !outside && !root.join(folder).join(target).exists() {
                findings.push(Finding::at(
                    page,
                    number + 1,
                    format!("links to {target}, which is not there"),
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_from_shell_blocks_only() {
        let page = "run `seawall nothing`\n```sh\ncargo run --release -- up --no-load\nseawall dlq ls orders | head # all\n```\n```toml\nseawall x\n```\n";
        let shown = commands_shown(page);
        assert_eq!(
            shown,
            [
                Shown { line: 3, path: vec!["up".into()], flags: vec!["--no-load".into()] },
                Shown { line: 4, path: vec!["dlq".into(), "ls".into()], flags: vec![] },
            ]
        );
    }

    #[test]
    fn a_chore_that_is_not_there_is_named() {
        let found = chores_shown(Path::new("README.md"), "`cargo xtask test` and\n`cargo xtask dance`");
        assert_eq!(found, [Finding::new("README.md:2", "`cargo xtask dance` does not exist")]);
    }

    #[test]
    fn a_link_into_nothing_is_named() {
        let root = workspace::root();
        let page = Path::new("README.md");
        assert_eq!(
            broken_links(page, "[a](xtask/Cargo.toml) [b](https://example.org) [c](#here)", &root),
            []
        );
        assert_eq!(broken_links(page, "[a](no/such.md)", &root).len(), 1);
    }
}
