//! Storage for every broker: one run of Kafka's StorageTool, copied to the others.
//!
//! The tool costs a second of CPU a run, and what it writes differs between brokers in two lines only.

use super::error::KafkaError;
use super::java::Java;
use super::options::KafkaOptions;
use super::{broker, certificates, properties};
use crate::capture::capture;
use crate::slot::Slot;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// 16 bytes each, as Kafka writes ids: base64 for URLs without padding.
const CLUSTER_ID: &str = "c2Vhd2FsbC1vZi10ZXN0cw";
const DIRECTORY_IDS: [&str; 3] =
    ["c2Vhd2FsbC1icm9rZXItMQ", "c2Vhd2FsbC1icm9rZXItMg", "c2Vhd2FsbC1icm9rZXItMw"];
const LIMIT: Duration = Duration::from_mins(3);

/// Writes certificates, properties and formatted storage into the slot's folder.
pub(super) fn format(java: &Java, options: &KafkaOptions, slot: &Slot) -> Result<(), KafkaError> {
    if options.tls {
        certificates::write(slot.folder())?;
    }
    for nth in 0..options.brokers {
        let folder = broker::folder(slot, nth);
        fs::create_dir_all(&folder).map_err(KafkaError::io(folder.display().to_string()))?;
        let text = properties::server(options, slot, nth, &folder.join("data"), slot.folder());
        write(&folder.join("server.properties"), text)?;
    }
    let first = broker::folder(slot, 0);
    let mut tool = java.command(&[], "kafka.tools.StorageTool");
    tool.args(["format", "-t", CLUSTER_ID, "-c"]).arg(first.join("server.properties"));
    if options.sasl {
        for user in &options.users {
            for scram in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                tool.arg("--add-scram");
                tool.arg(format!("{scram}=[name={},password={}]", user.name, user.password));
            }
        }
    }
    let said = capture(&tool, Path::new("/dev/null"), LIMIT).map_err(KafkaError::io("java"))?;
    if !said.ok() {
        return Err(KafkaError::Format { story: said.story() });
    }
    for (nth, directory_id) in DIRECTORY_IDS.iter().enumerate().take(options.brokers) {
        let data = broker::folder(slot, nth).join("data");
        if nth > 0 {
            copy(&first.join("data"), &data)?;
        }
        let meta =
            format!("version=1\ncluster.id={CLUSTER_ID}\nnode.id={}\ndirectory.id={directory_id}\n", nth + 1);
        write(&data.join("meta.properties"), meta)?;
    }
    Ok(())
}

fn write(path: &Path, text: String) -> Result<(), KafkaError> {
    fs::write(path, text).map_err(KafkaError::io(path.display().to_string()))
}

fn copy(from: &Path, to: &Path) -> Result<(), KafkaError> {
    let failed = |path: &PathBuf| KafkaError::io(path.display().to_string());
    let to = to.to_owned();
    fs::create_dir_all(&to).map_err(failed(&to))?;
    for entry in fs::read_dir(from).map_err(failed(&from.to_owned()))? {
        let path = entry.map_err(failed(&from.to_owned()))?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target).map_err(failed(&path))?;
        }
    }
    Ok(())
}
