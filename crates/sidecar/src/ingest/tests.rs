use super::*;
use crate::config::BearerToken;
use crate::listen::client::{Reply, call, raw};
use crate::listen::{Bounds, Listening};
use async_compression::tokio::write::GzipEncoder;
use seawall_core::{Class, Fault, Limit, Outgoing, Record, Sink, SystemClock};
use seawall_guard::{ConcurrencyOptions, GuardOptions, RateOptions};
use seawall_kafka::sink::SinkError;
use seawall_kafka::{Connection, KafkaError, KafkaSink, SinkOptions};
use seawall_log::{Broker, BrokerOptions, Driver, LogError, TopicOptions};
use seawall_producer::SendError;
use seawall_wal::RealDisk;
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt;

struct Server {
    addr: SocketAddr,
    broker: Broker,
    counts: Arc<Counts>,
    _listening: Listening,
    _dir: tempfile::TempDir,
}

const MAX_BODY: usize = 64 * 1024;
const SECOND: Duration = Duration::from_secs(1);

fn guard(options: GuardOptions) -> Guard {
    Guard::new(options, Arc::new(SystemClock::new()), 1).expect("valid")
}

async fn server() -> Server {
    with(|_| ()).await
}

fn broker(dir: &std::path::Path) -> Broker {
    let (broker, _) =
        Broker::open(RealDisk, BrokerOptions::new(dir), Arc::new(SystemClock::new()), Driver::Thread)
            .expect("open");
    broker.create_topic("orders", TopicOptions::partitions(4)).expect("made");
    broker
}

fn ingest(broker: Broker, bound: SocketAddr) -> Ingest {
    let unlimited = GuardOptions {
        concurrency: ConcurrencyOptions { limit: 1_000_000, ..ConcurrencyOptions::default() },
        ..GuardOptions::default()
    };
    Ingest {
        sink: Destination::Log(broker),
        clock: Arc::new(SystemClock::new()),
        access: Access { bound, hosts: Vec::new(), token: None },
        requests: guard(unlimited.clone()),
        records: guard(unlimited),
        max_body: MAX_BODY,
        memory: Arc::new(Memory::new(2 * MAX_BODY)),
        body_timeout: Duration::from_millis(300),
        counts: Arc::new(Counts::default()),
        stop: CancellationToken::new(),
    }
}

async fn with(change: impl FnOnce(&mut Ingest)) -> Server {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = broker(dir.path());
    let (listener, bound) = Listening::bind("127.0.0.1:0".parse().expect("an address")).await.expect("bound");
    let mut ingest = ingest(broker.clone(), bound);
    change(&mut ingest);
    let counts = ingest.counts.clone();
    let listening = Listening::serve(listener, Arc::new(ingest), Bounds::default()).expect("serving");
    Server { addr: bound, broker, counts, _listening: listening, _dir: dir }
}

const PATH: &str = "/v1/topics/orders/records";

impl Server {
    async fn post(&self, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        call(self.addr, "POST", PATH, headers, body).await
    }

    async fn get(&self, path: &str) -> Reply {
        call(self.addr, "GET", path, &[], b"").await
    }

    fn stored(&self) -> u64 {
        (0..4).map(|p| self.broker.end_offset("orders", p).expect("there")).sum()
    }
}

#[tokio::test]
async fn the_answer_is_the_receipt_and_the_record_is_there() {
    let server = server().await;
    let reply = server.post(&[("seawall-key", "c7"), ("ce-id", "order-17")], b"one anchor").await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let receipt = reply.json();
    assert_eq!(
        (&receipt["durability"], &receipt["token"], &receipt["offset"]),
        (&"synced".into(), &"order-17".into(), &0.into())
    );
    let partition = u32::try_from(receipt["partition"].as_u64().expect("a number")).expect("small");
    let limit = Limit { records: 10, bytes: 1 << 20 };
    let batch = server.broker.fetch("orders", partition, 0, limit).expect("read");
    assert_eq!(batch.records[0].record.value, "one anchor");
    assert_eq!(batch.records[0].record.key.as_deref(), Some(&b"c7"[..]));
    assert_eq!(server.counts.accepted(), 1);
}

#[tokio::test]
async fn what_is_safer_than_asked_stays_so() {
    let server = server().await;
    for asked in ["synced", "buffered"] {
        let reply = server.post(&[("seawall-durability", asked)], b"x").await;
        assert_eq!((reply.status, &reply.json()["durability"]), (201, &"synced".into()), "{asked}");
    }
}

#[tokio::test]
async fn every_content_mode_is_taken() {
    let server = server().await;
    let event = r#"{"specversion":"1.0","id":"a","source":"/s","type":"t","data":{"n":1}}"#;
    let structured = [("content-type", "application/cloudevents+json")];
    assert_eq!(server.post(&structured, event.as_bytes()).await.status, 201);
    let binary = [("ce-specversion", "1.0"), ("ce-id", "b"), ("ce-source", "/s"), ("ce-type", "t")];
    assert_eq!(server.post(&binary, b"x").await.json()["token"], "b");
    let batch = [("content-type", "application/cloudevents-batch+json")];
    let reply = server.post(&batch, format!("[{event},{event}]").as_bytes()).await;
    assert_eq!((reply.status, reply.json().as_array().map(Vec::len)), (201, Some(2)));
    let reply = server.post(&batch, format!("[{event},{{}}]").as_bytes()).await;
    assert_eq!(
        (reply.status, &reply.json()[0]["status"], &reply.json()[1]["status"]),
        (207, &201.into(), &400.into())
    );
    let lines = [("content-type", "application/x-ndjson"), ("seawall-key", "k")];
    assert_eq!(server.post(&lines, b"{\"a\":1}\n{\"a\":2}\n").await.json().as_array().map(Vec::len), Some(2));
    assert_eq!(server.post(&[], b"plain").await.status, 201);
    let chunked = "POST /v1/topics/orders/records?key=k HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                   transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert_eq!(raw(server.addr, chunked.as_bytes()).await.expect("an answer").status, 201);
    assert_eq!(server.stored(), 9);
}

#[tokio::test]
async fn what_was_written_is_read_back_as_lines() {
    let server = server().await;
    for n in 0..20 {
        let key = format!("c{n}");
        server.post(&[("seawall-key", &key)], n.to_string().as_bytes()).await;
    }
    let read = server.get(PATH).await;
    let mut values: Vec<u64> = read
        .text()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("json"))
        .map(|line| line["value"].as_str().expect("text").parse().expect("a number"))
        .collect();
    values.sort_unstable();
    assert_eq!(values, (0..20).collect::<Vec<_>>());
    assert_eq!(server.get(&format!("{PATH}?limit=3")).await.text().lines().count(), 3);
    let one = server.get(&format!("{PATH}?partition=2&from=1")).await.text();
    assert!(one.lines().all(|line| line.contains("\"partition\":2") && !line.contains("\"offset\":0,")));
    assert_eq!(server.get(&format!("{PATH}?from=end")).await.text(), "");
    let lines = [("content-type", line::CONTENT_TYPE)];
    assert_eq!(server.post(&lines, read.body.as_slice()).await.status, 201, "what was read can be written");
    let topics = server.get("/v1/topics").await.json();
    assert_eq!(
        (&topics["topics"][0]["name"], topics["topics"][0]["partitions"].as_array().map(Vec::len)),
        (&"orders".into(), Some(4))
    );
}

use crate::line;

#[tokio::test]
async fn a_follower_sees_what_comes_later() {
    let server = server().await;
    let addr = server.addr;
    let path = format!("{PATH}?follow=true&from=end&limit=2");
    let follower = tokio::spawn(async move { call(addr, "GET", &path, &[], b"").await });
    let mut sent = 0;
    while !follower.is_finished() && sent < 10_000 {
        server.post(&[], b"x").await;
        sent += 1;
    }
    assert_eq!(follower.await.expect("ended by its limit").text().lines().count(), 2);
}

/// The partitions that have nothing more to give must not keep the answer open.
#[tokio::test]
async fn a_follower_ends_at_its_limit_where_nothing_comes_later() {
    let server = server().await;
    for _ in 0..2 {
        assert_eq!(server.post(&[("seawall-key", "one")], b"x").await.status, 201);
    }
    let path = format!("{PATH}?follow=true&limit=2");
    let ended = tokio::time::timeout(Duration::from_secs(5), server.get(&path)).await.expect("ended");
    assert_eq!(ended.text().lines().count(), 2);
}

/// Method, path, headers; status, and what the problem says.
type Case = (&'static str, &'static str, Vec<(&'static str, &'static str)>, u16, &'static str);

#[tokio::test]
async fn mistakes_get_their_problem_and_store_nothing() {
    let server = server().await;
    let cases: [Case; 22] = [
        ("POST", "/v1/topics/ordres/records", vec![], 404, "did you mean \\\"orders\\\""),
        ("POST", "/v1/topics/%2e%2e%2fetc/records", vec![], 400, "topic name"),
        ("POST", "/v1/topics/../records", vec![], 400, "directory's own name"),
        ("POST", "/v1/topics/a%0d%0ab/records", vec![], 400, "topic name"),
        ("POST", "/v1/topics/%ff/records", vec![], 400, "UTF-8"),
        ("POST", "/v1/topics/orders", vec![], 404, "nothing is here"),
        ("PUT", PATH, vec![], 405, "GET, POST"),
        ("POST", "/v1/topics/orders/records?kye=1", vec![], 400, "did you mean \\\"key\\\""),
        ("POST", "/v1/topics/orders/records?key=a&key=b", vec![], 400, "twice"),
        ("POST", "/v1/topics/orders/records?key=a%0d%0aX-Evil:%201", vec![], 400, "control character"),
        ("POST", PATH, vec![("seawall-key", "a%0d%0aX-Evil:%201")], 400, "control character"),
        ("POST", PATH, vec![("content-encoding", "br")], 415, "gzip"),
        ("POST", PATH, vec![("content-encoding", "gzip")], 400, "not valid gzip"),
        ("POST", PATH, vec![("host", "evil.example")], 403, "evil.example"),
        ("POST", PATH, vec![("origin", "http://evil.example")], 403, "evil.example"),
        ("POST", PATH, vec![("seawall-durability", "safe")], 400, "replicated, synced or buffered is right"),
        (
            "POST",
            PATH,
            vec![("seawall-durability", "synced"), ("seawall-durability", "synced")],
            400,
            "twice",
        ),
        (
            "POST",
            PATH,
            vec![("seawall-durability", "replicated")],
            400,
            "what log gives is \\\"synced\\\" at best",
        ),
        ("GET", "/v1/topics/orders/records?partition=4", vec![], 400, "0 to 3"),
        ("GET", "/v1/topics/orders/records?from=soon", vec![], 400, "no number"),
        ("GET", "/v1/topics/orders/records?follow=maybe", vec![], 400, "true or false"),
        ("GET", "/v1/topics/nothing/records", vec![], 404, "no topic"),
    ];
    for (method, path, headers, status, says) in cases {
        let reply = call(server.addr, method, path, &headers, b"x").await;
        assert_eq!(reply.status, status, "{method} {path} {headers:?}: {reply:?}");
        assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{path}");
        assert!(reply.text().contains(says), "{path}: {}", reply.text());
        assert!(!reply.head.to_ascii_lowercase().contains("x-evil"), "{path}");
    }
    assert_eq!(server.stored(), 0);
    assert!(server.counts.refused(Refused::Invalid) > 0);
}

#[tokio::test]
async fn large_bodies_are_refused() {
    let server = server().await;
    let large = vec![b'x'; MAX_BODY + 1];
    assert_eq!(server.post(&[], &large).await.status, 413);
    assert_eq!(server.post(&[], &large[1..]).await.status, 201);
    let chunk = format!("{:x}\r\n{}\r\n", MAX_BODY, "x".repeat(MAX_BODY));
    let chunked = format!(
        "POST {PATH} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"
    );
    assert_eq!(raw(server.addr, chunked.as_bytes()).await.map(|reply| reply.status), Some(413));
    assert_eq!(server.stored(), 1);
}

async fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzipEncoder::new(Vec::new());
    encoder.write_all(bytes).await.expect("packed");
    encoder.shutdown().await.expect("packed");
    encoder.into_inner()
}

#[tokio::test]
async fn gzip_is_taken_and_what_unpacks_to_too_much_is_not() {
    let server = server().await;
    let packed = [("content-encoding", "gzip"), ("seawall-key", "k")];
    assert_eq!(server.post(&packed, &gzip(b"small").await).await.status, 201);
    assert_eq!(server.post(&packed, &gzip(&vec![0; MAX_BODY]).await).await.status, 201);
    assert_eq!(server.post(&packed, &gzip(&vec![0; MAX_BODY + 1]).await).await.status, 413);
    let mut half = gzip(b"cut off").await;
    half.truncate(half.len() - 6);
    assert_eq!(server.post(&packed, &half).await.status, 400);
    assert_eq!(server.stored(), 2);
}

#[tokio::test]
async fn a_slow_body_is_cut_off() {
    let server = server().await;
    let slow = format!("POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nabc");
    let reply = raw(server.addr, slow.as_bytes()).await.expect("an answer, then the end");
    assert_eq!(reply.status, 408);
    assert_eq!(server.stored(), 0);
}

#[tokio::test]
async fn limits_refuse_by_name_and_say_when_to_come_back() {
    let rate = RateOptions { per_second: 0.001, burst: 3 };
    let server =
        with(|ingest| ingest.records = guard(GuardOptions { rate: Some(rate), ..GuardOptions::default() }))
            .await;
    let lines = [("content-type", "application/x-ndjson")];
    let reply = server.post(&lines, b"1\n2\n").await;
    assert_eq!(reply.status, 201);
    let reply = server.post(&lines, b"3\n4\n").await;
    assert_eq!(
        (reply.status, &reply.json()[0]["status"], &reply.json()[1]["status"]),
        (207, &201.into(), &429.into())
    );
    let comes_back =
        |reply: &Reply| reply.header("retry-after").is_some_and(|s| s.parse::<u64>().is_ok_and(|s| s >= 1));
    assert!(comes_back(&reply), "{reply:?}");
    let reply = server.post(&[], b"5").await;
    assert_eq!(reply.status, 429);
    assert!(comes_back(&reply), "{reply:?}");
    assert_eq!((server.stored(), server.counts.refused(Refused::Rate)), (3, 2));
    // Of a batch none was taken: no client must take that for success.
    let reply = server.post(&lines, b"6\n7\n").await;
    assert_eq!((reply.status, &reply.json()["type"]), (429, &"urn:seawall:problem:rate".into()));
    assert!(comes_back(&reply), "{reply:?}");
    assert_eq!((server.stored(), server.counts.refused(Refused::Rate)), (3, 4));

    let one = GuardOptions {
        concurrency: ConcurrencyOptions { limit: 1, ..ConcurrencyOptions::default() },
        ..GuardOptions::default()
    };
    let requests = guard(one);
    let held = requests.try_acquire().expect("the only permit");
    let server = with(|ingest| ingest.requests = requests.clone()).await;
    let reply = server.post(&[], b"x").await;
    assert_eq!((reply.status, reply.json()["type"].clone()), (503, "urn:seawall:problem:concurrency".into()));
    drop(held);
    assert_eq!(server.post(&[], b"x").await.status, 201);
}

#[tokio::test]
async fn a_token_is_demanded_where_one_is_set() {
    let token = BearerToken::new("ingest", "0123456789abcdef").expect("fit");
    let server = with(|ingest| ingest.access.token = Some(token)).await;
    assert_eq!(server.post(&[], b"x").await.status, 401);
    assert_eq!(server.post(&[("authorization", "Bearer 0123456789abcdeX")], b"x").await.status, 401);
    assert_eq!(server.get(PATH).await.status, 401);
    assert_eq!(server.stored(), 0);
    assert_eq!(server.post(&[("authorization", "Bearer 0123456789abcdef")], b"x").await.status, 201);
}

#[test]
fn a_topic_of_which_nobody_knows_is_refused_with_what_would_have_it_taken() {
    let away = Fault::new(Class::Transient, "listing topics: no broker");
    let problem = append::nobody_knows(&away, "orders", "east").to_json();
    assert_eq!(problem["status"], 503);
    let detail = problem["detail"].as_str().expect("words");
    for part in ["no broker", "[[topic]]", "\"orders\"", "cluster = \"east\"", "[producer]"] {
        assert!(detail.contains(part), "{detail}");
    }
}

/// What a caller is told of a bound has the name under which it is set.
#[test]
fn a_record_over_the_producers_bound_is_told_with_its_setting() {
    let problem = problem_of(&Fault::from(SendError::TooLarge { bytes: 20_049, max: 10_240 }));
    assert_eq!(problem.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let detail = "a record of 20049 bytes is larger than 10240, the bound of producer.record_max";
    assert_eq!(problem.detail(), detail);
}

#[test]
fn the_page_for_callers_names_what_is_spoken() {
    let page = include_str!("../../../../docs/http.md");
    let lower = page.to_lowercase();
    let bound = event::BATCH_RECORDS_MAX / 1_000;
    for name in [
        crate::cloudevents::structured::CONTENT_TYPE,
        crate::cloudevents::structured::BATCH_CONTENT_TYPE,
        line::CONTENT_TYPE,
        "application/x-ndjson",
        event::KEY_HEADER,
        DURABILITY_HEADER,
        &format!("at most {bound},000 records"),
    ] {
        assert!(lower.contains(name), "{name}");
    }
    for parameter in ["key", "partition", "from", "limit", "follow"] {
        assert!(
            page.contains(&format!("`{parameter}`")) || page.contains(&format!("?{parameter}=")),
            "{parameter}"
        );
    }
    for status in [201, 202, 207, 400, 401, 404, 408, 413, 415, 429, 502, 503, 504, 507] {
        assert!(page.contains(&format!("\n| {status}")), "{status}");
    }
}

#[tokio::test]
async fn the_bodies_of_all_requests_together_have_a_bound() {
    let memory = Arc::new(Memory::new(2 * MAX_BODY));
    let shared = Arc::clone(&memory);
    let server = with(|ingest| {
        ingest.memory = shared;
        ingest.body_timeout = Duration::from_secs(20);
    })
    .await;
    let head = |length: usize| {
        format!("POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n").into_bytes()
    };
    // Two clients have sent nearly all of a large body.
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut stream = tokio::net::TcpStream::connect(server.addr).await.expect("connected");
        stream.write_all(&[head(MAX_BODY), vec![b'x'; MAX_BODY - 1]].concat()).await.expect("sent");
        slow.push(stream);
    }
    while memory.used() < 2 * (MAX_BODY - 1) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let reply = server.post(&[], b"three").await;
    assert_eq!((reply.status, &reply.json()["limit"]), (503, &"memory".into()), "{reply:?}");
    assert!(reply.header("retry-after").is_some() && server.counts.refused(Refused::Memory) == 1);
    assert_eq!(server.post(&[], b"xy").await.status, 201, "what fits is taken");
    drop(slow);
    while memory.used() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Packed, it takes what was sent and what that unpacks to, and gives back both.
    let mut encoder = GzipEncoder::new(Vec::new());
    encoder.write_all(&vec![b'z'; MAX_BODY]).await.expect("packed");
    encoder.shutdown().await.expect("packed");
    let packed = [("content-encoding", "gzip")];
    assert_eq!(server.post(&packed, &encoder.into_inner()).await.status, 201);
    assert_eq!(memory.used(), 0);
}

/// Many clients take every 2xx for success.
#[tokio::test]
async fn a_list_of_which_nothing_has_a_receipt_is_no_success() {
    let dir = tempfile::tempdir().expect("a directory");
    let ingest = ingest(broker(dir.path()), "127.0.0.1:1".parse().expect("an address"));
    let full =
        Problem::new(StatusCode::INSUFFICIENT_STORAGE, "disk-full", "The disk is full", "x").after(SECOND);
    let late = |left: &str| {
        Problem::new(StatusCode::GATEWAY_TIMEOUT, "timed-out", "Late", "x").after(SECOND).with("left", left)
    };
    let answered = |problems: Vec<Problem>| {
        let told = ingest.answer_batch("orders", problems.into_iter().map(Err).collect());
        told.map_or_else(
            |problem| (problem.status().as_u16(), problem.to_json()),
            |response| (response.status().as_u16(), serde_json::Value::Null),
        )
    };
    assert_eq!(answered(vec![full.clone(), full.clone()]).0, 507);
    // Rather twice, under the same id, than never.
    let (status, told) = answered(vec![late("spilled"), late("unknown"), late("spilled")]);
    assert_eq!((status, &told["left"]), (504, &"unknown".into()));
    assert_eq!(answered(vec![late("spilled"), full.clone()]).0, 507);
    assert_eq!(
        answered(vec![full, Problem::bad_request("key", "x")]).0,
        207,
        "a mistake is told at its place"
    );
}

#[tokio::test]
async fn what_may_have_been_written_is_not_told_as_refused() {
    let left = |fault: Fault| {
        let problem = append::of_record(&fault);
        (problem.status().as_u16(), problem.to_json()["left"].clone())
    };
    assert_eq!(left(LogError::Unconfirmed.into()), (504, "unknown".into()));
    assert_eq!(left(SinkError::Unanswered { topic: "orders".to_owned() }.into()), (504, "unknown".into()));
    let options = SinkOptions { delivery_timeout: SECOND, close_within: SECOND, ..SinkOptions::default() };
    let nowhere = KafkaSink::open(&Connection::new(["127.0.0.1:1"]), &options).expect("open");
    let record = Record::new(None, "x");
    let answers = nowhere.send(vec![Outgoing { topic: "orders".into(), partition: None, record }]).await;
    let [Err(fault)] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(left(fault.clone()), (504, "unknown".into()), "{fault}");
    // These were not given to anybody.
    assert_eq!(left(KafkaError::Closed.into()), (503, serde_json::Value::Null));
    assert_eq!(left(LogError::Closed.into()), (503, serde_json::Value::Null));
}

#[tokio::test]
async fn what_is_read_back_does_not_end_in_silence_where_the_process_stops() {
    let stop = CancellationToken::new();
    let shared = stop.clone();
    let server = with(|ingest| ingest.stop = shared).await;
    // More than the reader is sent ahead of what it takes.
    for _ in 0..400 {
        assert_eq!(server.post(&[], &vec![b'x'; MAX_BODY]).await.status, 201);
    }
    let mut stream = tokio::net::TcpStream::connect(server.addr).await.expect("connected");
    let get = format!("GET {PATH} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(get.as_bytes()).await.expect("sent");
    stream.readable().await.expect("an answer");
    stop.cancel();
    let mut text = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut text).await.expect("read");
    assert!(text.len() < 20 << 20, "it was cut");
    let last = text.lines().rfind(|line| line.starts_with('{')).expect("a line");
    assert!(last.contains("urn:seawall:problem:unavailable") && last.contains("not all"), "{}", &last[..200]);
}
