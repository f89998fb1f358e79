//! Real file systems to fill, cut and break. They need root; without it the tests say so and skip.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test file takes what it needs")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A mounted file system, unmounted when dropped.
pub struct Mount {
    pub at: PathBuf,
    image: Option<PathBuf>,
    mounted: bool,
    _dir: tempfile::TempDir,
}

pub fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let out = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{program}: {e}"))?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned());
    }
    Err(format!("{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr).trim()))
}

/// The prefix by which `cargo xtask test` knows that this machine cannot, rather than that something is absent.
fn unsupported(reason: String) -> String {
    format!("unsupported: {reason}")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Mount {
    fn place() -> Result<(tempfile::TempDir, PathBuf), String> {
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let at = dir.path().join("mnt");
        std::fs::create_dir(&at).map_err(|e| e.to_string())?;
        Ok((dir, at))
    }

    /// A tmpfs of `kib` KiB.
    pub fn tmpfs(kib: u32) -> Result<Self, String> {
        let (dir, at) = Self::place()?;
        let size = format!("size={kib}k");
        run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", text(&at)]).map_err(unsupported)?;
        Ok(Self { at, image: None, mounted: true, _dir: dir })
    }

    /// An ext4 of `mib` MiB in a sparse file, on a loop device.
    pub fn ext4(mib: u64) -> Result<Self, String> {
        let (dir, at) = Self::place()?;
        let image = dir.path().join("image");
        let file = std::fs::File::create(&image).map_err(|e| e.to_string())?;
        file.set_len(mib << 20).map_err(|e| e.to_string())?;
        run("mkfs.ext4", &["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", text(&image)])?;
        let mut mount = Self { at, image: Some(image), mounted: false, _dir: dir };
        mount.mount()?;
        Ok(mount)
    }

    pub fn mount(&mut self) -> Result<(), String> {
        let image = self.image.clone().ok_or("no image")?;
        let options = "loop,errors=remount-ro";
        run("mount", &["-o", options, text(&image), text(&self.at)]).map_err(unsupported)?;
        self.mounted = true;
        Ok(())
    }

    pub fn unmount(&mut self) -> Result<(), String> {
        for _ in 0..100 {
            if run("umount", &[text(&self.at)]).is_ok() {
                self.mounted = false;
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        Err(format!("{} stays busy", self.at.display()))
    }

    pub fn remount(&self, options: &str) -> Result<(), String> {
        run("mount", &["-o", &format!("remount,{options}"), text(&self.at)]).map(|_| ())
    }

    /// The power goes: nothing is flushed, not even the journal. `EXT4_IOC_SHUTDOWN` with `NOLOGFLUSH`.
    pub fn cut_power(&self) -> Result<(), String> {
        let script = r#"open(my $d, "<", $ARGV[0]) or die $!; my $f = pack("L", 2);
            ioctl($d, 0x8004587d, $f) or die "ioctl: $!";"#;
        run("perl", &["-e", script, text(&self.at)]).map(|_| ())
    }

    /// Makes ext4 meet an error, whereupon it remounts itself read-only.
    pub fn break_file_system(&self) -> Result<(), String> {
        let device = run("findmnt", &["-n", "-o", "SOURCE", text(&self.at)])?;
        let name = device.trim_start_matches("/dev/");
        std::fs::write(format!("/sys/fs/ext4/{name}/trigger_fs_error"), "1").map_err(|e| e.to_string())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.mounted && run("umount", &[text(&self.at)]).is_err() {
            let _ = run("umount", &["-l", text(&self.at)]);
        }
    }
}

/// `Ok` or the test's end: says on stdout why it did not run.
#[macro_export]
macro_rules! or_skip {
    ($name:literal, $made:expr) => {
        match $made {
            Ok(made) => made,
            Err(reason) => {
                println!("SKIP {}: {}", $name, reason);
                return;
            }
        }
    };
}
