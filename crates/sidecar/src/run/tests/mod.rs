//! The whole process, over HTTP, with a service in this process behind it.

mod abuse;
mod dead_letters;
mod retry_topics;
mod spine;

use super::*;
use crate::listen::client::{Reply, call};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::json;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// A service that answers what it is told to, and remembers what it got.
struct Service {
    status: AtomicU16,
    seen: Mutex<Vec<(HeaderMap, Bytes)>>,
    listening: Mutex<Option<Listening>>,
    addr: SocketAddr,
}

struct Answering(Arc<Service>);

impl crate::listen::Answer for Answering {
    type Body = Full<Bytes>;

    async fn answer(&self, request: Request<Incoming>) -> Response<Self::Body> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        self.0.seen.lock().expect("lock").push((head.headers, body));
        let mut response = Response::new(Full::new(Bytes::from_static(b"no such article")));
        *response.status_mut() =
            http::StatusCode::from_u16(self.0.status.load(Ordering::SeqCst)).expect("a status");
        response
    }
}

impl Service {
    async fn start() -> Arc<Self> {
        let (listener, addr) =
            Listening::bind("127.0.0.1:0".parse().expect("an address")).await.expect("bound");
        let service = Arc::new(Self {
            status: AtomicU16::new(200),
            seen: Mutex::default(),
            listening: Mutex::default(),
            addr,
        });
        let listening = Listening::serve(listener, Arc::new(Answering(service.clone())), Bounds::default());
        *service.listening.lock().expect("lock") = Some(listening.expect("serving"));
        service
    }

    fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn seen(&self) -> usize {
        self.seen.lock().expect("lock").len()
    }

    fn last(&self) -> (HeaderMap, Bytes) {
        self.seen.lock().expect("lock").last().cloned().expect("something came")
    }
}

/// The process under test.
struct Process {
    sidecar: Sidecar,
    service: Arc<Service>,
    dir: tempfile::TempDir,
    token: Option<&'static str>,
}

fn config_text(dir: &std::path::Path, service: SocketAddr, extra: &str) -> String {
    format!(
        "[data]\ndir = {:?}\n[ingest]\naddr = \"127.0.0.1:0\"\n[admin]\naddr = \"127.0.0.1:0\"\n{extra}\n\
         [[pipeline]]\nname = \"orders\"\ntopics = [\"orders\"]\npush.url = \"http://{service}/orders\"\n\
         retry = {{ attempts = 3, base = \"1ms\", max = \"5ms\" }}\ncommit.interval = \"10ms\"\n\
         guard.breaker.min_calls = 1_000_000\n",
        dir.join("data"),
    )
}

impl Process {
    async fn start() -> Self {
        Self::with("").await
    }

    async fn with(extra: &str) -> Self {
        Self::changed(extra, |text| text).await
    }

    /// With the usual configuration after `change`.
    async fn changed(extra: &str, change: impl Fn(String) -> String) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let service = Service::start().await;
        let file = dir.path().join("seawall.toml");
        std::fs::write(&file, change(config_text(dir.path(), service.addr, extra))).expect("written");
        let sidecar = Self::open(&file).await.expect("started");
        Self { sidecar, service, dir, token: None }
    }

    async fn open(file: &std::path::Path) -> Result<Sidecar, StartError> {
        let config = config::load(file).expect("valid");
        let options = StartOptions { config_file: Some(file.to_owned()), ..StartOptions::default() };
        Sidecar::start(config, options).await
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("seawall.toml")
    }

    async fn restart(self) -> Self {
        let file = self.file();
        let report = self.sidecar.stop().await;
        assert!(report.log.is_none(), "{report:?}");
        Self { sidecar: Self::open(&file).await.expect("started again"), ..self }
    }

    async fn post(&self, key: &str, body: &str) -> Reply {
        let addr = self.sidecar.ingest_addr();
        call(addr, "POST", "/v1/topics/orders/records", &[("seawall-key", key)], body.as_bytes()).await
    }

    async fn admin(&self, method: &str, path: &str, body: &Value) -> Reply {
        let mut headers = vec![("content-type", "application/json")];
        let bearer = self.token.map(|token| format!("Bearer {token}"));
        if let Some(bearer) = &bearer {
            headers.push(("authorization", bearer));
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        call(self.sidecar.admin_addr(), method, path, &headers, body.as_bytes()).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.admin("GET", path, &Value::Null).await
    }

    fn pipeline(&self) -> Value {
        self.sidecar.overview()["pipelines"][0].clone()
    }

    async fn eventually(&self, what: &str, holds: impl Fn(&Value) -> bool) {
        let waiting = async {
            while !holds(&self.pipeline()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_mins(1), waiting).await;
        assert!(waited.is_ok(), "never {what}: {:#}", self.pipeline());
    }
}
