//! Peers written in Java: built once, by Maven.

use crate::compare::BenchError;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const POM: &str = include_str!("../java/pom.xml");
const SOURCE: &str = include_str!("../java/src/main/java/ParallelConsumerPeer.java");

fn program(variable: &str, name: &str) -> OsString {
    std::env::var_os(variable).unwrap_or_else(|| name.into())
}

/// What this machine lacks to build and run them.
pub(crate) fn missing() -> Option<&'static str> {
    let is_there = |name: &OsString| {
        Command::new(name).arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    let tools = [("SEAWALL_JAVA", "java"), ("SEAWALL_MVN", "mvn"), ("SEAWALL_JAVAC", "javac")];
    tools.into_iter().find(|(variable, name)| !is_there(&program(variable, name))).map(|(_, name)| name)
}

/// Builds them next to the bench's data, unless that was done, and answers with the class path.
///
/// # Errors
/// When Maven cannot fetch or compile.
pub(crate) fn build(dir: &Path) -> Result<PathBuf, BenchError> {
    std::fs::create_dir_all(dir).map_err(BenchError::io(dir.display()))?;
    let target = dir.canonicalize().map_err(BenchError::io(dir.display()))?.join("java-peers");
    let (built, text) = (target.join("built"), format!("{POM}{SOURCE}"));
    if std::fs::read_to_string(&built).is_ok_and(|of| of == text) {
        return Ok(target);
    }
    let status = Command::new(program("SEAWALL_MVN", "mvn"))
        .args(["-q", "-B", "-Dstyle.color=never", "-f"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("java/pom.xml"))
        .arg(format!("-Dpeers.target={}", target.display()))
        .args(["compile", "dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", target.join("lib").display()))
        .status()
        .map_err(BenchError::io("mvn"))?;
    if !status.success() {
        return Err(BenchError::of::<String>("mvn")(status.to_string()));
    }
    std::fs::write(&built, text).map_err(BenchError::io(built.display()))?;
    Ok(target)
}

/// A JVM with the defaults of a user, that runs `class` of what was built in `target`.
pub(crate) fn command(target: &Path, class: &str) -> Command {
    let mut command = Command::new(program("SEAWALL_JAVA", "java"));
    let path = format!("{}:{}/*", target.join("classes").display(), target.join("lib").display());
    command.args(["-Xmx2g", "-cp", &path, class]);
    command
}
