//! Imports point down: a crate may use only crates of a lower level.
//!
//! Dev-dependencies are exempt: tests may look at everything.

use super::Finding;
use crate::workspace::Member;
use std::collections::BTreeMap;

/// The levels, as ARCHITECTURE.md draws them.
const LEVELS: &[(u8, &[&str])] = &[
    (0, &["core", "pool", "infra"]),
    (1, &["guard", "wal", "idempotency"]),
    (2, &["consumer", "producer"]),
    (3, &["log", "kafka", "stores", "trace", "trace-ebpf"]),
    (4, &["telemetry", "check"]),
    (5, &["sidecar"]),
    (6, &["cli"]),
    // What nothing of ours builds upon: the facade for users, and what looks at all the others.
    (7, &["seawall", "testkit"]),
    (8, &["stress", "bench"]),
];
/// Not part of the product: it may use nothing of it, so that it compiles in seconds.
const CHORES: &str = "xtask";

fn level(part: &str) -> Option<u8> {
    LEVELS.iter().find(|(_, parts)| parts.contains(&part)).map(|(level, _)| *level)
}

pub(super) fn check(members: &[Member]) -> Vec<Finding> {
    let parts: BTreeMap<&str, &str> =
        members.iter().map(|member| (member.package.as_str(), member.part.as_str())).collect();
    let mut findings = Vec::new();
    for member in members {
        let place = format!("{}/Cargo.toml", member.part);
        let own = level(&member.part);
        if own.is_none() && member.part != CHORES {
            findings.push(Finding::new(&place, "has no level; give it one in xtask/src/tidy/levels.rs"));
            continue;
        }
        for name in dependencies(&member.manifest) {
            let Some(used) = parts.get(name.as_str()) else { continue };
            match (own, level(used)) {
                (Some(own), Some(other)) if other < own => {}
                (None, _) => {
                    findings.push(Finding::new(&place, format!("xtask must not build upon `{used}`")));
                }
                (Some(own), other) => {
                    let other = other.map_or_else(|| "no level".to_owned(), |level| format!("level {level}"));
                    findings.push(Finding::new(
                        &place,
                        format!("level {own} uses `{used}` of {other}; imports point to a lower level only"),
                    ));
                }
            }
        }
    }
    findings
}

/// Package names of the dependencies that ship (build scripts included), for every target.
fn dependencies(manifest: &toml::Table) -> Vec<String> {
    let mut names = Vec::new();
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let tables = targets.into_iter().flat_map(|targets| targets.values().filter_map(toml::Value::as_table));
    for table in std::iter::once(manifest).chain(tables) {
        for section in ["dependencies", "build-dependencies"] {
            let Some(section) = table.get(section).and_then(toml::Value::as_table) else { continue };
            for (name, value) in section {
                // A renamed dependency carries its package's name inside.
                let renamed = value.get("package").and_then(toml::Value::as_str);
                names.push(renamed.unwrap_or(name).to_owned());
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn member(part: &str, manifest: &str) -> Member {
        Member {
            part: part.to_owned(),
            package: format!("seawall-{part}"),
            folder: PathBuf::from(part),
            manifest: manifest.parse().unwrap(),
        }
    }

    fn findings(wal: &str) -> Vec<String> {
        let members = [member("wal", wal), member("consumer", ""), member("guard", ""), member("core", "")];
        check(&members).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_crate_may_use_a_lower_one_only() {
        assert_eq!(findings("[dependencies]\nseawall-core.workspace = true"), Vec::<String>::new());
        assert_eq!(
            findings("[dependencies]\nseawall-consumer.workspace = true"),
            ["level 1 uses `consumer` of level 2; imports point to a lower level only"]
        );
        assert_eq!(findings("[dependencies]\nseawall-guard.workspace = true").len(), 1);
    }

    #[test]
    fn neither_a_new_name_nor_a_target_hides_an_import() {
        assert_eq!(
            findings("[dependencies]\nx = { package = \"seawall-consumer\", path = \"..\" }").len(),
            1
        );
        assert_eq!(findings("[target.'cfg(unix)'.dependencies]\nseawall-consumer.workspace = true").len(), 1);
        assert_eq!(findings("[build-dependencies]\nseawall-consumer.workspace = true").len(), 1);
        assert_eq!(findings("[dev-dependencies]\nseawall-consumer.workspace = true").len(), 0);
    }

    #[test]
    fn a_crate_without_a_level_is_named() {
        let found = check(&[member("blob", "")]);
        assert_eq!(found[0].place, "blob/Cargo.toml");
    }
}
