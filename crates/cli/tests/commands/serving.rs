//! `up` and `run`: from the first order to a clean end, and limits that change while running.

use crate::house::{self, seawall::Seawall, wait_for};
use crate::tool::{post, total, up};
use std::time::Duration;

const ACKED: &str = r#"seawall_records_total{pipeline="orders",outcome="acked"}"#;
const BOUND: Duration = Duration::from_mins(1);

#[test]
fn one_order_is_synced_delivered_and_seen_everywhere_and_never_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = up(dir.path(), "0");
    let answer = post(&server, "customer-7", br#"{"order":17}"#);
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.json()["durability"], "synced");
    wait_for("the acknowledgement in /metrics", BOUND, || (server.metric(ACKED) == Some(1.0)).then_some(()));
    assert_eq!(total(&server, "acked"), 1);
    for n in 0..20 {
        assert_eq!(post(&server, &format!("customer-{n}"), b"{}").status, 201);
    }
    house::settled(&server, 21);
    server.stop();

    let again = up(dir.path(), "0");
    house::idle(&again);
    assert_eq!(post(&again, "customer-7", b"{}").status, 201);
    house::settled(&again, 1);
    assert_eq!((total(&again, "fetched"), total(&again, "acked")), (1, 1), "nothing is delivered twice");
    again.stop();
}

/// Who has read the addresses may send a signal at once.
#[test]
fn a_signal_right_after_the_addresses_is_a_drain() {
    for _ in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let server = up(dir.path(), "0");
        let pid = i32::try_from(server.child.id()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        server.ended();
    }
}

#[test]
fn sighup_takes_new_limits_and_refuses_a_broken_file_whole() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("orders.toml");
    let config = house::config(dir.path(), ([127, 0, 0, 1], 9).into(), &house::ground::Ground::Log);
    std::fs::write(&file, &config).unwrap();
    let server = Seawall::run(&file);
    let limit = || server.overview()["pipelines"][0]["guard"]["concurrency"]["limit"].as_u64().unwrap();
    let said = |what: &str| {
        let said = server.said.lock().unwrap();
        said.iter().find(|line| line.contains(what)).cloned()
    };
    assert_eq!(limit(), house::CONCURRENCY);

    std::fs::write(&file, config.replace("concurrency = 64", "concurrency = 77")).unwrap();
    server.signal("HUP");
    wait_for("the new limit", BOUND, || (limit() == 77).then_some(()));

    std::fs::write(&file, config.replace("concurrency = 64", "concurency = 99")).unwrap();
    server.signal("HUP");
    let line = wait_for("the mistake is told", BOUND, || said("concurency"));
    assert!(line.contains("the old configuration stays in force") && line.contains("orders.toml:"), "{line}");
    assert!(line.contains("did you mean `concurrency`?"), "{line}");
    assert_eq!(limit(), 77);

    let other = config.replace("concurrency = 64", "concurrency = 55").replace("\"key\"", "\"partition\"");
    std::fs::write(&file, other).unwrap();
    server.signal("HUP");
    let line = wait_for("what needs a restart is told", BOUND, || said("ordering"));
    assert!(line.contains("the old configuration stays in force"), "{line}");
    assert_eq!(limit(), 77, "nothing of a refused file is taken");
    server.stop();
}
