//! The `mutants` part: breaks the code on purpose and demands that a named test sees it.
//!
//! `xtask/mutants.toml` lists the mutations. Each is applied to a copy of the tracked files under
//! `target/mutants/src`, never to the tree itself; the copies share one build folder.

use super::Run;
use super::tally::Tally;
use crate::error::ChoreError;
use crate::process;
use crate::workspace::{self, read, read_toml};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const MUTANT_LIMIT: Duration = Duration::from_mins(30);

/// One break: where, what, and the test that must notice.
#[derive(Debug, PartialEq, Eq)]
struct Mutant {
    name: String,
    file: PathBuf,
    find: String,
    replace: String,
    /// Arguments of `cargo test`.
    test: Vec<String>,
    /// A part of the name of the test that must fail.
    caught_by: String,
}

pub(super) fn run(_: &Run) -> Result<Tally, ChoreError> {
    let place = workspace::root().join("xtask/mutants.toml");
    let mutants = parse(&place, &read_toml(&place)?)?;
    let copy = workspace::root().join("target/mutants/src");
    copy_tree(&copy)?;
    let mut tally = Tally::default();
    for mutant in &mutants {
        let file = copy.join(&mutant.file);
        let original = read(&file)?;
        let Some(broken) = mutant.apply(&original) else {
            tally.fail(format!(
                "mutant {}: its text stands {} times in {}, not once; bring mutants.toml up to date",
                mutant.name,
                original.matches(&mutant.find).count(),
                mutant.file.display()
            ));
            continue;
        };
        fs::write(&file, broken).map_err(ChoreError::io(file.display().to_string()))?;
        let verdict = judge(mutant, &copy);
        fs::write(&file, original).map_err(ChoreError::io(file.display().to_string()))?;
        match verdict? {
            Ok(caught) => {
                println!("   {}: caught by {}", mutant.name, caught.join(", "));
                tally.pass();
            }
            Err(why) => tally.fail(format!("mutant {}: {why}", mutant.name)),
        }
    }
    Ok(tally)
}

/// Runs the mutant's test in the copy: it must build, and the named test must be among the failed ones. Answers
/// those, or why the mutant counts as not caught.
fn judge(mutant: &Mutant, copy: &Path) -> Result<Result<Vec<String>, String>, ChoreError> {
    let cargo = |verb: &[&str]| {
        let mut command = workspace::cargo();
        command
            .current_dir(copy)
            .env("CARGO_TARGET_DIR", workspace::root().join("target/mutants/build"))
            // Warnings about what the mutation leaves unused are no catch.
            .env("RUSTFLAGS", "--cap-lints=allow")
            .args(verb)
            .args(&mutant.test);
        command
    };
    let built = process::capture(cargo(&["test", "--no-run"]), MUTANT_LIMIT)?;
    if !built.ok() {
        return Ok(Err(format!("does not compile, which proves nothing:\n{}", built.stderr)));
    }
    let ran = process::capture(cargo(&["test", "--no-fail-fast"]), MUTANT_LIMIT)?;
    if ran.ok() {
        return Ok(Err(format!("survived `cargo test {}`", mutant.test.join(" "))));
    }
    let tally = Tally::of_output("", &ran.stdout, false);
    let caught: Vec<String> = tally.failures.iter().map(|name| name.trim().to_owned()).collect();
    if caught.iter().any(|name| name.contains(&mutant.caught_by)) {
        return Ok(Ok(caught));
    }
    Ok(Err(format!("not caught by {} but by: {}", mutant.caught_by, caught.join(", "))))
}

impl Mutant {
    fn apply(&self, source: &str) -> Option<String> {
        (source.matches(&self.find).count() == 1).then(|| source.replacen(&self.find, &self.replace, 1))
    }
}

fn parse(place: &Path, table: &toml::Table) -> Result<Vec<Mutant>, ChoreError> {
    let list = table.get("mutant").and_then(toml::Value::as_array);
    let list = list.ok_or_else(|| ChoreError::malformed(place, "no [[mutant]] in it"))?;
    let mut names = BTreeSet::new();
    let mut mutants = Vec::new();
    for entry in list {
        let text = |key: &str| {
            entry
                .get(key)
                .and_then(toml::Value::as_str)
                .map(str::to_owned)
                .ok_or_else(|| ChoreError::malformed(place, format!("a [[mutant]] without `{key}`")))
        };
        let mutant = Mutant {
            name: text("name")?,
            file: text("file")?.into(),
            find: text("find")?,
            replace: text("replace")?,
            test: text("test")?.split_whitespace().map(str::to_owned).collect(),
            caught_by: text("caught_by")?,
        };
        if !names.insert(mutant.name.clone()) {
            return Err(ChoreError::malformed(place, format!("two mutants are named {}", mutant.name)));
        }
        mutants.push(mutant);
    }
    Ok(mutants)
}

/// Brings the copy up to date. Only files that differ are written, so that cargo rebuilds little.
fn copy_tree(copy: &Path) -> Result<(), ChoreError> {
    let mut wanted = BTreeSet::new();
    for file in workspace::tracked_files()? {
        let (from, to) = (workspace::root().join(&file), copy.join(&file));
        let bytes = fs::read(&from).map_err(ChoreError::io(from.display().to_string()))?;
        if fs::read(&to).ok().as_ref() != Some(&bytes) {
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder).map_err(ChoreError::io(folder.display().to_string()))?;
            }
            fs::write(&to, bytes).map_err(ChoreError::io(to.display().to_string()))?;
        }
        wanted.insert(to);
    }
    // A file deleted since the last copy would still be compiled.
    let mut find = Command::new("find");
    find.arg(copy).args(["-name", "*.rs", "-type", "f"]);
    for stale in process::output(find)?.lines().map(PathBuf::from).filter(|file| !wanted.contains(file)) {
        fs::remove_file(&stale).map_err(ChoreError::io(stale.display().to_string()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"
        [[mutant]]
        name = "permit leak"
        file = "crates/guard/src/permit.rs"
        find = "release()"
        replace = "()"
        test = "-p seawall-guard --lib"
        caught_by = "permit_comes_back"
    "#;

    #[test]
    fn a_mutant_is_read_and_applied_only_where_its_text_stands_once() {
        let mutants = parse(Path::new("mutants.toml"), &LIST.parse().unwrap()).unwrap();
        assert_eq!(mutants[0].test, ["-p", "seawall-guard", "--lib"]);
        assert_eq!(mutants[0].apply("self.release();").as_deref(), Some("self.();"));
        assert_eq!(mutants[0].apply("release(); release();"), None);
        assert_eq!(mutants[0].apply("nothing"), None);
    }

    /// The list rots where the code moves on; this is cheap enough to say so at once.
    #[test]
    fn every_mutant_of_the_list_fits_the_source_as_it_is() {
        let place = workspace::root().join("xtask/mutants.toml");
        let mutants = parse(&place, &read_toml(&place).unwrap()).unwrap();
        assert!(mutants.len() >= 6);
        for Mutant { name, file, find, .. } in &mutants {
            let places = read(&workspace::root().join(file)).unwrap().matches(find).count();
            assert_eq!(places, 1, "{name}: its text stands {places} times in {}", file.display());
        }
        assert!(mutants.iter().all(|mutant| mutant.find != mutant.replace));
    }

    #[test]
    fn a_mutant_without_its_test_and_a_double_name_are_refused() {
        let place = Path::new("mutants.toml");
        let without = LIST.replace("caught_by", "cought_by").parse().unwrap();
        assert!(parse(place, &without).unwrap_err().to_string().contains("`caught_by`"));
        let double = format!("{LIST}{LIST}").parse().unwrap();
        assert!(parse(place, &double).unwrap_err().to_string().contains("two mutants"));
    }
}
