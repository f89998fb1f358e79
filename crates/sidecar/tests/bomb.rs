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
/// The largest body.
const BODY_MAX: usize = 16 << 20;
/// What a body of that size may cost: to hold it, and half as much again for its buffers growing.
const BODY_KIB_MAX: u64 = 64 << 10;

/// Packed piece by piece: the bomb must not be in memory before it is thrown.
async fn bomb() -> Vec<u8> {
    let mut encoder = GzipEncoder::new(Vec::new());
    for _ in 0..UNPACKED / 16_384 {
        encoder.write_all(&[0; 16_384]).await.unwrap();
    }
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

/// `head`, then `piece` so often that all of it is just under the largest body, then `tail`.
async fn packed(head: &str, piece: &str, tail: &str) -> Vec<u8> {
    let mut encoder = GzipEncoder::new(Vec::new());
    encoder.write_all(head.as_bytes()).await.unwrap();
    let block = piece.repeat(4096);
    for _ in 0..(BODY_MAX - 4096) / block.len() {
        encoder.write_all(block.as_bytes()).await.unwrap();
    }
    encoder.write_all(tail.as_bytes()).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

/// How much more memory than before `post` needed, at its peak, in KiB.
async fn cost(post: impl Future<Output = ()>) -> u64 {
    // 5 sets the peak back to what is held now (proc_pid_clear_refs(5)).
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = memory_kib("VmRSS");
    post.await;
    memory_kib("VmHWM").saturating_sub(before)
}

/// The kernel's figure named `field` for this process, in KiB.
fn memory_kib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn post(addr: SocketAddr, content_type: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let head = format!(
        "POST /v1/topics/orders/records HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\
         content-encoding: gzip\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
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
    assert!(post(addr, "text/plain", &small).await.starts_with("HTTP/1.1 201"));
    let bomb = bomb().await;
    assert!(bomb.len() < 64 << 10, "{}", bomb.len());

    let grown = cost(async {
        for _ in 0..4 {
            let answer = post(addr, "text/plain", &bomb).await;
            assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        }
    });
    let grown = grown.await;
    assert!(grown < GROWTH_KIB_MAX, "the bomb cost {grown} KiB");

    // What fits and is only zeros: each must not become a value of its own before it is refused.
    let batch = ("application/cloudevents-batch+json", packed("[0", ",0", "]").await, "more than 10000");
    let headers = packed("{\"value\":1,\"headers\":{\"a\":[0", ",0", "]}}\n").await;
    let line = ("application/vnd.seawall.records+ndjson", headers, "neither text nor");
    for (content_type, body, says) in [batch, line] {
        assert!(body.len() < 64 << 10, "{}", body.len());
        let grown = cost(async {
            let answer = post(addr, content_type, &body).await;
            assert!(answer.contains(says), "{answer}");
        });
        let grown = grown.await;
        assert!(grown < BODY_KIB_MAX, "{content_type} cost {grown} KiB");
    }
    sidecar.stop().await;
}
