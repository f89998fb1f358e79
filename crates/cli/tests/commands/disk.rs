//! A disk that is read-only, and one that fills up and gets room again.

use crate::house::{self, http, wait_for};
use crate::tool::{post, seawall, text, up};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const BOUND: Duration = Duration::from_mins(1);

/// A file system, unmounted at the end.
struct Mounted(PathBuf);

impl Mounted {
    /// Mounts one in memory at `dir`, or says why the test cannot run.
    fn memory(test: &str, dir: &Path, size: &str) -> Option<Self> {
        let options = format!("size={size},mode=0700");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir).output();
        match done {
            Ok(output) if output.status.success() => Some(Self(dir.to_owned())),
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
                println!("SKIP {test}: unsupported: {why}");
                None
            }
            Err(error) => {
                println!("SKIP {test}: unsupported: no mount command: {error}");
                None
            }
        }
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let output = Command::new("mount").args(["-o", &options]).arg(&self.0).output().unwrap();
        assert!(output.status.success(), "{options}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily, so that a failing test leaves no mount behind either.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_read_only_directory_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Mounted::memory("a_read_only_directory_is_told", dir.path(), "16m") else { return };
    let (used, fresh) = (dir.path().join("used"), dir.path().join("fresh"));
    seawall(&["produce", "orders", "--data", text(&used), "--create", "1"], "x\n").ok();
    disk.remount("ro");
    for data in [&used, &fresh] {
        let free = ["up", "--no-load", "--ingest", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let said = seawall(&[&free[..], &["--data", text(data)]].concat(), "").fails(4);
        assert!(said.contains("Read-only") && said.contains(text(data)), "{said}");
    }
    seawall(&["wal", "verify", text(&used)], "").ok();
}

/// Test 7 of the fault list. ext4 makes itself read-only where it finds an error, whatever is open for writing.
#[test]
fn a_file_system_that_turns_read_only_takes_the_readiness_and_nothing_is_acknowledged() {
    const TEST: &str = "a_file_system_that_turns_read_only_takes_the_readiness_and_nothing_is_acknowledged";
    let dir = tempfile::tempdir().unwrap();
    let (image, place) = (dir.path().join("image"), dir.path().join("place"));
    std::fs::create_dir(&place).unwrap();
    std::fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let done = Command::new(program).args(arguments).output();
        done.is_ok_and(|output| output.status.success())
    };
    if !run("mkfs.ext4", &["-q", text(&image)])
        || !run("mount", &["-o", "loop,errors=remount-ro", text(&image), text(&place)])
    {
        return println!("SKIP {TEST}: unsupported: no ext4 on a loop device here");
    }
    let _mounted = Mounted(place.clone());
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    let line = mounts.lines().find(|line| line.contains(text(&place))).unwrap();
    let device = line.split(' ').next().unwrap().trim_start_matches("/dev/");
    let trigger = PathBuf::from(format!("/sys/fs/ext4/{device}/trigger_fs_error"));
    let server = up(&place.join("data"), "0");
    assert_eq!(post(&server, "before", b"{}").status, 201);
    house::idle(&server);
    std::fs::write(&trigger, "1").unwrap();
    for key in 0..20 {
        let answer = post(&server, &format!("key-{key}"), b"{}");
        assert_eq!(answer.status, 503, "{}", answer.text());
    }
    wait_for("the readiness", BOUND, || {
        let ready = http::get(server.admin, "/readyz");
        (ready.status == 503 && ready.text().contains("Read-only")).then_some(())
    });
    server.kill();
}

#[test]
fn a_full_disk_refuses_keeps_what_it_took_and_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let test = "a_full_disk_refuses_keeps_what_it_took_and_goes_on_when_there_is_room";
    let Some(disk) = Mounted::memory(test, dir.path(), "16m") else { return };
    let data = dir.path().join("data");
    let server = up(&data, "0");
    let order = format!("{{\"filling\":\"{}\"}}", "x".repeat(200_000));
    let mut taken = 0;
    // Until refused: with the problem, and then, while it lasts, with a probe that says so too.
    let mut fill = |from: u64| {
        wait_for("the disk is full", BOUND, || {
            let answer = post(&server, &format!("key-{}", from + taken), order.as_bytes());
            if answer.status == 201 {
                taken += 1;
                return (taken > 10_000).then_some(());
            }
            let problem = answer.json();
            assert!(answer.status == 507 || answer.status == 503, "{problem}");
            assert!(answer.headers.contains(&("content-type".into(), "application/problem+json".into())));
            assert!(problem["detail"].as_str().unwrap().contains("No space left"), "{problem}");
            let ready = http::get(server.admin, "/readyz");
            let says_why = ready.status == 503 && ready.text().contains("No space left");
            says_why.then_some(())
        });
        // Trying the disk again must not take a write over bytes that exist for room.
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(http::get(server.admin, "/readyz").status, 503, "the disk is as full as before");
        taken
    };
    let before = fill(0);
    assert!((10..1_000).contains(&before), "{before} of 200 KB on 16 MiB");
    house::idle(&server);

    disk.remount("size=24m");
    let again = wait_for("posting works again", BOUND, || {
        (post(&server, "after", order.as_bytes()).status == 201).then_some(1)
    });
    wait_for("ready again", BOUND, || (http::get(server.admin, "/readyz").status == 200).then_some(()));
    let accepted = fill(1_000_000) + again;
    assert!(accepted > before + again);

    // Killed while full: what has a receipt is there, and it starts again.
    server.kill();
    let count = |exact: bool| {
        let read = seawall(&["consume", "orders", "--data", text(&data), "--from-start"], "").ok();
        let lines = read.lines().count() as u64;
        assert!(if exact { lines == accepted } else { lines >= accepted }, "{lines} of {accepted}");
    };
    count(true);
    disk.remount("size=40m");
    let server = up(&data, "0");
    assert_eq!(post(&server, "restarted", b"{}").status, 201);
    house::idle(&server);
    server.stop();
    count(false);
}
