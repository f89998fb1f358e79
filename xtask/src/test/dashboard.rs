//! The `dashboard` part: type check, tests, and that the committed build is what the source gives.

use super::Run;
use super::tally::Tally;
use crate::error::ChoreError;
use crate::infra;
use crate::process;
use crate::workspace;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const STEP_LIMIT: Duration = Duration::from_mins(10);

pub(super) fn run(_: &Run) -> Result<Tally, ChoreError> {
    let mut tally = Tally::default();
    let folder = workspace::root().join("crates/sidecar/dashboard");
    if !folder.join("package.json").is_file() {
        tally.fail("crates/sidecar/dashboard/package.json is missing");
        return Ok(tally);
    }
    if let Err(why) = infra::node() {
        tally.skip("dashboard", why);
        return Ok(tally);
    }
    let fresh = workspace::root().join("target").join("dashboard-dist");
    let fresh_text = fresh.to_string_lossy().into_owned();
    let steps: [&[&str]; 4] = [
        &["ci", "--no-audit", "--no-fund"],
        &["run", "check"],
        &["run", "test"],
        &["run", "build", "--", "--outDir", &fresh_text, "--emptyOutDir"],
    ];
    for step in steps {
        if !npm(&folder, step, &mut tally)? {
            return Ok(tally);
        }
    }
    compare(&folder.join("dist"), &fresh, &mut tally)?;
    Ok(tally)
}

fn npm(folder: &Path, args: &[&str], tally: &mut Tally) -> Result<bool, ChoreError> {
    let mut command = Command::new("npm");
    command.args(args).current_dir(folder);
    let captured = process::capture(command, STEP_LIMIT)?;
    let step = args.iter().take(2).copied().collect::<Vec<_>>().join(" ");
    if captured.ok() {
        tally.pass();
    } else {
        println!("{}\n{}", captured.stdout, captured.stderr);
        tally.fail(format!("dashboard npm {step}: {}", captured.how_it_ended()));
    }
    Ok(captured.ok())
}

/// Byte for byte: a committed build that the source no longer gives misleads whoever reads the source.
fn compare(committed: &Path, fresh: &Path, tally: &mut Tally) -> Result<(), ChoreError> {
    let differences = differences(&contents(committed)?, &contents(fresh)?);
    if differences.is_empty() {
        tally.pass();
    }
    for difference in differences {
        tally.fail(format!("dashboard dist: {difference}; run `npm run build` there and commit the result"));
    }
    Ok(())
}

fn differences(committed: &BTreeMap<PathBuf, Vec<u8>>, fresh: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<String> {
    let mut found = Vec::new();
    if fresh.is_empty() {
        found.push("the build wrote no file".to_owned());
    }
    for (name, bytes) in fresh {
        match committed.get(name) {
            None => found.push(format!("{} is not committed", name.display())),
            Some(other) if other != bytes => {
                found.push(format!("{} differs from the source", name.display()));
            }
            Some(_) => {}
        }
    }
    for name in committed.keys().filter(|name| !fresh.contains_key(*name)) {
        found.push(format!("{} is committed but no longer built", name.display()));
    }
    found
}

fn contents(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, ChoreError> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        if !next.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&next).map_err(ChoreError::io(next.display().to_string()))? {
            let path = entry.map_err(ChoreError::io(next.display().to_string()))?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let bytes = fs::read(&path).map_err(ChoreError::io(path.display().to_string()))?;
                let name = path.strip_prefix(folder).unwrap_or(&path).to_owned();
                found.insert(name, bytes);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> BTreeMap<PathBuf, Vec<u8>> {
        list.iter().map(|(name, text)| (PathBuf::from(name), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn every_difference_is_named() {
        let committed = files(&[("index.html", "a"), ("old.js", "b"), ("app.js", "c")]);
        let fresh = files(&[("index.html", "a"), ("app.js", "changed"), ("new.js", "d")]);
        assert_eq!(differences(&committed, &committed), Vec::<String>::new());
        assert_eq!(
            differences(&committed, &fresh),
            [
                "app.js differs from the source",
                "new.js is not committed",
                "old.js is committed but no longer built"
            ]
        );
        assert_eq!(differences(&files(&[]), &files(&[])).len(), 1);
    }
}
