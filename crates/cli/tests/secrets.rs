//! Test 25 of the fault list, its last part: tokens reach whom they are for, and nobody else. Everything that Seawall
//! says at its most talkative, in logs, answers, metrics and listings, is searched for each of them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and its house prints why it is skipped"
)]
#![allow(missing_docs, unreachable_pub, reason = "the house is shared by test binaries, not published")]

mod house;

use house::ground::Ground;
use house::http;
use house::seawall::Seawall;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const INGEST: &str = "canary-ingest-5c1f0e7a9b";
const ADMIN: &str = "canary-admin-0d4e6b8f2a";
const PUSH: &str = "canary-push-7e3a91c5d2";
/// Not fit for a header, so the config that names it is refused.
const UNFIT: &str = "canary unfit 1b2c3d4e5f";

/// A service that takes the second try of each call, and keeps what it was sent as `Authorization`.
fn service() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (addr, seen) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let sent = Arc::clone(&seen);
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
            let _ = answer(stream, number, &sent);
        }
    });
    (addr, seen)
}

fn answer(stream: TcpStream, number: usize, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    while stream.read_line(&mut line)? > 2 {
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        } else if lower.starts_with("authorization:") {
            seen.lock().unwrap().push(line.trim().to_owned());
        }
        line.clear();
    }
    stream.read_exact(&mut vec![0; length])?;
    let status = if number.is_multiple_of(2) { "500 Internal Server Error" } else { "200 OK" };
    write!(stream.get_mut(), "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

fn config(dir: &Path, service: SocketAddr, admin: &Path) -> String {
    let mut text = house::config(dir, service, &Ground::Log);
    for (table, file) in [("[ingest]", &dir.join("ingest")), ("[pipeline.push]", &dir.join("push"))] {
        text = text.replacen(table, &format!("{table}\ntoken_file = '{}'", file.display()), 1);
    }
    write!(text, "\n[admin]\ntoken_file = '{}'\n", admin.display()).unwrap();
    text
}

/// What `seawall ARGUMENTS` prints at its most talkative, on both streams.
fn print(arguments: &[&str]) -> String {
    let out = Seawall::command(arguments).env("SEAWALL_LOG", "trace").output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

#[test]
fn no_token_is_in_logs_answers_metrics_listings_or_errors() {
    let (addr, seen) = service();
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name);
    for (name, token) in [("ingest", INGEST), ("admin", ADMIN), ("push", PUSH), ("unfit", UNFIT)] {
        std::fs::write(place(name), token).unwrap();
    }
    let file = place("orders.toml");
    std::fs::write(&file, config(dir.path(), addr, &place("admin"))).unwrap();
    let path = file.to_str().unwrap();

    let log = place("stderr");
    let mut child = Seawall::command(&["run", path, "--ingest", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .env("SEAWALL_LOG", "trace")
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let printed = |name: &str| {
        house::wait_for("Seawall prints its addresses", Duration::from_mins(1), || {
            let text = std::fs::read_to_string(&log).unwrap();
            let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
            rest.split(['/', ' ']).next()?.parse::<SocketAddr>().ok()
        })
    };
    let (ingest, admin) = (printed("ingest: http://"), printed("admin: http://"));

    let mut said = String::new();
    let mut ask = |addr: SocketAddr, method: &str, path: &str, token: Option<&str>, body: &[u8]| {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<(&str, &str)> =
            bearer.iter().map(|value| ("authorization", value.as_str())).collect();
        let answer = http::once(addr, method, path, &headers, body).unwrap();
        write!(said, "{:?}\n{}\n", answer.headers, answer.text()).unwrap();
        answer.status
    };
    let records = "/v1/topics/orders/records";
    for (token, status) in [(None, 401), (Some(ADMIN), 401), (Some(INGEST), 200)] {
        let got = ask(ingest, "POST", records, token, b"{}");
        assert!(got == status || (status == 200 && got < 300), "{token:?}: {got}");
    }
    house::wait_for(
        "the service is called with its token, and takes the order",
        Duration::from_mins(1),
        || (seen.lock().unwrap().len() >= 2).then_some(()),
    );
    assert!(seen.lock().unwrap().iter().all(|line| line.ends_with(PUSH)), "{:?}", seen.lock().unwrap());
    for token in [None, Some(INGEST), Some(ADMIN)] {
        for path in
            ["/metrics", "/v1/overview", "/v1/pipelines", "/v1/pipelines/orders", "/openapi.json", "/no/such"]
        {
            let status = ask(admin, "GET", path, token, b"");
            assert_eq!(status == 401, token != Some(ADMIN), "{path} with {token:?}: {status}");
        }
        ask(admin, "PATCH", "/v1/pipelines/orders/limits", token, b"{\"nonsense\": 1}");
    }
    // A reload that is refused says why, and not what the token is.
    std::fs::write(&file, config(dir.path(), addr, &place("unfit"))).unwrap();
    let status = ask(admin, "POST", "/v1/config/reload", Some(ADMIN), b"");
    assert!((400..500).contains(&status), "{status}");
    let status = std::process::Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status();
    assert!(status.unwrap().success());
    house::wait_for("Seawall ends", Duration::from_mins(1), || child.try_wait().unwrap());

    let refused = print(&["run", path, "--ingest", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    assert!(refused.contains("admin.token_file"), "{refused}");
    said.push_str(&refused);
    for arguments in [["config", "show", path].as_slice(), &["check", path]] {
        said.push_str(&print(arguments));
    }
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains("TRACE"), "the log is not at its most talkative:\n{log}");
    for token in [INGEST, ADMIN, PUSH, UNFIT] {
        for (what, text) in [("the log", &log), ("an answer or a listing", &said)] {
            let line = text.lines().find(|line| line.contains(token));
            assert_eq!(line, None, "{token} is in {what}");
        }
    }
}
