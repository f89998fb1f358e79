//! Kafka's jars, fetched once into cargo's target folder, and the class archive that halves a JVM's start.
//!
//! Test programs run side by side, so one of them works under a file lock while the others wait; a killed one
//! leaves no `complete` file and the next begins anew.

use super::error::KafkaError;
use super::java::{self, Java};
use super::{broker, format, options::KafkaOptions};
use crate::cache;
use crate::capture::capture;
use crate::slot::Slot;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const POM: &str = include_str!("../../kafka/pom.xml");
const FETCH_LIMIT: Duration = Duration::from_mins(8);
const ARCHIVE_LIMIT: Duration = Duration::from_mins(1);

/// Java with Kafka's class path, fetched first where it is not here yet.
pub(super) fn installed() -> Result<Java, KafkaError> {
    let program = java::java()?;
    let mut hasher = DefaultHasher::new();
    hasher.write(POM.as_bytes());
    let home = folder().join(format!("{:016x}", hasher.finish()));
    fs::create_dir_all(&home).map_err(KafkaError::io(home.display().to_string()))?;
    let complete = home.join("complete");
    if !complete.is_file() {
        let path = home.join("lock");
        let lock = File::create(&path).map_err(KafkaError::io(path.display().to_string()))?;
        lock.lock().map_err(KafkaError::io(path.display().to_string()))?;
        if !complete.is_file() {
            fetch(&home)?;
            archive(&java_at(program.clone(), &home)?);
            fs::write(&complete, "").map_err(KafkaError::io(complete.display().to_string()))?;
        }
    }
    java_at(program, &home)
}

pub(super) fn slots() -> PathBuf {
    folder().join("slots")
}

fn folder() -> PathBuf {
    cache::folder().join("kafka")
}

fn fetch(home: &Path) -> Result<(), KafkaError> {
    let pom = home.join("pom.xml");
    fs::write(&pom, POM).map_err(KafkaError::io(pom.display().to_string()))?;
    let lib = home.join("lib");
    // Half a fetch of a killed process.
    let _ = fs::remove_dir_all(&lib);
    let mut mvn = Command::new(java::maven()?);
    mvn.args(["-q", "-B", "-Dstyle.color=never", "-f"]).arg(&pom).arg("dependency:copy-dependencies");
    mvn.arg(format!("-DoutputDirectory={}", lib.display())).arg("-DincludeScope=runtime");
    let said = capture(&mvn, Path::new("/dev/null"), FETCH_LIMIT).map_err(KafkaError::io("mvn"))?;
    if said.ok() { Ok(()) } else { Err(KafkaError::Artifacts { story: said.story() }) }
}

/// Every jar by name, in one order: the archive is valid for exactly this class path.
fn java_at(program: PathBuf, home: &Path) -> Result<Java, KafkaError> {
    let lib = home.join("lib");
    let mut jars: Vec<PathBuf> = fs::read_dir(&lib)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .map_err(KafkaError::io(lib.display().to_string()))?
        .iter()
        .map(fs::DirEntry::path)
        .collect();
    jars.sort();
    let class_path = std::env::join_paths(&jars)
        .map_err(|error| KafkaError::io(lib.display().to_string())(std::io::Error::other(error)))?;
    Ok(Java { program, class_path, archive: home.join("kafka.jsa") })
}

/// Lets one broker come up and go down while the JVM notes its classes (class data sharing, JEP 350). Only
/// speed depends on it, so a failure is no error.
fn archive(java: &Java) {
    let _ = fs::remove_file(&java.archive);
    let options = KafkaOptions {
        jvm: vec![format!("-XX:ArchiveClassesAtExit={}", java.archive.display())],
        ..KafkaOptions::default()
    };
    let Ok(Some(slot)) = Slot::reserve(&slots()) else { return };
    let rehearse = || -> Result<(), KafkaError> {
        format::format(java, &options, &slot)?;
        let mut broker = broker::Broker::start(java, &options, &slot, 0)?;
        broker.until_ready(&[1], ARCHIVE_LIMIT)?;
        broker.stop(ARCHIVE_LIMIT)
    };
    if rehearse().is_err() {
        let _ = fs::remove_file(&java.archive);
    }
}
