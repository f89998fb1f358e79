//! The dashboard of a real `seawall up` in a real browser: numbers move, the keyboard works, dialogs ask, nothing
//! scrolls sideways on a phone, and the picture in the README is taken here.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it measured"
)]
#![allow(missing_docs, unreachable_pub, reason = "the house is shared by test binaries, not published")]

mod house;

use house::seawall::Seawall;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const TEST: &str = "dashboard";

#[test]
fn the_page_of_a_running_seawall_works_in_a_browser() {
    let Some(chromium) = chromium() else {
        println!("SKIP {TEST}: no Chromium (install the package chromium, or name it in SEAWALL_CHROMIUM)");
        return;
    };
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sidecar/dashboard");
    if !prepared(&sources) {
        println!("SKIP {TEST}: no npm to install the browser's driver with (install Node 20.19 or later)");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let seawall = Seawall::start(&[
        "up",
        "--ingest",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--data",
        data.to_str().unwrap(),
        "--reject",
        "0.02",
        "--rate",
        "300",
    ]);
    house::wait_for("a dead letter and some throughput", Duration::from_mins(2), || {
        let pipeline = &seawall.overview()["pipelines"][0];
        let some = |value: &serde_json::Value| value.as_u64().unwrap_or(0) > 0;
        (some(&pipeline["dead_letters"]["count"]) && some(&pipeline["totals"]["acked"])).then_some(())
    });
    // Where a picture for the README is wanted, the charts get time to fill.
    let (picture, wait) = match std::env::var_os("SEAWALL_SCREENSHOT") {
        Some(file) => (PathBuf::from(file), "90"),
        None => (dir.path().join("dashboard.png"), "5"),
    };
    let output = Command::new("node")
        .arg(sources.join("e2e/smoke.mjs"))
        .arg(format!("http://{}/", seawall.admin))
        .args(["--pipeline", "orders", "--theme", "dark", "--wait", wait, "--screenshot"])
        .arg(&picture)
        .env("CHROMIUM", chromium)
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}", output.status);
    assert!(std::fs::metadata(&picture).unwrap().len() > 10_000, "the picture is empty");
    seawall.stop();
}

fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("SEAWALL_CHROMIUM").map(PathBuf::from);
    named
        .into_iter()
        .chain(["/usr/bin/chromium".into(), "/usr/bin/chromium-browser".into()])
        .find(|path| path.exists())
}

/// Whether the driver is there or could be installed.
fn prepared(sources: &Path) -> bool {
    if sources.join("node_modules/playwright-core").exists() {
        return true;
    }
    let installed = Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(sources).status();
    installed.is_ok_and(|status| {
        assert!(status.success(), "npm ci failed");
        true
    })
}
