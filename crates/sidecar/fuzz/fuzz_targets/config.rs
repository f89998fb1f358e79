//! Any text as a config: read, or refused with places that exist in it; never a panic.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run config -- -max_total_time=60` in `crates/sidecar`; `tests/config_fuzz.rs`
//! asks the same of fewer texts with every test run.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Err(error) = seawall_sidecar::config::parse(text, "fuzz.toml") else { return };
    assert!(!error.findings().is_empty());
    for finding in error.findings() {
        assert!((1..=text.split('\n').count()).contains(&finding.line) && finding.column >= 1);
        assert!(!finding.to_string().is_empty());
    }
});
