use super::*;

/// Without an order, and the first pause of a failed record is 1 to 2 s.
fn with_retry_topic(text: String) -> String {
    let text = text.replace("base = \"1ms\", max = \"5ms\"", "base = \"2s\", max = \"1h\"");
    text + "ordering = \"unordered\"\nretry_topic = [{ after = \"1s\", partitions = 2 }]\n"
}

/// What the partitions of `topic` hold.
fn held(pipeline: &Value, topic: &str) -> (usize, u64, u64) {
    let partitions = pipeline["partitions"].as_array().expect("a list");
    let of_topic: Vec<_> = partitions.iter().filter(|p| p["topic"] == topic).collect();
    let sum = |field: &str| of_topic.iter().map(|p| p[field].as_u64().expect("a number")).sum();
    (of_topic.len(), sum("lag"), sum("parked"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_pause_is_spent_in_a_topic_of_its_own_and_outlives_a_restart() {
    let process = Process::changed("", with_retry_topic).await;
    process.service.answer(500);
    for n in 0..5 {
        assert_eq!(process.post(&format!("customer-{n}"), "order").await.status, 201);
    }
    process
        .eventually("all wait elsewhere", |p| p["totals"]["deferred"] == 5 && held(p, "orders").1 == 0)
        .await;
    let metrics = process.get("/metrics").await;
    let counted = "seawall_records_total{pipeline=\"orders\",outcome=\"deferred\"} 5";
    assert!(String::from_utf8_lossy(&metrics.body).contains(counted), "{metrics:?}");
    assert_eq!(held(&process.pipeline(), "orders.retry.1s").0, 2);
    let (before, _) = process.service.last();

    let process = process.restart().await;
    process.service.answer(200);
    process.eventually("all is done", |p| p["totals"]["acked"] == 5).await;
    let (headers, _) = process.service.last();
    assert_eq!(
        (&headers["seawall-topic"], &headers["seawall-attempt"]),
        (&before["seawall-topic"], &"2".parse().expect("a value"))
    );
    process.eventually("nothing waits", |p| held(p, "orders.retry.1s") == (2, 0, 0)).await;
}
