use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_goes_all_the_way_and_is_seen_everywhere() {
    let process = Process::start().await;
    let receipt = process.post("c7", "one anchor").await;
    assert_eq!(receipt.status, 201, "{receipt:?}");
    let token = receipt.json()["token"].as_str().expect("a token").to_owned();
    process.eventually("acknowledged", |p| p["totals"]["acked"] == 1).await;
    let (headers, body) = process.service.last();
    assert_eq!(
        (headers["x-idempotent-token"].to_str().expect("text"), &body[..]),
        (token.as_str(), &b"one anchor"[..])
    );
    assert_eq!(headers["ce-partitionkey"], "c7");
    assert_ne!(headers["seawall-fence"], "0", "the claim's fence reaches the effect");
    process.eventually("at rest", |p| p["in_flight"] == 0 && p["claims"]["done"] == 1).await;

    let overview = process.get("/v1/overview").await.json();
    assert_eq!(overview["ingest"]["accepted"], 1);
    let partitions = overview["pipelines"][0]["partitions"].as_array().expect("a list").clone();
    assert_eq!(partitions.len(), 8);
    assert!(partitions.iter().all(|p| p["ledger"]["imbalance"] == 0 && p["lag"] == 0), "{partitions:?}");

    let metrics = process.get("/metrics").await;
    assert_eq!(metrics.header("content-type"), Some(crate::metrics::CONTENT_TYPE));
    let text = metrics.text();
    for line in [
        "seawall_records_total{pipeline=\"orders\",outcome=\"acked\"} 1",
        "seawall_records_total{pipeline=\"orders\",outcome=\"dead_lettered\"} 0",
        "seawall_in_flight{pipeline=\"orders\"} 0",
        "seawall_guard_refusals_total{pipeline=\"orders\",limit=\"breaker\"} 0",
        "seawall_handler_seconds_count{pipeline=\"orders\"} 1",
        "seawall_claims_total{pipeline=\"orders\",store=\"embedded\",result=\"granted\"} 1",
        "seawall_claims_forgotten_early_total{pipeline=\"orders\",store=\"embedded\"} 0",
        "seawall_ingest_records_total 1",
        "seawall_log_writable 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    for name in [
        "kafka_consumer_lag{group=\"orders\",topic=\"orders\",partition=\"0\",client_id=\"seawall\"} 0",
        "seawall_parked{pipeline=\"orders\"",
        "seawall_ledger_imbalance{pipeline=\"orders\"",
        "log_panic_total ",
    ] {
        assert!(text.lines().any(|found| found.starts_with(name)), "{name} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_not_delivered_again_after_a_restart() {
    let process = Process::start().await;
    for n in 0..50 {
        assert_eq!(process.post(&format!("c{n}"), "x").await.status, 201);
    }
    process.eventually("acknowledged", |p| p["totals"]["acked"] == 50).await;
    let process = process.restart().await;
    process.post("c1", "y").await;
    process.eventually("acknowledged", |p| p["totals"]["acked"].as_u64() >= Some(1)).await;
    assert_eq!((process.service.seen(), &process.service.last().1[..]), (51, &b"y"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_pipeline_waits_and_a_resumed_one_goes_on() {
    let process = Process::start().await;
    assert_eq!(process.admin("POST", "/v1/pipelines/orders/pause", &json!({})).await.status, 200);
    process.eventually("paused", |p| p["state"] == "paused").await;
    process.post("c7", "x").await;
    assert_eq!(process.service.seen(), 0);
    assert_eq!(process.admin("POST", "/v1/pipelines/orders/resume", &json!({})).await.status, 200);
    process.eventually("acknowledged", |p| p["totals"]["acked"] == 1).await;
    let one = "/v1/pipelines/orders/pause?topic=orders&partition=3";
    assert_eq!(process.admin("POST", one, &json!({})).await.status, 200);
    process.eventually("one paused", |p| p["partitions"][3]["paused"] == true).await;
    assert_eq!(process.pipeline()["partitions"][2]["paused"], false);
    let none = process.admin("POST", "/v1/pipelines/orders/pause?partition=99", &json!({})).await;
    assert_eq!(none.status, 404);
    assert!(none.text().contains("orders/0"), "{}", none.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_change_while_running_and_bad_ones_change_nothing() {
    let process = Process::start().await;
    let path = "/v1/pipelines/orders/limits";
    let changed = process
        .admin(
            "PATCH",
            path,
            &json!({ "concurrency": { "limit": 7 }, "rate": { "per_second": 90, "burst": 9 } }),
        )
        .await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(process.pipeline()["guard"]["concurrency"]["limit"], 7);
    assert_eq!(process.pipeline()["guard"]["rate"], json!({ "per_second": 90.0, "burst": 9 }));
    let bad = process.admin("PATCH", path, &json!({ "concurrency": { "limit": 0 }, "rate": null })).await;
    assert_eq!((bad.status, bad.json()["field"].clone()), (422, json!("concurrency.limit")));
    assert_eq!(process.get(path).await.json()["concurrency"]["limit"], 7);
    assert_eq!(process.get(path).await.json()["rate"]["per_second"], 90);

    // The file: a good change, a mistake, a change that needs a restart.
    let good = std::fs::read_to_string(process.file()).expect("the config");
    let reload = async |text: String| {
        std::fs::write(process.file(), text).expect("written");
        process.admin("POST", "/v1/config/reload", &json!({})).await
    };
    let reply = reload(format!("{good}guard.concurrency = 11\n")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(process.pipeline()["guard"]["concurrency"]["limit"], 11);
    let reply = reload(format!("{good}guard.concurency = 12\n")).await;
    assert_eq!(reply.status, 422);
    assert!(reply.text().contains("did you mean `concurrency`?"), "{}", reply.text());
    let reply = reload(format!("{good}guard.concurrency = 13\nordering = \"unordered\"\n")).await;
    assert_eq!(reply.status, 422);
    assert!(reply.text().contains("a restart is needed for pipeline[0].ordering"), "{}", reply.text());
    let moved = good.replace("[admin]\naddr = \"127.0.0.1:0\"", "[admin]\naddr = \"127.0.0.1:1\"");
    let reply = reload(moved.replace("/data\"", "/other\"")).await;
    assert_eq!(reply.status, 422, "{reply:?}");
    assert!(reply.text().contains("a restart is needed for admin.addr, data.dir"), "{}", reply.text());
    assert_eq!(process.pipeline()["guard"]["concurrency"]["limit"], 11, "what was in force stays in force");
}

/// An address of the command line is no change of the file, and the file's is none while it stands over it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_over_the_files_stays_through_a_reload() {
    let process = Process::start().await;
    let file = process.file();
    let written = std::fs::read_to_string(&file).expect("the config");
    process.sidecar.stop().await;
    let start = async |admin| {
        std::fs::write(
            &file,
            written.replace("[admin]\naddr = \"127.0.0.1:0\"", "[admin]\naddr = \"127.0.0.1:1\""),
        )
        .expect("written");
        let addresses = Addresses { admin, ..Addresses::default() };
        let options = StartOptions { addresses, ..StartOptions::default() };
        Sidecar::start(config::load(&file).expect("valid"), options).await
    };
    let sidecar = start(Some("127.0.0.1:0".parse().expect("an address"))).await.expect("started");
    sidecar.reload(config::load(&file).expect("valid")).expect("the file is as it was");
    std::fs::write(&file, &written).expect("written");
    sidecar
        .reload(config::load(&file).expect("valid"))
        .expect("the command line's address stands over the file's");
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_on_the_directory_is_refused_by_name() {
    let process = Process::start().await;
    let error = Process::open(&process.file()).await.expect_err("refused");
    assert!(
        matches!(&error, StartError::Log(source) if source.to_string().contains("one process owns")),
        "{error:?}"
    );
    assert!(!error.is_config());
    let taken = config::load(&process.file()).map(|mut config| {
        config.ingest.addr = process.sidecar.admin_addr();
        config
    });
    let error = Sidecar::start(taken.expect("valid"), StartOptions::default()).await.expect_err("refused");
    assert!(matches!(error, StartError::Bind { listener: "ingest", .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_of_the_command_line_is_not_open_to_the_network_without_a_token() {
    let dir = tempfile::tempdir().expect("a directory");
    let open: Option<SocketAddr> = Some("0.0.0.0:0".parse().expect("an address"));
    let sides = [
        ("ingest", Addresses { ingest: open, admin: None }),
        ("admin", Addresses { ingest: None, admin: open }),
    ];
    for (side, addresses) in sides {
        let options = StartOptions { addresses, ..StartOptions::default() };
        let mut config = Config::default();
        config.data.dir = dir.path().join("data");
        let error = Sidecar::start(config, options).await.expect_err("refused");
        assert!(error.is_config() && error.to_string().contains(&format!("{side}.token_file")), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_changes_of_the_limits_lose_neither() {
    let process = Process::start().await;
    let pipeline = &process.sidecar.shared.pipelines[0];
    std::thread::scope(|scope| {
        let changed = pipeline.change_limits(|mut limits| {
            let (begun, begins) = std::sync::mpsc::channel();
            let other = scope.spawn(move || {
                begun.send(()).expect("heard");
                pipeline.change_limits(|mut limits| {
                    limits.retry.attempts = 3;
                    Ok::<_, ()>(limits)
                })
            });
            begins.recv().expect("begun");
            std::thread::sleep(Duration::from_millis(50));
            assert!(!other.is_finished(), "it waits for this one");
            limits.guard.concurrency = config::Concurrency(7);
            Ok::<_, ()>(limits)
        });
        assert!(changed.expect("no objection").is_ok());
    });
    let limits = pipeline.limits();
    assert_eq!((limits.guard.concurrency, limits.retry.attempts), (config::Concurrency(7), 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_begins_with_a_snapshot_and_goes_on() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let process = Process::start().await;
    let addr = process.sidecar.admin_addr();
    let mut stream = tokio::net::TcpStream::connect(addr).await.expect("connected");
    let request = format!("GET /v1/events HTTP/1.1\r\nhost: {addr}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut text = String::new();
    let reading = async {
        let mut chunk = [0; 4096];
        while text.matches("event: snapshot\ndata: {").count() < 3 {
            let n = stream.read(&mut chunk).await.expect("read");
            assert!(n > 0, "ended early: {text}");
            text.push_str(&String::from_utf8_lossy(&chunk[..n]));
        }
    };
    tokio::time::timeout(Duration::from_mins(1), reading).await.expect("three snapshots");
    assert!(text.contains("text/event-stream"));
    tokio::time::timeout(Duration::from_mins(1), process.sidecar.stop())
        .await
        .expect("an open stream holds nothing up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_that_the_guard_does_not_let_in_yet_are_shown() {
    let slow = |text: String| text + "guard.rate = 1\nguard.burst = 1\n";
    let process = Process::changed("", slow).await;
    for key in 0..10 {
        assert_eq!(process.post(&format!("key-{key}"), "x").await.status, 201);
    }
    let waiting = |pipeline: &Value| pipeline["guard"]["concurrency"]["waiting"].as_u64();
    process.eventually("some wait", |pipeline| waiting(pipeline) > Some(3)).await;
}
