//! A member: this program again, as a process of its own.

use super::{GROUP, TOPIC};
use seawall_consumer::{Consumer, ConsumerOptions, Driver, NoSink, NoStore, RetryOptions};
use seawall_core::handler::HandlerFn;
use seawall_core::{Class, Clock, Delivery, Fault, Outcome, SystemClock};
use seawall_guard::{Guard, GuardOptions};
use seawall_kafka::{Connection, KafkaSource, SourceOptions};
use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::oneshot;

const SPEC: &str = "SEAWALL_CHAOS_MEMBER";

/// A process that dies with this value.
pub(crate) struct Member {
    child: Child,
    orders: Option<ChildStdin>,
}

impl Member {
    /// `incarnation` is unique among all processes of a run.
    pub(crate) fn start(incarnation: u64, bootstrap: &str, service: SocketAddr) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "member::member_process", "--nocapture"]);
        command.env(SPEC, format!("{incarnation} {bootstrap} {service}"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        Self { orders: child.stdin.take(), child }
    }

    pub(crate) fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Lets it drain and end.
    pub(crate) fn leave(mut self) {
        if let Some(mut orders) = self.orders.take() {
            let _ = orders.write_all(b"drain\n");
        }
        let _ = self.child.wait();
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Whether it has ended by itself, which no fault may make it do.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<()>>>>;

/// The member's way to the service.
struct Client {
    write: tokio::sync::Mutex<OwnedWriteHalf>,
    waiting: Waiting,
    number: AtomicU64,
    incarnation: u64,
}

impl Client {
    async fn connect(service: SocketAddr, incarnation: u64) -> Self {
        let (read, write) = TcpStream::connect(service).await.unwrap().into_split();
        let waiting = Waiting::default();
        let answered = Arc::clone(&waiting);
        tokio::spawn(async move {
            let mut lines = BufReader::new(read).lines();
            while let Ok(Some(number)) = lines.next_line().await {
                if let Some(waiter) = answered.lock().unwrap().remove(&number.parse().unwrap()) {
                    let _ = waiter.send(());
                }
            }
            // The test has ended.
            std::process::exit(0);
        });
        Self { write: tokio::sync::Mutex::new(write), waiting, number: AtomicU64::new(0), incarnation }
    }

    async fn handle(&self, delivery: Delivery) -> Outcome {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().unwrap().insert(number, answer);
        let key = String::from_utf8_lossy(delivery.record.key.as_deref().unwrap_or_default()).into_owned();
        let (incarnation, generation) = (self.incarnation, delivery.generation.0);
        let (partition, offset, token) = (delivery.origin.partition, delivery.offset, delivery.token());
        let line = format!("{number} {incarnation} {generation} {partition} {offset} {key} {token}\n");
        let sent = self.write.lock().await.write_all(line.as_bytes()).await;
        match (sent, answered.await) {
            (Ok(()), Ok(())) => Outcome::Ack,
            _ => Outcome::Retry(Fault::new(Class::Transient, "the service is away")),
        }
    }
}

/// Not a test by itself: see [`Member`].
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn member_process() {
    let Ok(spec) = std::env::var(SPEC) else { return };
    let parts: Vec<&str> = spec.split(' ').collect();
    let incarnation: u64 = parts[0].parse().unwrap();
    let client = Arc::new(Client::connect(parts[2].parse().unwrap(), incarnation).await);
    let mut connection = Connection::new(parts[1].split(','));
    for (name, value) in [
        ("heartbeat.interval.ms", "500"),
        ("topic.metadata.refresh.interval.ms", "2000"),
        ("socket.timeout.ms", "6000"),
    ] {
        connection.properties.insert(name.to_owned(), value.to_owned());
    }
    let options = SourceOptions { session_timeout: Duration::from_secs(6), ..SourceOptions::default() };
    let source = loop {
        match KafkaSource::join(&connection, GROUP, &[TOPIC], options.clone()) {
            Ok(source) => break source,
            Err(error) if seawall_core::Classify::class(&error) == Class::Transient => {}
            Err(error) => panic!("cannot join: {error}"),
        }
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let guard = Arc::new(Guard::new(GuardOptions::default(), Arc::clone(&clock), incarnation).unwrap());
    let handler = HandlerFn(move |delivery: Delivery| {
        let client = Arc::clone(&client);
        async move { client.handle(delivery).await }
    });
    let retry = RetryOptions { attempts_max: u32::MAX, total_max: None, ..RetryOptions::default() };
    let revoke_bound = Duration::from_secs(5);
    let options =
        ConsumerOptions { workers: 2, dead_letter: None, retry, revoke_bound, ..ConsumerOptions::new(GROUP) };
    let (store, driver) = (None::<Arc<NoStore>>, Driver::Thread);
    let running =
        Consumer::start(options, source, handler, store, guard, NoSink, clock, incarnation, driver).unwrap();
    let told = running.clone();
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    tokio::select! {
        // At the end of the test too.
        _ = orders.next_line() => {
            told.drain(Duration::from_secs(5)).await;
            // The source leaves its group when it is dropped, a moment after.
            tokio::time::sleep(Duration::from_millis(500)).await;
            std::process::exit(0);
        }
        stop = running.wait() => {
            eprintln_stop(incarnation, &stop);
            std::process::exit(3);
        }
    }
}

#[expect(clippy::print_stderr, reason = "a member's last words")]
fn eprintln_stop(incarnation: u64, stop: &seawall_consumer::Stop) {
    eprintln!("member {incarnation} stopped by itself: {stop:?}");
}
