//! What ships in `deploy/`: alerts that fire when they should and only then, and queries over metrics that exist.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints why it cannot run"
)]
#![allow(missing_docs, unreachable_pub, reason = "the house is shared by test binaries, not published")]

mod house;
#[path = "commands/tool.rs"]
#[allow(dead_code, reason = "shared with the tests of the commands")]
mod tool;

use house::http;
use house::seawall::Seawall;
use seawall_check::promql;
use seawall_core::WallMs;
use seawall_kafka::lag::{LagSnapshot, PartitionLag, Scrape, render};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Labels that Prometheus itself puts on what it scrapes.
const TARGET_LABELS: [&str; 2] = ["instance", "job"];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

/// Files of a folder with an ending, in order.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        all.filter(|path| path.extension().is_some_and(|found| found == ending)).collect();
    files.sort();
    files
}

fn promtool() -> Option<PathBuf> {
    let chosen = std::env::var_os("SEAWALL_PROMTOOL").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        || std::env::split_paths(&path).map(|folder| folder.join("promtool")).find(|file| file.is_file());
    chosen.filter(|file| file.is_file()).or_else(found)
}

/// The names of the alerts.
fn alerts() -> Vec<String> {
    let text = std::fs::read_to_string(deploy().join("prometheus/alerts.yml")).unwrap();
    let named = text.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    named.map(ToOwned::to_owned).collect()
}

#[test]
fn each_alert_fires_when_it_should_and_only_then() {
    let Some(promtool) = promtool() else {
        println!(
            "SKIP each_alert_fires_when_it_should_and_only_then: promtool not found (install prometheus)"
        );
        return;
    };
    let run = |arguments: &[&str], files: &[PathBuf]| {
        let said = Command::new(&promtool).args(arguments).args(files).output().unwrap();
        let text = [said.stdout, said.stderr].concat();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&text));
    };
    let folder = deploy().join("prometheus");
    run(&["check", "rules"], &[folder.join("alerts.yml")]);
    let tests = files(&folder.join("tests"), "yml");
    run(&["test", "rules"], &tests);
    let tested: BTreeSet<_> =
        tests.iter().map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(tested, alerts().into_iter().collect(), "one test file an alert");
    for (alert, file) in alerts().iter().map(|alert| (alert, folder.join(format!("tests/{alert}.yml")))) {
        let text = std::fs::read_to_string(file).unwrap();
        let fires = text.contains("exp_labels") && text.contains("exp_alerts: []");
        assert!(fires && text.contains(&format!("alertname: {alert}\n")), "{alert} both fires and is quiet");
    }
}

/// Metrics by name, as they are stored, each with its labels.
type Exposed = BTreeMap<String, BTreeSet<String>>;

fn expose(text: &str, exposed: &mut Exposed) {
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        // Values here have neither `=` nor `,` in them.
        let labels = labels.trim_end_matches('}').split(',').filter_map(|pair| Some(pair.split_once('=')?.0));
        exposed.entry(name.to_owned()).or_default().extend(labels.map(ToOwned::to_owned));
    }
}

/// What a Seawall with everything on exposes after its first records, and what the exporter does.
fn exposed() -> Exposed {
    let dir = tempfile::tempdir().unwrap();
    let server = tool::up(dir.path(), "0");
    assert_eq!(tool::post(&server, "k", b"{}").status, 201);
    house::settled(&server, 1);
    let mut exposed = Exposed::new();
    expose(&http::get(server.admin, "/metrics").text(), &mut exposed);
    server.stop();
    expose(&kept(dir.path()), &mut exposed);
    let row = PartitionLag {
        group: "g".into(),
        topic: "t".into(),
        partition: 0,
        client_id: "c".into(),
        committed: Some(1),
        begin: 0,
        end: 2,
        lag: 1,
        seconds: Some(1.0),
        stuck: Some(false),
    };
    // Against a live cluster in tests/lag.rs; here only the names matter.
    let snapshot = Arc::new(LagSnapshot { at: WallMs(1), partitions: vec![row], unread: Vec::new() });
    expose(&render(Scrape { snapshot, fresh: true, failures: 0 }).unwrap(), &mut exposed);
    exposed
}

/// What a Seawall exposes whose producer waits for a cluster.
fn kept(dir: &Path) -> String {
    let data = dir.join("kept").display().to_string();
    let file = dir.join("kept.toml");
    let text = format!(
        "[data]\ndir = {data:?}\n[ingest]\nsink = \"kafka\"\n[producer]\n\
         [[cluster]]\nname = \"kafka\"\nbootstrap = [\"127.0.0.1:9\"]\n"
    );
    std::fs::write(&file, text).unwrap();
    let server = Seawall::run(&file);
    let text = http::get(server.admin, "/metrics").text();
    server.stop();
    text
}

/// What is wrong with a query, where something is.
fn wrong(query: &str, exposed: &Exposed) -> Option<String> {
    let expr = match promql::parse(query) {
        Ok(expr) => expr,
        Err(said) => return Some(format!("`{query}`: {said}")),
    };
    let used = promql::uses(&expr);
    let mut known: BTreeSet<&str> = TARGET_LABELS.into();
    for (metric, labels) in &used.metrics {
        let Some(has) = exposed.get(metric) else { return Some(format!("`{query}`: there is no {metric}")) };
        known.extend(has.iter().map(String::as_str));
        let is = |label: &&String| has.contains(*label) || TARGET_LABELS.contains(&label.as_str());
        if let Some(label) = labels.iter().find(|label| !is(label)) {
            return Some(format!("`{query}`: {metric} has no label {label}"));
        }
    }
    let named = used.labels.iter().find(|label| !known.contains(label.as_str()));
    named.map(|label| format!("`{query}`: no metric in it has the label {label}"))
}

/// `{{label}}` of a dashboard's legends and `{{ $labels.label }}` of annotations.
fn shown(text: &str) -> BTreeSet<String> {
    let parts = text.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0.trim()));
    let label = |part: &str| {
        let name = part.strip_prefix("$labels.").unwrap_or(part);
        (!part.starts_with("$value")).then(|| name.to_owned())
    };
    parts.filter_map(label).collect()
}

#[test]
fn every_metric_and_label_in_use_is_exposed() {
    let exposed = exposed();
    let known: BTreeSet<&str> = exposed.values().flatten().map(String::as_str).chain(TARGET_LABELS).collect();
    let mut queries = 0;
    for file in ["prometheus/alerts.yml", "grafana/seawall.json"] {
        let text = std::fs::read_to_string(deploy().join(file)).unwrap();
        for query in seawall_check::queries(file, &text).unwrap() {
            queries += 1;
            assert_eq!(wrong(&query.text, &exposed), None, "{file}:{}", query.line);
        }
        for label in shown(&text) {
            assert!(known.contains(label.as_str()), "{file} shows the label {label}, which nothing has");
        }
        for values in text.split("label_values(").skip(1) {
            let (metric, label) = values.split(')').next().unwrap().split_once(", ").unwrap();
            assert!(exposed[metric].contains(label), "{file}: {metric} has no {label}");
        }
    }
    assert!(queries > alerts().len() + 20, "{queries}");
    // The check itself sees what is not there.
    for bad in ["no_such_metric", "seawall_parked{queue=\"x\"}", "sum by (queue) (seawall_parked)", "sum("] {
        assert!(wrong(bad, &exposed).is_some(), "{bad}");
    }
}

#[test]
fn what_ships_passes_our_own_check() {
    let folder = deploy();
    let files = [folder.join("prometheus/alerts.yml"), folder.join("grafana/seawall.json")];
    let said = Seawall::command(&["check"]).args(files).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
}
