//! The example config, mutated by a seeded generator: read, or refused with places that exist in it; never a
//! panic. The target under `fuzz/` asks the same of cargo-fuzz's inputs.
//!
//! A text that fails is printed with its seed; `SEAWALL_SEED=n` replays it alone.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic and tells its counts"
)]

use fastrand::Rng;
use seawall_sidecar::config::{ConfigError, parse};
use std::ops::Range;
use std::panic::catch_unwind;

const EXAMPLE: &str = include_str!("../../../examples/orders.toml");
const MUTATIONS: u64 = 20_000;

/// What stands in configs, and what breaks parsers.
const PIECES: &[&str] = &[
    "",
    "\n",
    "\0",
    "\u{feff}",
    "é",
    "\u{1f30a}",
    "\u{202e}",
    "\"",
    "\"\"\"",
    "'''",
    "#",
    "=",
    ".",
    ",",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "-1",
    "0",
    "1_000",
    "18446744073709551616",
    "-9223372036854775809",
    "1e999",
    "nan",
    "inf",
    "true",
    "\"0s\"",
    "\"999999999999d\"",
    "\"1e3s\"",
    "\"16EiB\"",
    "\"-1MiB\"",
    "\"127.0.0.1:0\"",
    "\"[::]:99999\"",
    "\"http://[::1/\"",
    "\"file:///etc/passwd\"",
    "[\"10.0.0.0/33\"]",
    "2026-11-24T00:00:00Z",
    "[pipeline]",
    "[[pipeline]]",
    "[pipeline.push]",
    "[[topic]]",
    "a.b.c = 1",
    "orderin = \"key\"",
    "token = \"hunter2hunter2\"",
];

fn piece(rng: &mut Rng) -> &'static str {
    PIECES[rng.usize(0..PIECES.len())]
}

fn place(text: &str, rng: &mut Rng) -> usize {
    let at = rng.usize(0..=text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn stretch(text: &str, rng: &mut Rng) -> Range<usize> {
    let from = place(text, rng);
    let to = (from + rng.usize(0..40)).min(text.len());
    from..(to..=text.len()).find(|to| text.is_char_boundary(*to)).unwrap_or(from)
}

/// Changes the lines, by two of their numbers.
fn lines(text: &mut String, rng: &mut Rng, change: impl FnOnce(&mut Vec<&str>, usize, usize)) {
    let whole = std::mem::take(text);
    let mut lines: Vec<&str> = whole.split('\n').collect();
    let (one, other) = (rng.usize(0..lines.len()), rng.usize(0..lines.len()));
    change(&mut lines, one, other);
    *text = lines.join("\n");
}

/// One change.
fn mutate(text: &mut String, rng: &mut Rng) {
    match rng.u32(0..10) {
        0 => {
            let mut bytes = std::mem::take(text).into_bytes();
            if let Some(byte) = rng.choice(bytes.iter_mut()) {
                *byte ^= 1 << rng.u32(0..8);
            }
            *text = String::from_utf8_lossy(&bytes).into_owned();
        }
        1 => text.truncate(place(text, rng)),
        2 => text.replace_range(stretch(text, rng), ""),
        3 => {
            let copied = text[stretch(text, rng)].to_owned();
            text.insert_str(place(text, rng), &copied);
        }
        4 => text.replace_range(stretch(text, rng), piece(rng)),
        5 => lines(text, rng, |lines, one, _| lines[one] = ""),
        6 => lines(text, rng, |lines, one, other| lines.insert(one, lines[other])),
        7 => lines(text, rng, |lines, one, other| lines.swap(one, other)),
        // An option that is commented out comes into force.
        8 => lines(text, rng, |lines, one, _| lines[one] = lines[one].trim_start_matches("# ")),
        _ => {
            let values: Vec<usize> = text.match_indices(" = ").map(|(at, sign)| at + sign.len()).collect();
            if let Some(from) = rng.choice(values) {
                let to = text[from..].find('\n').map_or(text.len(), |len| from + len);
                text.replace_range(from..to, piece(rng));
            }
        }
    }
}

fn mutated(seed: u64) -> String {
    let mut rng = Rng::with_seed(seed);
    let mut text = EXAMPLE.to_owned();
    for _ in 0..rng.u32(1..5) {
        mutate(&mut text, &mut rng);
    }
    text
}

/// Whether it was read; where it was not, what is wrong with it must be told properly.
fn judge(text: &str) -> bool {
    match parse(text, "orders.toml") {
        Ok(_) => true,
        Err(ConfigError::Invalid(findings)) => {
            assert!(!findings.is_empty(), "refused without a reason");
            for finding in findings {
                assert!((1..=text.split('\n').count()).contains(&finding.line), "{finding:?}");
                assert!(finding.column >= 1 && !finding.problem.is_empty(), "{finding:?}");
                assert!(finding.to_string().starts_with("orders.toml:"), "{finding}");
            }
            false
        }
        Err(other) => panic!("reading no file: {other}"),
    }
}

/// How many of these were read.
fn run(seeds: Range<u64>) -> u64 {
    let one = |seed| {
        let text = mutated(seed);
        let Ok(good) = catch_unwind(|| judge(&text)) else {
            panic!("seed {seed}: replay it with SEAWALL_SEED={seed}; the text was\n{text}")
        };
        u64::from(good)
    };
    seeds.map(one).sum()
}

#[test]
fn mutated_configs_are_read_or_refused_with_their_place() {
    assert!(judge(EXAMPLE));
    let only = std::env::var("SEAWALL_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let seeds = only.map_or(0..MUTATIONS, |seed| seed..seed + 1);
    let count = seeds.end - seeds.start;
    let half = seeds.start + count / 2;
    let read = std::thread::scope(|scope| {
        let other = scope.spawn(|| run(half..seeds.end));
        run(seeds.start..half) + other.join().unwrap()
    });
    println!("{count} mutated configs: {read} read, {} refused", count - read);
    assert!(only.is_some() || (read > 500 && count - read > 500), "met one side only: this proves nothing");
}
