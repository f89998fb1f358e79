//! A guard on an axum route: 429 with `Retry-After` for the rate, 503 for what is full.
#![cfg(not(loom))]
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

#[expect(dead_code, reason = "time stands still on these routes")]
mod manual;

use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode, header};
use axum::{Router, routing::get};
use manual::ManualClock;
use seawall_core::{Context, Delivery, Fault, Fence, Generation, Outcome, Record, TopicPartition};
use seawall_guard::{
    ConcurrencyOptions, Guard, GuardLayer, GuardOptions, LimitKind, Mode, RateOptions, Refusal,
};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tower::{Layer, Service, ServiceExt, service_fn};

async fn call(app: &Router) -> Response<Body> {
    app.clone().oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap()
}

fn guard(rate: Option<RateOptions>, limit: u32, mode: Mode) -> Guard {
    let concurrency = ConcurrencyOptions { limit, waiting_max: 10 };
    Guard::new(GuardOptions { mode, concurrency, rate, ..GuardOptions::default() }, ManualClock::new(), 1)
        .unwrap()
}

#[tokio::test]
async fn too_often_is_429_with_retry_after() {
    let guard = guard(Some(RateOptions { per_second: 0.4, burst: 1 }), 10, Mode::Shed);
    let app = Router::new().route("/", get(|| async { "ok" }).layer(GuardLayer::http(guard.clone())));
    assert_eq!(call(&app).await.status(), StatusCode::OK);
    let refused = call(&app).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()[header::RETRY_AFTER], "3");
    assert_eq!(refused.headers()[header::CONTENT_TYPE], "application/problem+json");
    let body = to_bytes(refused.into_body(), 4096).await.unwrap();
    let text = std::str::from_utf8(&body).unwrap();
    assert!(
        text.contains(r#""status":429,"detail":"rate limit of 0.4/s reached; come back in 2.5s""#),
        "{text}"
    );
    assert_eq!(guard.snapshot().concurrency.used, 0);
}

async fn full(mode: Mode) -> (Guard, Router, tokio::task::JoinHandle<Response<Body>>, Arc<Notify>) {
    let guard = guard(None, 1, mode);
    let go = Arc::new(Notify::new());
    let handler_go = Arc::clone(&go);
    let handler = move || async move { handler_go.notified().await };
    let app = Router::new().route("/", get(handler).layer(GuardLayer::http(guard.clone())));
    let busy = app.clone();
    let first = tokio::spawn(async move { call(&busy).await });
    while guard.snapshot().concurrency.used == 0 {
        tokio::task::yield_now().await;
    }
    (guard, app, first, go)
}

#[tokio::test]
async fn a_full_route_is_503_until_a_permit_is_back() {
    let (guard, app, first, go) = full(Mode::Shed).await;
    let refused = call(&app).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().get(header::RETRY_AFTER).is_none());
    go.notify_one();
    assert_eq!(first.await.unwrap().status(), StatusCode::OK);
    assert_eq!(guard.snapshot().concurrency.used, 0);
    go.notify_one();
    assert_eq!(call(&app).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn in_wait_mode_the_second_request_waits_its_turn() {
    let (guard, app, first, go) = full(Mode::Wait { max: Duration::from_mins(1) }).await;
    let second = tokio::spawn(async move { call(&app).await });
    while guard.snapshot().concurrency.waiting == 0 {
        tokio::task::yield_now().await;
    }
    go.notify_one();
    assert_eq!(first.await.unwrap().status(), StatusCode::OK);
    go.notify_one();
    assert_eq!(second.await.unwrap().status(), StatusCode::OK);
    assert_eq!(guard.snapshot().concurrency.used, 0);
}

#[tokio::test]
async fn a_cancelled_request_gives_its_permit_back() {
    let (guard, _app, first, _go) = full(Mode::Shed).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!(guard.snapshot().concurrency.used, 0);
}

#[tokio::test]
async fn being_ready_holds_no_permit() {
    let guard = guard(None, 1, Mode::Shed);
    let echo =
        service_fn(|n: u8| async move { Ok::<_, Infallible>(if n == 0 { Outcome::Ack } else { shed() }) });
    let mut service = GuardLayer::delivery(guard.clone()).layer(echo);
    let ready: &mut _ = ServiceExt::<u8>::ready(&mut service).await.unwrap();
    assert_eq!(guard.snapshot().concurrency.used, 0);
    assert!(ready.call(0).await.unwrap().is_ack());
}

fn shed() -> Outcome {
    let refusal = Refusal { limit: LimitKind::Rate, value: 1.0, retry_after: None };
    Outcome::Retry(Fault::from(refusal))
}

#[tokio::test]
async fn a_delivery_refused_comes_back_as_overload() {
    let guard = guard(Some(RateOptions { per_second: 1.0, burst: 1 }), 10, Mode::Shed);
    let handler = service_fn(|_: Delivery| async { Ok::<_, Infallible>(Outcome::Ack) });
    let service = GuardLayer::delivery(guard).layer(handler);
    let delivery = Delivery {
        origin: TopicPartition::new("orders", 0),
        offset: 7,
        generation: Generation::default(),
        attempt: 1,
        fence: Fence::default(),
        context: Context::default(),
        record: Record::new(axum::body::Bytes::from("k"), "v"),
    };
    assert!(service.clone().oneshot(delivery.clone()).await.unwrap().is_ack());
    let refused = service.oneshot(delivery).await.unwrap();
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(1)));
}
