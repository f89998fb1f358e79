//! The processes beside the bench: this same program under another command.

use crate::compare::BenchError;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use tokio::net::TcpListener;

/// A child process that serves. Ends when dropped.
pub(super) struct Served {
    child: Child,
    pub(super) address: String,
}

impl Served {
    /// Starts this program with `args` and reads the address it prints.
    pub(super) fn start(args: &[&str]) -> Result<Self, BenchError> {
        let program = std::env::current_exe().map_err(BenchError::io("this program"))?;
        let mut child = Command::new(program)
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(BenchError::io("this program"))?;
        let mut address = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut address).map_err(BenchError::io("this program"))?;
        }
        Ok(Self { child, address: address.trim().to_owned() })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It is a measuring aid: there is nothing to lose in it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs what `command` names, until killed; `None` where it is not one of these.
pub(crate) fn command(command: &str, target: Option<&str>) -> Option<Result<(), BenchError>> {
    match (command, target) {
        ("serve-echo", _) => Some(on_runtime(echo())),
        #[cfg(feature = "peers")]
        ("serve-proxy", Some(target)) => Some(on_runtime(proxy::serve(target.to_owned()))),
        _ => None,
    }
}

fn on_runtime(serving: impl Future<Output = Result<(), BenchError>>) -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(BenchError::io("a tokio runtime"))?;
    runtime.block_on(serving)
}

/// Listens on a free port and prints it.
async fn listen() -> Result<TcpListener, BenchError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(BenchError::io("bind"))?;
    let address = listener.local_addr().map_err(BenchError::io("bind"))?;
    let mut out = std::io::stdout();
    writeln!(out, "{address}").and_then(|()| out.flush()).map_err(BenchError::io("stdout"))?;
    Ok(listener)
}

/// The service: 200, with the body that came.
async fn echo() -> Result<(), BenchError> {
    let listener = listen().await?;
    loop {
        let (stream, _) = listener.accept().await.map_err(BenchError::io("accept"))?;
        stream.set_nodelay(true).map_err(BenchError::io("accept"))?;
        let service = service_fn(async |request: Request<Incoming>| {
            let body = request.into_body().collect().await?.to_bytes();
            Ok::<_, hyper::Error>(Response::new(Full::<Bytes>::new(body)))
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

#[cfg(feature = "peers")]
mod proxy {
    //! An axum route that forwards with reqwest.

    use super::{BenchError, listen};
    use axum::Router;
    use axum::body::Bytes;
    use axum::extract::State;
    use axum::routing::post;
    use http::{HeaderMap, StatusCode, header};

    #[derive(Clone)]
    struct Forward {
        client: reqwest::Client,
        target: String,
    }

    pub(super) async fn serve(target: String) -> Result<(), BenchError> {
        let client = reqwest::Client::builder()
            .tcp_nodelay(true)
            .pool_max_idle_per_host(1_024)
            .build()
            .map_err(BenchError::of("reqwest"))?;
        let routes = Router::new().route("/", post(forward)).with_state(Forward { client, target });
        let listener = listen().await?;
        axum::serve(listener, routes).await.map_err(BenchError::io("axum"))
    }

    async fn forward(
        State(to): State<Forward>,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), StatusCode> {
        headers.remove(header::HOST);
        headers.remove(header::CONTENT_LENGTH);
        let sent = to.client.post(&to.target).headers(headers).body(body).send().await;
        let response = sent.map_err(|_| StatusCode::BAD_GATEWAY)?;
        let status = response.status();
        let body = response.bytes().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
        Ok((status, body))
    }
}
