use super::*;

const LETTERS: &str = "/v1/pipelines/orders/dead-letters";

async fn with_letters(count: usize) -> Process {
    let process = Process::start().await;
    process.service.answer(422);
    for n in 0..count {
        assert_eq!(process.post(&format!("customer-{n}"), &format!("order {n}")).await.status, 201);
    }
    process.eventually("dead letters", |p| p["dead_letters"]["count"] == count).await;
    process
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_are_listed_searched_and_shown() {
    let process = with_letters(7).await;
    let first = process.get(&format!("{LETTERS}?limit=3")).await.json();
    assert_eq!(first["items"].as_array().map(Vec::len), Some(3));
    let letter = &first["items"][0];
    assert_eq!(
        (&letter["class"], &letter["attempts"], &letter["origin"]["topic"]),
        (&json!("permanent"), &json!(1), &json!("orders"))
    );
    assert!(
        letter["error"].as_str().is_some_and(|e| e.contains("422") && e.contains("no such article")),
        "{letter}"
    );
    let mut seen = 3;
    let mut next = first["next"].clone();
    while let Some(after) = next.as_str() {
        let page = process.get(&format!("{LETTERS}?limit=3&after={after}")).await.json();
        seen += page["items"].as_array().map_or(0, Vec::len);
        next = page["next"].clone();
    }
    assert_eq!(seen, 7, "pages overlap in nothing and leave nothing out");
    let found = process.get(&format!("{LETTERS}?q=CUSTOMER-5")).await.json();
    assert_eq!(
        (found["items"].as_array().map(Vec::len), &found["items"][0]["key"]),
        (Some(1), &json!("customer-5"))
    );
    let place = format!("{LETTERS}/{}/{}", letter["partition"], letter["offset"]);
    let whole = process.get(&place).await.json();
    assert!(whole["value"].as_str().is_some_and(|value| value.starts_with("order ")), "{whole}");
    assert!(whole["headers"].as_array().is_some_and(|h| h.iter().any(|pair| pair[0] == "seawall-dlq-error")));
    for missing in ["0/999", "9/0", "x/0"] {
        let status = process.get(&format!("{LETTERS}/{missing}")).await.status;
        assert!(matches!(status, 404 | 400), "{missing}: {status}");
    }
    assert_eq!(process.get(&format!("{LETTERS}?limit=0")).await.status, 400);
    assert_eq!(process.get(&format!("{LETTERS}?after=yesterday")).await.status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redriven_letter_keeps_its_token_and_is_never_listed_again() {
    let process = with_letters(5).await;
    let (before, _) = process.service.last();
    let token = before["x-idempotent-token"].to_str().expect("text").to_owned();
    let found = process.get(LETTERS).await.json();
    let items = found["items"].as_array().expect("a list").clone();
    let letter = items.iter().find(|l| l["token"] == token.as_str()).expect("listed").clone();
    process.service.answer(200);
    let id = json!({ "partition": letter["partition"], "offset": letter["offset"] });
    let reply =
        process.admin("POST", &format!("{LETTERS}/redrive"), &json!({ "ids": [id], "rate": 1000 })).await;
    assert_eq!((reply.status, &reply.json()["redriven"]), (200, &json!(1)), "{reply:?}");
    process.eventually("redriven", |p| p["totals"]["acked"] == 1 && p["dead_letters"]["count"] == 4).await;
    let (headers, _) = process.service.last();
    assert_eq!(headers["x-idempotent-token"].to_str().expect("text"), token);
    assert!(headers.contains_key("seawall-header-seawall-redriven-from"), "{headers:?}");
    assert!(headers.keys().all(|name| !name.as_str().contains("seawall-dlq")), "{headers:?}");

    let process = process.restart().await;
    assert_eq!(process.pipeline()["dead_letters"]["count"], 4, "what was redriven stays redriven");
    let rest =
        process.admin("POST", &format!("{LETTERS}/redrive"), &json!({ "all": true, "rate": 1000 })).await;
    assert_eq!(rest.json()["redriven"], 4, "{rest:?}");
    process
        .eventually("all redriven", |p| p["totals"]["acked"] == 4 && p["dead_letters"]["count"] == 0)
        .await;
    assert_eq!(process.get(LETTERS).await.json(), json!({ "items": [], "next": null }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_must_be_meant() {
    let process = with_letters(4).await;
    let purge = format!("{LETTERS}/purge");
    for (order, field) in [
        (json!({ "all": true }), "confirm"),
        (json!({ "all": true, "confirm": false }), "confirm"),
        (json!({ "confirm": true }), "ids"),
        (json!({ "confirm": true, "ids": [] }), "ids"),
        (json!({ "confirm": true, "all": true, "filter": "x" }), "ids"),
        (json!({ "confirm": true, "filter": "" }), "filter"),
        (json!({ "confirm": true, "ids": [{ "partition": 0 }] }), "ids[0]"),
    ] {
        let reply = process.admin("POST", &purge, &order).await;
        assert_eq!((reply.status, &reply.json()["field"]), (422, &json!(field)), "{order}: {reply:?}");
    }
    assert_eq!(
        process.admin("POST", &format!("{LETTERS}/redrive"), &json!({ "all": true, "rate": 0 })).await.status,
        422
    );
    assert_eq!(process.pipeline()["dead_letters"]["count"], 4);
    let some = process.admin("POST", &purge, &json!({ "filter": "order 2", "confirm": true })).await;
    assert_eq!(some.json(), json!({ "count": 1 }));
    let all = process.admin("POST", &purge, &json!({ "all": true, "confirm": true })).await;
    assert_eq!(all.json(), json!({ "count": 3 }));
    let process = process.restart().await;
    assert_eq!(process.pipeline()["dead_letters"]["count"], 0);
}
