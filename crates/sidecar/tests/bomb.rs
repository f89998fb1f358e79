//! A gzip bomb is refused and costs no memory. Alone in its program: the peak is the process's.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use async_compression::tokio::write::GzipEncoder;
use seawall_sidecar::config;
use seawall_sidecar::run::{Sidecar, StartOptions};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What the bomb unpacks to.
const UNPACKED: usize = 50 << 20;
/// What refusing it may cost.
const GROWTH_KIB_MAX: u64 = 8 << 10;

/// Packed piece by piece: the bomb must not be in memory before it is thrown.
async fn bomb() -> Vec<u8> {
    let mut encoder = GzipEncoder::new(Vec::new());
    for _ in 0..UNPACKED / 16_384 {
        encoder.write_all(&[0; 16_384]).await.unwrap();
    }
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

/// The kernel's figure named `field` for this process, in KiB.
fn memory_kib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn post(addr: SocketAddr, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let head = format!(
        "POST /v1/topics/orders/records HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\
         content-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_bomb_is_refused_and_costs_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "[data]\ndir = {:?}\n[ingest]\naddr = \"127.0.0.1:0\"\nmax_body = \"16MiB\"\n\
         [admin]\naddr = \"127.0.0.1:0\"\n[[topic]]\nname = \"orders\"\n",
        dir.path().join("data")
    );
    let sidecar =
        Sidecar::start(config::parse(&text, "bomb.toml").unwrap(), StartOptions::default()).await.unwrap();
    let addr = sidecar.ingest_addr();
    let small = {
        let mut encoder = GzipEncoder::new(Vec::new());
        encoder.write_all(b"small").await.unwrap();
        encoder.shutdown().await.unwrap();
        encoder.into_inner()
    };
    assert!(post(addr, &small).await.starts_with("HTTP/1.1 201"));
    let bomb = bomb().await;
    assert!(bomb.len() < 64 << 10, "{}", bomb.len());

    // 5 sets the peak back to what is held now (proc_pid_clear_refs(5)).
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = memory_kib("VmRSS");
    for _ in 0..4 {
        let answer = post(addr, &bomb).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
    let grown = memory_kib("VmHWM").saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "the bomb cost {grown} KiB");
    sidecar.stop().await;
}
