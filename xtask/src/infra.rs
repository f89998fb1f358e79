//! `cargo xtask infra`: what the end-to-end tests need from the machine, found or installed.
//!
//! Tools: a browser for the dashboard's picture, a Go toolchain for the service that is not written in Rust,
//! Node for the dashboard's build, what kills and cuts the power of the log's tests, Java and Maven for real Kafka
//! brokers, kcat to look at them with another client, and promtool for the alert rules. The brokers themselves are `seawall-infra`'s, which tests use without this program.

use crate::error::ChoreError;
use crate::process;
use crate::workspace;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

pub(crate) const HELP: &str = "cargo xtask infra [kafka [--brokers 1|3] [--tls] [--sasl] [--acls] [--set NAME=VALUE]…]\n\
    finds the tools that the end-to-end tests need, installs missing ones with apt-get when run as root, and lists them;\n\
    kafka: runs real brokers on private ports and says where, until Ctrl-C";

/// A program from outside, and where Debian has it.
struct Tool {
    /// For messages, and the word by which a test's `SKIP` line tells that it is what is missing.
    name: &'static str,
    /// The variable that tells its path to tests; also read, so that a person can choose.
    variable: &'static str,
    programs: &'static [&'static str],
    packages: &'static [&'static str],
    /// The crates whose tests use it.
    parts: &'static [&'static str],
}

const NODE: Tool = Tool {
    name: "node",
    variable: "SEAWALL_NODE",
    programs: &["node"],
    packages: &["nodejs", "npm"],
    parts: &["cli"],
};
const NODE_MAJOR_MIN: u32 = 20;
/// Distributions have Node without it.
const NPM: Tool =
    Tool { name: "npm", variable: "SEAWALL_NPM", programs: &["npm"], packages: &["npm"], parts: &[] };
const JAVA: Tool = Tool {
    name: "java",
    variable: "SEAWALL_JAVA",
    programs: &["java"],
    packages: &["default-jre-headless"],
    parts: KAFKA_PARTS,
};
const MAVEN: Tool = Tool {
    name: "mvn",
    variable: "SEAWALL_MVN",
    programs: &["mvn"],
    packages: &["maven"],
    parts: KAFKA_PARTS,
};
/// The crates whose tests talk to real brokers.
const KAFKA_PARTS: &[&str] = &["infra", "kafka", "cli"];
const TOOLS: [Tool; 9] = [
    Tool {
        name: "chromium",
        variable: "SEAWALL_CHROMIUM",
        programs: &["chromium", "chromium-browser", "google-chrome"],
        packages: &["chromium"],
        parts: &["cli"],
    },
    Tool { name: "go", variable: "SEAWALL_GO", programs: &["go"], packages: &["golang-go"], parts: &["cli"] },
    NODE,
    JAVA,
    MAVEN,
    Tool {
        name: "promtool",
        variable: "SEAWALL_PROMTOOL",
        programs: &["promtool"],
        packages: &["prometheus"],
        parts: &["cli"],
    },
    Tool {
        name: "kcat",
        variable: "SEAWALL_KCAT",
        programs: &["kcat", "kafkacat"],
        packages: &["kcat"],
        parts: &["kafka"],
    },
    Tool {
        name: "strace",
        variable: "SEAWALL_STRACE",
        programs: &["strace"],
        packages: &["strace"],
        parts: &["wal"],
    },
    Tool {
        name: "mkfs.ext4",
        variable: "SEAWALL_MKFS_EXT4",
        programs: &["mkfs.ext4"],
        packages: &["e2fsprogs"],
        parts: &["wal"],
    },
];

/// What tests are told about the machine.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Where each tool is.
    pub(crate) environment: Vec<(String, String)>,
    /// The names of those that this machine has not and cannot get.
    pub(crate) missing: Vec<&'static str>,
}

pub(crate) fn run(args: &[String]) -> Result<bool, ChoreError> {
    if args.first().is_some_and(|server| server == "kafka") {
        return kafka(args);
    }
    if let Some(arg) = args.first() {
        return Err(ChoreError::Usage(format!("infra takes no `{arg}`\n{HELP}")));
    }
    let mut complete = true;
    for tool in &TOOLS {
        match usable(tool) {
            Ok(path) => println!("{}: {}", tool.name, path.display()),
            Err(why) => {
                println!("{}: missing ({why})", tool.name);
                complete = false;
            }
        }
    }
    Ok(complete)
}

/// Becomes the program that runs the brokers, so that a Ctrl-C is for that alone.
fn kafka(args: &[String]) -> Result<bool, ChoreError> {
    let mut command = workspace::cargo();
    command.args(["run", "--quiet", "--package", "seawall-infra", "--"]).args(args);
    for tool in [JAVA, MAVEN] {
        let path = usable(&tool).map_err(|how| ChoreError::Program { what: tool.name.to_owned(), how })?;
        command.env(tool.variable, path);
    }
    let what = process::describe(&command);
    Err(ChoreError::io(what)(command.exec()))
}

/// What the tests of these crates need. What is missing is left out of the environment, and the test that
/// needs it says so in its `SKIP` line.
pub(crate) fn for_tests_of<'a>(parts: impl Iterator<Item = &'a str>) -> Found {
    let parts: Vec<&str> = parts.collect();
    let mut found = Found::default();
    for tool in TOOLS.iter().filter(|tool| tool.parts.iter().any(|part| parts.contains(part))) {
        match usable(tool) {
            Ok(path) => {
                found.environment.push((tool.variable.to_owned(), path.to_string_lossy().into_owned()));
            }
            Err(why) => {
                println!("   {}: {why}", tool.name);
                found.missing.push(tool.name);
            }
        }
    }
    found
}

fn usable(tool: &Tool) -> Result<PathBuf, String> {
    if tool.name == NODE.name { node() } else { ensure(tool) }
}

/// Node, of a version that can build the dashboard.
pub(crate) fn node() -> Result<PathBuf, String> {
    let path = ensure(&NODE)?;
    let mut ask = Command::new(&path);
    ask.arg("--version");
    let version = process::output(ask).map_err(|error| error.to_string())?;
    match major(&version) {
        Some(found) if found >= NODE_MAJOR_MIN => ensure(&NPM).map(|_| path),
        _ => Err(format!(
            "unsupported: this distribution's node is {}, the dashboard's build needs {NODE_MAJOR_MIN}",
            version.trim()
        )),
    }
}

fn major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// Makes sure that OpenSSL can be compiled against.
pub(crate) fn openssl() -> Result<(), String> {
    let there = || {
        let mut ask = Command::new("pkg-config");
        ask.args(["--exists", "openssl"]);
        process::capture(ask, Duration::from_mins(1)).is_ok_and(|said| said.ok())
    };
    if there() {
        return Ok(());
    }
    install(&["libssl-dev", "pkg-config"])?;
    if there() { Ok(()) } else { Err("libssl-dev was installed but pkg-config finds no openssl".to_owned()) }
}

/// Where `tool` is; installed first where it is missing and we may install.
fn ensure(tool: &Tool) -> Result<PathBuf, String> {
    if let Some(path) = find(tool) {
        return Ok(path);
    }
    println!("   installing {}", tool.packages.join(" "));
    install(tool.packages)?;
    find(tool).ok_or_else(|| format!("{} was installed but is not on the PATH", tool.name))
}

fn find(tool: &Tool) -> Option<PathBuf> {
    let chosen = std::env::var_os(tool.variable).map(PathBuf::from).filter(|path| path.is_file());
    chosen.or_else(|| {
        let path = std::env::var_os("PATH")?;
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        tool.programs.iter().find_map(|program| {
            folders.iter().map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
        })
    })
}

fn install(packages: &[&str]) -> Result<(), String> {
    static UPDATED: OnceLock<bool> = OnceLock::new();
    if !Path::new("/usr/bin/apt-get").is_file() {
        return Err(format!("unsupported: no apt-get here to install {}", packages.join(" ")));
    }
    if !am_root() {
        return Err(format!("unsupported: {} missing, and only root can install", packages.join(" ")));
    }
    if !UPDATED.get_or_init(|| apt(&["update", "-qq"])) {
        return Err("unsupported: apt-get update failed".to_owned());
    }
    let mut args = vec!["install", "-y", "-qq", "--no-install-recommends"];
    args.extend(packages);
    if apt(&args) {
        Ok(())
    } else {
        Err(format!("unsupported: apt-get could not install {}", packages.join(" ")))
    }
}

fn apt(args: &[&str]) -> bool {
    let mut command = Command::new("apt-get");
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    match process::capture(command, Duration::from_mins(15)) {
        Ok(captured) if captured.ok() => true,
        Ok(captured) => {
            println!("{}\n{}", captured.stdout, captured.stderr);
            false
        }
        Err(error) => {
            println!("{error}");
            false
        }
    }
}

fn am_root() -> bool {
    let mut ask = Command::new("id");
    ask.arg("-u");
    process::output(ask).is_ok_and(|id| id.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("20.1"), None);
    }

    #[test]
    fn a_program_is_found_on_the_path() {
        let shell = Tool {
            name: "sh",
            variable: "SEAWALL_NO_SUCH",
            programs: &["no-such", "sh"],
            packages: &[],
            parts: &[],
        };
        assert!(find(&shell).is_some_and(|path| path.ends_with("sh")));
        let nothing = Tool { programs: &["no-such-program"], ..shell };
        assert_eq!(find(&nothing), None);
    }

    #[test]
    fn nothing_is_looked_for_that_no_chosen_test_needs() {
        let found = for_tests_of(["guard", "core"].into_iter());
        assert!(found.environment.is_empty() && found.missing.is_empty());
    }
}
