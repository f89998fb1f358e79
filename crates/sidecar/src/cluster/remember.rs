//! The topics that records came for, kept on disk: a restart while the cluster is away takes more of their records.

use super::Cluster;
use seawall_core::name::check_name;
use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The directory of these files within the data directory: one for each cluster, a name in each line.
const DIR: &str = "topics";
/// So many names are kept; further ones are asked for again in the next life.
const NAMES_MAX: usize = 10_000;

/// What is remembered of one cluster.
pub(super) struct Remembered {
    path: PathBuf,
    /// Asked for by requests: held for a look alone.
    names: Mutex<BTreeSet<String>>,
    /// Held while the file is written, which a disk may take long for.
    writing: Mutex<()>,
}

impl Remembered {
    /// What an earlier life wrote to `data`. What does not read is passed over: the cluster will say.
    pub(super) fn read(data: &Path, cluster: &str) -> Self {
        let path = data.join(DIR).join(cluster);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
            if error.kind() != ErrorKind::NotFound {
                tracing::warn!(file = %path.display(), %error, "the topics of earlier cannot be read");
            }
            String::new()
        });
        let mut names = BTreeSet::new();
        for (line, name) in (1..).zip(text.lines()) {
            match check_name("topic", name) {
                Ok(()) => {
                    names.insert(name.to_owned());
                }
                Err(error) => {
                    tracing::warn!(file = %path.display(), line, %error, "passed over: not a topic's name");
                }
            }
        }
        Self { path, names: Mutex::new(names), writing: Mutex::default() }
    }

    fn locked(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn names(&self) -> BTreeSet<String> {
        self.locked().clone()
    }

    fn has(&self, name: &str) -> bool {
        self.locked().contains(name)
    }

    /// Adds a name. Blocks for the disk.
    fn add(&self, name: &str) {
        let mut names = self.locked();
        let new = names.len() < NAMES_MAX && names.insert(name.to_owned());
        drop(names);
        if new {
            self.write_down();
        }
    }

    /// Forgets what the cluster has no longer. Blocks for the disk.
    fn keep(&self, there: &BTreeSet<String>) {
        let mut names = self.locked();
        let before = names.len();
        names.retain(|name| there.contains(name));
        let fewer = names.len() < before;
        drop(names);
        if fewer {
            self.write_down();
        }
    }

    /// What is known now: whoever writes last has all.
    fn write_down(&self) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let names = self.names();
        self.tell(self.write(&names));
    }

    fn tell(&self, written: io::Result<()>) {
        if let Err(error) = written {
            tracing::warn!(
                file = %self.path.display(), %error,
                "which topics records came for is not written down: a restart while the cluster is away refuses those \
                 that no [[topic]] describes"
            );
        }
    }

    /// All or nothing: a crash leaves the old list or the new one.
    fn write(&self, names: &BTreeSet<String>) -> io::Result<()> {
        if let Some(dir) = self.path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        // No topic's name, and no cluster's, has a tilde.
        let mut draft = self.path.clone().into_os_string();
        draft.push("~");
        let text: String = names.iter().flat_map(|name| [name.as_str(), "\n"]).collect();
        let mut file = std::fs::File::create(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&draft, &self.path)
    }
}

impl Cluster {
    /// Records came for a topic that is there: one that no `[[topic]]` describes is remembered in the next life.
    pub(crate) fn remember(&self, name: &str) {
        let Some(remembered) = self.0.known.remembered() else { return };
        if !self.is_described(name) && !remembered.has(name) {
            let (remembered, name) = (Arc::clone(remembered), name.to_owned());
            tokio::task::spawn_blocking(move || remembered.add(&name));
        }
    }

    /// What the cluster has, as it says itself.
    pub(super) fn forget_others(&self, there: BTreeSet<String>) {
        if let Some(remembered) = self.0.known.remembered().map(Arc::clone) {
            tokio::task::spawn_blocking(move || remembered.keep(&there));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_records_came_for_is_known_in_the_next_life() {
        let data = tempfile::tempdir().unwrap();
        let names = || Remembered::read(data.path(), "plant").names().into_iter().collect::<Vec<_>>();
        assert!(names().is_empty());
        let first = Remembered::read(data.path(), "plant");
        first.add("readings");
        first.add("alarms");
        first.add("readings");
        assert_eq!(names(), ["alarms", "readings"]);
        assert!(Remembered::read(data.path(), "other").names().is_empty());
        first.keep(&["readings".to_owned(), "orders".to_owned()].into());
        assert_eq!(names(), ["readings"]);
        // A disk that takes long holds up nobody who only looks.
        let writing = first.writing.lock().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| first.add("slow"));
            while !first.has("slow") {
                std::thread::yield_now();
            }
            assert_eq!(names(), ["readings"], "it is not written yet");
            drop(writing);
        });
        assert_eq!(names(), ["readings", "slow"]);
        // What is no name costs only itself.
        std::fs::write(data.path().join(DIR).join("plant"), "a/b\n\nreadings\n\u{e9}\n").unwrap();
        assert_eq!(names(), ["readings"]);
        std::fs::write(data.path().join(DIR).join("plant"), [0xff, 0xfe]).unwrap();
        assert!(names().is_empty());
    }
}
