//! Licences, bans and sources, as `deny.toml` has them, judged on cargo's own metadata.
//!
//! The file is cargo-deny's; where that is installed, both must agree. Here the sections `licenses`, `bans`
//! and `sources` are enforced without it: no tool to install, no database to reach.

use super::Finding;
use crate::error::ChoreError;
use crate::process;
use crate::workspace;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The rules of `deny.toml`.
struct Rules {
    targets: Vec<String>,
    licences: Vec<spdx::LicenseReq>,
    /// Licences that one crate may have besides.
    exceptions: Vec<(String, Vec<spdx::LicenseReq>)>,
    banned: Vec<(String, String)>,
    duplicates_denied: bool,
    registries: Vec<String>,
    git: Vec<String>,
}

/// A crate of the dependency graph.
struct Package {
    name: String,
    version: String,
    licence: Option<String>,
    /// `None` for a crate of ours.
    source: Option<String>,
}

pub(super) fn check(root: &Path) -> Result<Vec<Finding>, ChoreError> {
    let place = root.join("deny.toml");
    let rules = Rules::read(&place, &workspace::read_toml(&place)?)?;
    let packages = packages(&rules.targets)?;
    let (findings, warnings) = judge(&rules, &packages);
    for warning in warnings {
        println!("warning: {}: {}", warning.place, warning.what);
    }
    Ok(findings)
}

impl Rules {
    fn read(place: &Path, table: &toml::Table) -> Result<Self, ChoreError> {
        let requirements = |value: &toml::Value| {
            strings(value).iter().map(|text| requirement(place, text)).collect::<Result<Vec<_>, _>>()
        };
        let at = |section: &str, key: &str| table.get(section).and_then(|section| section.get(key));
        let list = |section: &str, key: &str| at(section, key).map(strings).unwrap_or_default();
        let licences = at("licenses", "allow")
            .ok_or_else(|| ChoreError::malformed(place, "no licenses.allow"))
            .and_then(requirements)?;
        let mut exceptions = Vec::new();
        for entry in at("licenses", "exceptions").and_then(toml::Value::as_array).into_iter().flatten() {
            let allowed = entry.get("allow").map(requirements).transpose()?.unwrap_or_default();
            exceptions.push((crate_name(place, entry)?, allowed));
        }
        let mut banned = Vec::new();
        for entry in at("bans", "deny").and_then(toml::Value::as_array).into_iter().flatten() {
            let reason = entry.get("reason").and_then(toml::Value::as_str).unwrap_or("banned");
            banned.push((crate_name(place, entry)?, reason.to_owned()));
        }
        Ok(Self {
            targets: list("graph", "targets"),
            licences,
            exceptions,
            banned,
            duplicates_denied: at("bans", "multiple-versions").and_then(toml::Value::as_str) == Some("deny"),
            registries: list("sources", "allow-registry"),
            git: list("sources", "allow-git"),
        })
    }
}

fn strings(value: &toml::Value) -> Vec<String> {
    let list = value.as_array().into_iter().flatten();
    list.filter_map(toml::Value::as_str).map(str::to_owned).collect()
}

/// `{ crate = "name" }`, `{ name = "name" }` or `"name"`; a version behind `@` or `:` narrows nothing here.
fn crate_name(place: &Path, entry: &toml::Value) -> Result<String, ChoreError> {
    let text = entry.get("crate").or_else(|| entry.get("name")).unwrap_or(entry);
    let text =
        text.as_str().ok_or_else(|| ChoreError::malformed(place, format!("no crate named in {entry}")))?;
    Ok(text.split(['@', ':']).next().unwrap_or(text).to_owned())
}

fn requirement(place: &Path, text: &str) -> Result<spdx::LicenseReq, ChoreError> {
    spdx::Licensee::parse(text)
        .map(spdx::Licensee::into_req)
        .map_err(|error| ChoreError::malformed(place, format!("`{text}`: {error}")))
}

/// The graph of what ships and what tests, default features, for `targets`.
fn packages(targets: &[String]) -> Result<Vec<Package>, ChoreError> {
    let mut command = workspace::cargo();
    command.args(["metadata", "--format-version", "1", "--locked"]);
    for target in targets {
        command.args(["--filter-platform", target]);
    }
    let place = Path::new("cargo metadata");
    let metadata: serde_json::Value = serde_json::from_str(&process::output(command)?)
        .map_err(|error| ChoreError::malformed(place, error))?;
    let nodes = metadata["resolve"]["nodes"].as_array().into_iter().flatten();
    let used: BTreeSet<&str> = nodes.filter_map(|node| node["id"].as_str()).collect();
    let all = metadata["packages"].as_array().into_iter().flatten();
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    Ok(all
        .filter(|package| package["id"].as_str().is_some_and(|id| used.contains(id)))
        .filter_map(|package| {
            Some(Package {
                name: text(&package["name"])?,
                version: text(&package["version"])?,
                licence: text(&package["license"]),
                source: text(&package["source"]),
            })
        })
        .collect())
}

/// What must be put right, and what is only told.
fn judge(rules: &Rules, packages: &[Package]) -> (Vec<Finding>, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        let place = format!("{} {}", package.name, package.version);
        versions.entry(&package.name).or_default().push(&package.version);
        if let Some(why) = licence_refused(rules, package) {
            findings.push(Finding::new(&place, why));
        }
        if let Some((_, reason)) = rules.banned.iter().find(|(name, _)| *name == package.name) {
            findings.push(Finding::new(&place, format!("banned by deny.toml: {reason}")));
        }
        if let Some(source) = &package.source
            && !source_allowed(rules, source)
        {
            findings
                .push(Finding::new(&place, format!("comes from {source}, which deny.toml does not allow")));
        }
    }
    let duplicates: Vec<Finding> = versions
        .into_iter()
        .filter(|(_, versions)| versions.len() > 1)
        .map(|(name, versions)| {
            Finding::new(name, format!("in {} versions: {}", versions.len(), versions.join(", ")))
        })
        .collect();
    if rules.duplicates_denied {
        findings.extend(duplicates);
        return (findings, Vec::new());
    }
    (findings, duplicates)
}

fn licence_refused(rules: &Rules, package: &Package) -> Option<String> {
    let Some(licence) = &package.licence else { return Some("names no licence".to_owned()) };
    // Old manifests write `MIT/Apache-2.0` for OR; the lax mode reads that.
    let expression = match spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX) {
        Ok(expression) => expression,
        Err(error) => return Some(format!("licence `{licence}` cannot be read: {}", error.reason)),
    };
    let own = rules.exceptions.iter().filter(|(name, _)| *name == package.name).flat_map(|(_, list)| list);
    let allowed: Vec<&spdx::LicenseReq> = rules.licences.iter().chain(own).collect();
    let fits = expression.evaluate(|wanted| allowed.contains(&wanted));
    (!fits).then(|| format!("licence `{licence}` is not among those that deny.toml allows"))
}

fn source_allowed(rules: &Rules, source: &str) -> bool {
    let plain = |url: &str| url.split(['?', '#']).next().unwrap_or(url).trim_end_matches(".git").to_owned();
    if let Some(url) = source.strip_prefix("git+") {
        return rules.git.iter().any(|allowed| plain(allowed) == plain(url));
    }
    let url = source.strip_prefix("registry+").or_else(|| source.strip_prefix("sparse+")).unwrap_or(source);
    rules.registries.iter().any(|allowed| allowed.trim_start_matches("sparse+") == url)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

    fn rules(extra: &str) -> Rules {
        let text = format!(
            "[licenses]\nallow = [\"MIT\", \"Apache-2.0\", \"Apache-2.0 WITH LLVM-exception\"]\n\
             exceptions = [{{ crate = \"ring\", allow = [\"ISC\"] }}]\n\
             [bans]\ndeny = [{{ crate = \"kanal\", reason = \"loses messages\" }}]\n{extra}\n\
             [sources]\nallow-registry = [\"https://github.com/rust-lang/crates.io-index\"]\nallow-git = []\n"
        );
        Rules::read(Path::new("deny.toml"), &text.parse().unwrap()).unwrap()
    }

    fn package(name: &str, licence: &str, source: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence: Some(licence.to_owned()),
            source: Some(source.to_owned()),
        }
    }

    fn refused(name: &str, licence: &str) -> bool {
        !judge(&rules(""), &[package(name, licence, CRATES_IO)]).0.is_empty()
    }

    #[test]
    fn expressions_are_evaluated() {
        assert!(!refused("a", "MIT OR GPL-3.0"));
        assert!(refused("a", "MIT AND GPL-3.0"));
        assert!(!refused("a", "MIT/Apache-2.0"));
        assert!(!refused("a", "(MIT OR Apache-2.0) AND Apache-2.0"));
        assert!(!refused("a", "Apache-2.0 WITH LLVM-exception"));
        assert!(refused("a", "MIT WITH Classpath-exception-2.0"));
        assert!(refused("a", "CDDL-1.0"));
        assert!(refused("a", "nonsense"));
    }

    #[test]
    fn an_exception_is_for_its_crate_alone() {
        assert!(!refused("ring", "Apache-2.0 AND ISC"));
        assert!(refused("rong", "Apache-2.0 AND ISC"));
    }

    #[test]
    fn a_crate_without_a_licence_is_refused() {
        let without = Package { licence: None, ..package("a", "", CRATES_IO) };
        assert_eq!(judge(&rules(""), &[without]).0.len(), 1);
    }

    #[test]
    fn bans_are_told_with_their_reason() {
        let (findings, _) = judge(&rules(""), &[package("kanal", "MIT", CRATES_IO)]);
        assert_eq!(findings, [Finding::new("kanal 1.0.0", "banned by deny.toml: loses messages")]);
    }

    #[test]
    fn only_the_known_registry_and_no_git() {
        let of = |source| judge(&rules(""), &[package("a", "MIT", source)]).0.len();
        assert_eq!(of("git+https://github.com/x/y?rev=1#2"), 1);
        assert_eq!(of("registry+https://example.org/index"), 1);
        assert_eq!(of(CRATES_IO), 0);
    }

    #[test]
    fn two_versions_warn_unless_denied() {
        let two = [package("a", "MIT", CRATES_IO), package("a", "MIT", CRATES_IO)];
        let (findings, warnings) = judge(&rules(""), &two);
        assert_eq!((findings.len(), warnings.len()), (0, 1));
        let (findings, warnings) = judge(&rules("multiple-versions = \"deny\""), &two);
        assert_eq!((findings.len(), warnings.len()), (1, 0));
    }

    #[test]
    fn the_projects_own_rules_can_be_read() {
        let place = workspace::root().join("deny.toml");
        let rules = Rules::read(&place, &workspace::read_toml(&place).unwrap()).unwrap();
        assert!(rules.banned.iter().any(|(name, _)| name == "kanal"));
        assert!(!rules.licences.is_empty() && !rules.registries.is_empty());
    }
}
