//! What another process has: the data directory, the port.

use crate::tool::{seawall, text, up};
use std::net::TcpListener;

#[test]
fn a_data_directory_has_one_owner_and_others_are_told_which() {
    let dir = tempfile::tempdir().unwrap();
    let server = up(dir.path(), "0");
    let data = text(dir.path());
    let pid = server.child.id().to_string();
    let second = ["up", "--no-load", "--ingest", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", data];
    let commands: [&[&str]; 3] =
        [&second, &["produce", "orders", "--data", data], &["consume", "orders", "--data", data]];
    for command in commands {
        let said = seawall(command, "x\n").fails(4);
        assert!(said.contains("locked") && said.contains(&pid), "{command:?}: {said}");
    }
    server.stop();
    seawall(&["consume", "orders", "--data", data], "").ok();
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for (listener, other) in [("--ingest", "--admin"), ("--admin", "--ingest")] {
        let dir = tempfile::tempdir().unwrap();
        let up = ["up", "--no-load", listener, &addr, other, "127.0.0.1:0", "--data", text(dir.path())];
        let said = seawall(&up, "").fails(4);
        assert!(said.contains(&addr) && said.contains(&listener[2..]), "{said}");
    }
}
