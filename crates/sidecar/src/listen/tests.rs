use super::*;
use bytes::Bytes;
use http_body_util::Full;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Hello;

impl Answer for Hello {
    type Body = Full<Bytes>;

    async fn answer(&self, request: Request<Incoming>) -> Response<Self::Body> {
        if request.uri().path() == "/wait" {
            std::future::pending::<()>().await;
        }
        if request.uri().path() == "/large" {
            return Response::new(Full::new(Bytes::from(vec![b'x'; 64 << 20])));
        }
        Response::new(Full::new(Bytes::from_static(b"hello")))
    }
}

async fn hello(bounds: Bounds) -> Listening {
    let (listener, _) = Listening::bind("127.0.0.1:0".parse().expect("an address")).await.expect("bound");
    Listening::serve(listener, Arc::new(Hello), bounds).expect("serving")
}

/// 200 sockets that drip a header, and 200 that say nothing: all closed, and others served meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_heads_are_closed_and_others_served() {
    let server = hello(Bounds { header_timeout: Duration::from_millis(300), ..Bounds::default() }).await;
    let addr = server.addr();
    let mut slow = tokio::task::JoinSet::new();
    for at in 0..400 {
        slow.spawn(async move {
            let mut stream = TcpStream::connect(addr).await.expect("connected");
            if at % 2 == 0 {
                let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-drip: ").await;
            }
            let mut rest = Vec::new();
            let (mut reading, mut writing) = stream.split();
            let drip = async {
                while writing.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                // A reset is a close too.
                _ = reading.read_to_end(&mut rest) => {}
                () = drip => {}
            }
        });
    }
    for _ in 0..20 {
        assert_eq!(client::call(addr, "GET", "/", &[], b"").await.text(), "hello");
    }
    let all = async { while slow.join_next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(30), all).await.expect("every slow socket was closed");
    assert_eq!(client::call(addr, "GET", "/", &[], b"").await.status, 200);
}

/// Whether a client with a connection of its own is turned away.
async fn is_full(addr: SocketAddr) -> bool {
    client::raw(addr, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.is_none()
}

async fn place_comes_back(addr: SocketAddr) {
    let served = async {
        while is_full(addr).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), served).await.expect("the place came back");
}

#[tokio::test]
async fn places_are_bounded_and_come_back() {
    let server = hello(Bounds { connections: 1, ..Bounds::default() }).await;
    let held = TcpStream::connect(server.addr()).await.expect("connected");
    let refused = loop {
        // Until the server has taken the first connection, a second may come before it.
        if is_full(server.addr()).await {
            break true;
        }
    };
    assert!(refused);
    drop(held);
    place_comes_back(server.addr()).await;
}

/// One place, and a client that asks for much and takes nothing of it.
#[tokio::test]
async fn a_client_that_does_not_read_gives_its_place_back() {
    let bounds = Bounds { connections: 1, write_timeout: Duration::from_millis(200), ..Bounds::default() };
    let server = hello(bounds).await;
    let mut deaf = TcpStream::connect(server.addr()).await.expect("connected");
    deaf.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut first = [0];
    deaf.read_exact(&mut first).await.expect("the answer has begun");
    place_comes_back(server.addr()).await;
}

#[tokio::test]
async fn clients_are_probed() {
    let (listener, addr) = Listening::bind("127.0.0.1:0".parse().expect("an address")).await.expect("bound");
    let _client = TcpStream::connect(addr).await.expect("connected");
    let (stream, _) = listener.accept().await.expect("accepted");
    assert!(!SockRef::from(&stream).keepalive().expect("told"));
    probe(&stream).expect("set");
    assert!(SockRef::from(&stream).keepalive().expect("told"));
}

#[tokio::test]
async fn heads_are_bounded_and_malformed_ones_refused() {
    let server = hello(Bounds::default()).await;
    let long = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(4 * HEAD_BYTES_MAX));
    assert_eq!(client::raw(server.addr(), long.as_bytes()).await.map(|r| r.status), Some(431));
    let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(HEADERS_MAX + 1));
    assert_eq!(client::raw(server.addr(), many.as_bytes()).await.map(|r| r.status), Some(431));
    for malformed in [
        "nonsense\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nbad header: x\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nx: a\rb\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    ] {
        assert_eq!(
            client::raw(server.addr(), malformed.as_bytes()).await.map(|r| r.status),
            Some(400),
            "{malformed:?}"
        );
    }
}

#[tokio::test]
async fn stopping_lets_go_within_its_bound() {
    let server = hello(Bounds { drain: Duration::from_millis(100), ..Bounds::default() }).await;
    let mut stream = TcpStream::connect(server.addr()).await.expect("connected");
    stream.write_all(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    tokio::time::timeout(Duration::from_secs(20), server.stop()).await.expect("stopped");
    assert!(TcpStream::connect(server.addr()).await.is_err(), "the port is let go");
}
