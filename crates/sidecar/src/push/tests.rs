use super::*;
use http::{HeaderMap, Request, StatusCode};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use seawall_core::{Class, Context, Fence, Generation, Nanos, Record, SystemClock, TopicPartition};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpListener;

/// A service that answers as each request's `ce-type` asks: `STATUS[;header=value]`.
#[derive(Default)]
struct Service {
    connections: AtomicUsize,
    requests: Mutex<Vec<(String, HeaderMap, Bytes)>>,
}

impl Service {
    async fn start() -> (Arc<Self>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let service = Arc::new(Self::default());
        let serving = service.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::SeqCst);
                let serving = serving.clone();
                let answer = service_fn(move |request| {
                    let serving = serving.clone();
                    async move { serving.answer(request).await }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(async move { connection.serve_connection(TokioIo::new(stream), answer).await });
            }
        });
        (service, address)
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let asked = head.headers.get("ce-type").and_then(|v| v.to_str().ok()).unwrap_or("200").to_owned();
        self.requests.lock().expect("lock").push((head.uri.to_string(), head.headers, body));
        let (status, header) = asked.split_once(';').unwrap_or((&asked, ""));
        if status == "hang" {
            std::future::pending::<()>().await;
        }
        if status == "slow" {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let mut response = Response::new(Full::new(Bytes::from("said the service")));
        *response.status_mut() = StatusCode::from_bytes(status.as_bytes()).unwrap_or(StatusCode::OK);
        if status == "huge" {
            *response.body_mut() = Full::new(Bytes::from(vec![b'x'; 10 << 20]));
        }
        if let Some((name, value)) = header.split_once('=') {
            let name = http::HeaderName::try_from(name).expect("a name");
            response.headers_mut().insert(name, value.parse().expect("a value"));
        }
        Ok(response)
    }

    fn seen(&self) -> usize {
        self.requests.lock().expect("lock").len()
    }
}

fn push_to(url: &str, timeout: Duration) -> Push {
    push_over(4, url, timeout)
}

fn push_over(max_connections: usize, url: &str, timeout: Duration) -> Push {
    let target = Target::parse(url, Trust::ConfigFile, &[]).expect("a target");
    let options = PushOptions { timeout, max_connections, token: None };
    Push::new(target, options, Arc::new(SystemClock::new())).expect("a handler")
}

fn delivery(asked: &str) -> Delivery {
    let mut record = Record::new(Bytes::from("k"), "payload");
    record.headers.push(seawall_core::Header::new("ce-type", asked.to_owned()));
    Delivery {
        origin: TopicPartition::new("orders", 0),
        offset: 1,
        generation: Generation(1),
        attempt: 1,
        fence: Fence(1),
        context: Context::default(),
        record,
    }
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_contract_holds_for_every_status() {
    let (service, address) = Service::start().await;
    let push = push_to(&format!("http://{address}/orders?shop=1"), LONG);
    for status in (200..=599).filter(|s| StatusCode::from_u16(*s).is_ok()) {
        let outcome = push.handle(&delivery(&status.to_string())).await;
        match (status, &outcome) {
            (200..=299 | 409, Outcome::Ack) => {}
            (429 | 503, Outcome::Retry(fault)) => {
                assert_eq!(fault.class(), Class::Overload, "{status}");
                assert!(fault.retry_after().is_some(), "{status}");
            }
            (300..=499, Outcome::DeadLetter(fault)) => {
                assert_eq!(fault.class(), Class::Permanent, "{status}");
            }
            (500..=599, Outcome::Retry(fault)) => assert_eq!(fault.class(), Class::Transient, "{status}"),
            _ => panic!("{status}: {outcome:?}"),
        }
    }
    let requests = service.requests.lock().expect("lock");
    let (uri, headers, body) = &requests[0];
    assert_eq!((uri.as_str(), &body[..]), ("/orders?shop=1", &b"payload"[..]));
    assert_eq!(headers["x-idempotent-token"], "orders/0/1/0");
    assert_eq!(headers["host"], address.to_string());
    assert_eq!(headers["seawall-deadline-ms"], "20000");
    // 204 and 304 have no body, which hyper's server ends as it likes; all others share a connection.
    assert!(service.connections.load(Ordering::SeqCst) <= 3, "connections are pooled");
}

#[tokio::test]
async fn says_when_to_come_back_and_what_the_service_said() {
    let (_service, address) = Service::start().await;
    let push = push_to(&format!("http://{address}/"), LONG);
    let overloaded = push.handle(&delivery("429;retry-after=17")).await;
    assert_eq!(overloaded.retry_after(), Some(Duration::from_secs(17)));
    let Outcome::DeadLetter(fault) = push.handle(&delivery("422")).await else { panic!("not permanent") };
    assert!(fault.to_string().contains("422") && fault.to_string().contains("said the service"), "{fault}");
    let Outcome::DeadLetter(fault) = push.handle(&delivery("302;location=http://10.0.0.1/x")).await else {
        panic!("a redirect was followed")
    };
    assert!(fault.to_string().contains("redirects are not followed"), "{fault}");
}

#[tokio::test]
async fn silence_refusal_and_reset_are_tried_again() {
    let (_service, address) = Service::start().await;
    let push = push_to(&format!("http://{address}/"), Duration::from_millis(100));
    let Outcome::Retry(fault) = push.handle(&delivery("hang")).await else { panic!("not a retry") };
    assert!(matches!(fault.error().downcast_ref(), Some(PushError::Timeout(_))), "{fault}");

    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound");
    let push = push_to(&format!("http://{closed}/"), LONG);
    let Outcome::Retry(fault) = push.handle(&delivery("200")).await else { panic!("not a retry") };
    assert_eq!(fault.class(), Class::Transient);

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let resetting = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream);
        }
    });
    let push = push_to(&format!("http://{resetting}/"), LONG);
    let Outcome::Retry(fault) = push.handle(&delivery("200")).await else { panic!("not a retry") };
    assert_eq!(fault.class(), Class::Transient);
}

#[tokio::test]
async fn the_earlier_deadline_counts() {
    let (_service, address) = Service::start().await;
    let push = push_to(&format!("http://{address}/"), LONG);
    let mut late = delivery("hang");
    late.context.deadline = Some(Nanos(0));
    let Outcome::Retry(fault) = push.handle(&late).await else { panic!("not a retry") };
    assert!(matches!(fault.error().downcast_ref(), Some(PushError::Timeout(Duration::ZERO))), "{fault}");
}

/// Waiting in line says nothing against the record or the service: no attempt is counted, and the breaker stays out
/// of it.
#[tokio::test]
async fn no_free_connection_is_overload_and_nothing_is_sent() {
    let (service, address) = Service::start().await;
    let push = push_over(1, &format!("http://{address}/"), Duration::from_secs(2));
    let (asked, waiting) = (delivery("hang"), delivery("200"));
    let (first, second) = tokio::join!(biased; push.handle(&asked), push.handle(&waiting));
    let Outcome::Retry(fault) = second else { panic!("not a retry: {second:?}") };
    assert!(matches!(fault.error().downcast_ref(), Some(PushError::Busy { connections: 1, .. })), "{fault}");
    assert_eq!(fault.class(), Class::Overload);
    let Outcome::Retry(fault) = first else { panic!("not a retry: {first:?}") };
    assert_eq!(fault.class(), Class::Transient, "it was sent, and heard nothing");
    assert_eq!(service.seen(), 1);
}

#[tokio::test]
async fn the_deadline_that_is_told_begins_when_the_request_does() {
    let (service, address) = Service::start().await;
    let clock = Arc::new(SystemClock::new());
    let target = Target::parse(&format!("http://{address}/"), Trust::ConfigFile, &[]).expect("a target");
    let options = PushOptions { timeout: LONG, max_connections: 1, token: None };
    let push = Push::new(target, options, clock.clone()).expect("a handler");
    let (slow, mut waiting) = (delivery("slow"), delivery("200"));
    waiting.context.deadline = Some(clock.now().plus(Duration::from_secs(10)));
    let (first, second) = tokio::join!(biased; push.handle(&slow), push.handle(&waiting));
    assert!(first.is_ack() && second.is_ack(), "{first:?}, {second:?}");
    let requests = service.requests.lock().expect("lock");
    let told: u64 = requests[1].1["seawall-deadline-ms"].to_str().expect("text").parse().expect("a number");
    assert!(told <= 9_700, "{told} ms, of which at least 300 went by in line");
}

/// The time that an answer's body may take is a part of what is left, not of what there was.
#[tokio::test]
async fn a_late_verdict_with_an_endless_body_stands() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n12";
        tokio::io::AsyncWriteExt::write_all(&mut stream, head).await.expect("written");
        std::future::pending::<()>().await;
    });
    let push = push_to(&format!("http://{address}/"), Duration::from_secs(2));
    let outcome = push.handle(&delivery("200")).await;
    assert!(outcome.is_ack(), "{outcome:?}");
    serving.abort();
}

#[tokio::test]
async fn an_endless_answer_does_not_fill_memory() {
    let (service, address) = Service::start().await;
    let push = push_to(&format!("http://{address}/"), LONG);
    assert!(push.handle(&delivery("huge")).await.is_ack());
    assert!(push.handle(&delivery("200")).await.is_ack());
    assert_eq!(service.connections.load(Ordering::SeqCst), 2, "an unread body costs its connection");
}

/// Answers with one address at first, and with the canary's ever after.
struct Rebinding {
    first: IpAddr,
    then: IpAddr,
    asked: AtomicUsize,
}

impl Resolve for Rebinding {
    fn resolve(&self, _: String) -> connect::Resolved {
        let first = self.asked.fetch_add(1, Ordering::SeqCst) == 0;
        let answer = if first { self.first } else { self.then };
        Box::pin(async move { Ok(vec![answer]) })
    }
}

/// The corpus: no spelling, name, redirect or rebinding brings a connection to the canary.
#[tokio::test]
async fn the_canary_is_never_called() {
    let (canary, address) = Service::start().await;
    let port = address.port();
    let spellings = [
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "127.0.0.2",
        "0",
        "0.0.0.0",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "１２７.0.0.1",
        "%31%32%37.0.0.1",
        "169.254.169.254",
    ];
    for host in spellings {
        let parsed = Target::parse(&format!("http://{host}:{port}/"), Trust::ConfigFile, &[]);
        assert!(matches!(parsed, Err(TargetError::Denied { .. })), "{host}");
    }
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        let refused = match Target::parse(&format!("http://{host}:{port}/"), Trust::Admin, &[]) {
            Ok(target) => push_to(&format!("http://{address}/"), LONG).vet(&target).await,
            Err(error) => Err(error),
        };
        assert!(matches!(refused, Err(TargetError::Denied { .. })), "{host}");
    }
    // A name that points inside, and one that is clean when it is vetted and points inside later.
    let options = PushOptions { timeout: LONG, max_connections: 4, token: None };
    let loopback: IpAddr = "127.0.0.1".parse().expect("an address");
    let public: IpAddr = "1.1.1.1".parse().expect("an address");
    for (first, vetted) in [(loopback, false), (public, true)] {
        let resolver = Rebinding { first, then: loopback, asked: AtomicUsize::new(0) };
        let target =
            Target::parse(&format!("http://rebinding.example:{port}/"), Trust::Admin, &[]).expect("a name");
        let clock = Arc::new(SystemClock::new());
        let push = Push::with_resolver(target.clone(), options.clone(), clock, Arc::new(resolver))
            .expect("a handler");
        assert_eq!(push.vet(&target).await.is_ok(), vetted);
        let Outcome::Retry(fault) = push.handle(&delivery("200")).await else { panic!("delivered") };
        assert!(fault.to_string().contains("not to be called"), "{fault}");
    }
    // A redirect to it.
    let (_decoy, decoy) = Service::start().await;
    let push = push_to(&format!("http://{decoy}/"), LONG);
    let _ = push.handle(&delivery(&format!("307;location=http://{address}/"))).await;
    assert_eq!((canary.connections.load(Ordering::SeqCst), canary.seen()), (0, 0));
}

#[tokio::test]
async fn the_token_goes_to_the_service_and_nowhere_else() {
    let (service, address) = Service::start().await;
    let token = BearerToken::new("push", "canary-0123456789abcdef").expect("fit");
    let target = Target::parse(&format!("http://{address}/"), Trust::ConfigFile, &[]).expect("a target");
    let options = PushOptions { timeout: LONG, max_connections: 1, token: Some(token) };
    let shown = format!("{options:?}");
    let push = Push::new(target, options, Arc::new(SystemClock::new())).expect("a handler");
    assert!(push.handle(&delivery("200")).await.is_ack());
    assert_eq!(
        service.requests.lock().expect("lock")[0].1["authorization"],
        "Bearer canary-0123456789abcdef"
    );
    assert!(!shown.contains("canary") && !format!("{push:?}").contains("canary"));
}

#[tokio::test]
async fn a_new_target_takes_over() {
    let (first, first_address) = Service::start().await;
    let (second, second_address) = Service::start().await;
    let push = push_to(&format!("http://{first_address}/"), LONG);
    assert!(push.handle(&delivery("200")).await.is_ack());
    let allow = ["127.0.0.0/8".parse().expect("a network")];
    let target = Target::parse(&format!("http://{second_address}/"), Trust::Admin, &allow).expect("allowed");
    push.vet(&target).await.expect("allowed");
    push.retarget(target).expect("usable");
    assert!(push.handle(&delivery("200")).await.is_ack());
    assert_eq!((first.seen(), second.seen()), (1, 1));
}
