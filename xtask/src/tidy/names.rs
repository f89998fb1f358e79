//! Names: folders and files are named for stages and concepts, and what users see is described.

use super::Finding;
use crate::workspace::Member;
use std::path::{Path, PathBuf};

/// Names that say what kind of thing is inside, not what it is about.
const FORBIDDEN: &[&str] = &["utils", "util", "common", "helpers", "helper", "types", "misc"];

pub(super) fn check(files: &[PathBuf], members: &[Member], root: &Path) -> Vec<Finding> {
    let mut findings: Vec<Finding> = files.iter().filter_map(|file| forbidden(file)).collect();
    for member in members {
        let place = member.folder.strip_prefix(root).unwrap_or(&member.folder).display().to_string();
        let described = member.manifest["package"].get("description").and_then(toml::Value::as_str);
        if described.is_none_or(|text| text.trim().is_empty()) {
            findings.push(Finding::new(format_args!("{place}/Cargo.toml"), "no package.description"));
        }
        let top = ["src/lib.rs", "src/main.rs"].map(|file| member.folder.join(file));
        for file in top.iter().filter(|file| file.is_file()) {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            if !text.trim_start().starts_with("//!") {
                let file = file.strip_prefix(root).unwrap_or(file);
                findings.push(Finding::at(file, 1, "a crate opens with `//!` and the idea of it"));
            }
        }
    }
    findings
}

fn forbidden(file: &Path) -> Option<Finding> {
    let bad = file.components().find_map(|part| {
        let part = part.as_os_str().to_string_lossy();
        let stem = part.split('.').next().unwrap_or(&part).to_owned();
        FORBIDDEN.contains(&stem.as_str()).then_some(stem)
    })?;
    Some(Finding::new(file.display(), format!("`{bad}` names a kind; name the stage or the concept")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_kinds_are_refused_as_folder_and_as_file() {
        for bad in ["crates/a/src/utils/x.rs", "crates/a/src/types.rs", "dashboard/helpers.test.ts"] {
            assert!(forbidden(Path::new(bad)).is_some(), "{bad}");
        }
        for good in ["crates/a/src/utilisation.rs", "crates/commons/x.rs", "src/typestate.rs"] {
            assert_eq!(forbidden(Path::new(good)), None);
        }
    }
}
