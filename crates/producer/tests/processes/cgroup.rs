//! A memory limit of the kernel's, for one process.

use std::path::{Path, PathBuf};

/// A cgroup with a limit, removed when dropped.
pub(crate) struct Cgroup {
    dir: PathBuf,
    unified: bool,
}

impl Cgroup {
    /// A group that may take `bytes`; an error says what this machine lacks.
    pub(crate) fn new(bytes: u64) -> Result<Self, String> {
        let roots = [("/sys/fs/cgroup", true), ("/sys/fs/cgroup/memory", false)];
        let mut why = "unsupported: no cgroup file system with a memory controller".to_owned();
        for (root, unified) in roots {
            match Self::under(Path::new(root), unified, bytes) {
                Ok(group) => return Ok(group),
                Err(error) => why = format!("unsupported: {error}"),
            }
        }
        Err(why)
    }

    fn under(root: &Path, unified: bool, bytes: u64) -> Result<Self, String> {
        let group = Self { dir: root.join(format!("seawall-{}", std::process::id())), unified };
        if unified {
            let listed = std::fs::read_to_string(root.join("cgroup.controllers"));
            let controllers = listed.map_err(|error| format!("{}: {error}", root.display()))?;
            if !controllers.split_whitespace().any(|name| name == "memory") {
                return Err(format!("{}: its controllers are {controllers:?}", root.display()));
            }
            std::fs::write(root.join("cgroup.subtree_control"), "+memory")
                .map_err(|error| format!("{}: {error}", root.display()))?;
        }
        std::fs::create_dir(&group.dir).map_err(|error| format!("{}: {error}", group.dir.display()))?;
        group.put(if unified { "memory.max" } else { "memory.limit_in_bytes" }, &bytes.to_string())?;
        Ok(group)
    }

    fn put(&self, name: &str, value: &str) -> Result<(), String> {
        let path = self.dir.join(name);
        std::fs::write(&path, value).map_err(|error| format!("{}: {error}", path.display()))
    }

    pub(crate) fn take(&self, process: u32) -> Result<(), String> {
        self.put("cgroup.procs", &process.to_string())
    }

    /// Processes that the kernel killed for want of memory.
    pub(crate) fn killed(&self) -> u64 {
        let name = if self.unified { "memory.events" } else { "memory.oom_control" };
        let text = std::fs::read_to_string(self.dir.join(name)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.unwrap().parse().unwrap()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.dir);
    }
}
