//! The Java and the Maven of this machine, and a JVM that starts quickly.

use super::error::KafkaError;
use crate::capture::capture;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const JAVA_MAJOR_MIN: u32 = 17;

/// Java with Kafka's class path.
#[derive(Clone, Debug)]
pub(super) struct Java {
    pub(super) program: PathBuf,
    pub(super) class_path: OsString,
    /// Classes parsed beforehand; a JVM that cannot use the file goes on without it.
    pub(super) archive: PathBuf,
}

impl Java {
    /// A JVM that will run `class`, with flags for a short life: no second compiler, no concurrent collector.
    pub(super) fn command(&self, flags: &[String], class: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Xlog:cds=off"]);
        command.args(["-Xlog:cds+dynamic=off", "-Dorg.slf4j.simpleLogger.showDateTime=true"]);
        command.args(["-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS", "-Djava.awt.headless=true"]);
        command.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
        if self.archive.is_file() {
            command.arg(format!("-XX:SharedArchiveFile={}", self.archive.display()));
        }
        command.args(flags).arg("-cp").arg(&self.class_path).arg(class);
        // Options of the developer's shell would change what is measured and print a line each.
        for name in ["JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH"] {
            command.env_remove(name);
        }
        command
    }
}

/// The Java of this machine, which must be new enough.
pub(super) fn java() -> Result<PathBuf, KafkaError> {
    let path = find("java", "default-jre-headless", "SEAWALL_JAVA")?;
    let mut ask = Command::new(&path);
    ask.arg("-version");
    let said = capture(&ask, Path::new("/dev/null"), Duration::from_mins(1))
        .map_err(KafkaError::io(path.display().to_string()))?;
    match major(&said.stderr) {
        Some(found) if found >= JAVA_MAJOR_MIN => Ok(path),
        found => {
            let found = found.map_or_else(|| said.story(), |major| major.to_string());
            Err(KafkaError::JavaTooOld { path, found, want: JAVA_MAJOR_MIN })
        }
    }
}

pub(super) fn maven() -> Result<PathBuf, KafkaError> {
    find("mvn", "maven", "SEAWALL_MVN")
}

fn find(tool: &'static str, package: &'static str, variable: &'static str) -> Result<PathBuf, KafkaError> {
    let chosen = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_file());
    let on_path = || {
        let folders = std::env::var_os("PATH")?;
        std::env::split_paths(&folders).map(|folder| folder.join(tool)).find(|path| path.is_file())
    };
    chosen.or_else(on_path).ok_or(KafkaError::Missing { tool, package, variable })
}

/// The major version in `openjdk version "17.0.15" 2025-04-15`; 8 for `1.8.0`.
fn major(said: &str) -> Option<u32> {
    let version = said.split_once("version \"")?.1.split(['"', '-']).next()?;
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    match parts.next()?? {
        1 => parts.next()?,
        major => Some(major),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read() {
        assert_eq!(major("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK"), Some(17));
        assert_eq!(major("java version \"1.8.0_402\""), Some(8));
        assert_eq!(major("openjdk version \"25-ea\" 2025-09-16"), Some(25));
        assert_eq!(major("not a java"), None);
    }

    #[test]
    fn a_missing_tool_is_named_with_its_package() {
        let error = find("no-such-tool", "a-package", "SEAWALL_NO_SUCH").unwrap_err().to_string();
        assert_eq!(
            error,
            "no-such-tool not found (install a-package, or name the program in SEAWALL_NO_SUCH)"
        );
    }
}
