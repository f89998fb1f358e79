//! The process that is killed or flooded: this test program, run again with the orders below in its environment.
//! What it knows it says on stdout, a line each.

use crate::collector::TcpSink;
use crate::stage::outgoing;
use seawall_core::Outgoing;
use seawall_guard::BreakerOptions;
use seawall_producer::{
    Outcome, Producer, ProducerOptions, Replicated, SendError, SpillOptions, State, Synced, Target,
};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const ORDERS: &str = "SEAWALL_PRODUCER_CHILD";

/// What the child is to do.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// Send for ever, numbers from `from` on; `synced`: ask for receipts from the disk, too.
    Load { from: u64, synced: bool },
    /// Deliver what is there, and end.
    Drain,
    /// Offer so many bytes as fast as they are taken or refused, to a disk of so many; then say the counts and end.
    Flood { bytes: u64, disk: u64 },
}

impl Order {
    fn to_words(&self) -> String {
        match self {
            Self::Load { from, synced } => format!("load {from} {synced}"),
            Self::Drain => "drain".to_owned(),
            Self::Flood { bytes, disk } => format!("flood {bytes} {disk}"),
        }
    }

    fn from_words(words: &[&str]) -> Self {
        match words {
            ["load", from, synced] => Self::Load { from: from.parse().unwrap(), synced: *synced == "true" },
            ["drain"] => Self::Drain,
            ["flood", bytes, disk] => {
                Self::Flood { bytes: bytes.parse().unwrap(), disk: disk.parse().unwrap() }
            }
            other => panic!("no such order: {other:?}"),
        }
    }
}

/// Whether this process is a child: then it has done its work, and nothing else is asked of it.
pub(crate) fn was_child() -> bool {
    let Ok(orders) = std::env::var(ORDERS) else { return false };
    let words: Vec<_> = orders.split(' ').collect();
    let (dir, at) = (words[0].to_owned(), words[1].parse().unwrap());
    // The line of the test harness ends here.
    println!();
    // Not before the parent says so: it may want to put us somewhere first.
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(work(Path::new(&dir), at, Order::from_words(&words[2..])));
    true
}

fn options(dir: &Path) -> ProducerOptions {
    let spill = SpillOptions { disk_bytes_max: 64 << 20, ..SpillOptions::new(dir, "processes") };
    let mut options = ProducerOptions {
        memory_bytes_max: 4 << 20,
        record_bytes_max: 64 << 10,
        batch_bytes: 64 << 10,
        batch_records: 50,
        lanes: 2,
        max_block: Duration::from_secs(1),
        timeout: Duration::from_secs(3),
        patience: Duration::from_millis(100),
        call_timeout: Duration::from_millis(500),
        // Some rounds of failures before the sink counts as gone: long enough to be killed in.
        breaker: BreakerOptions {
            calls_min: 6,
            open_for: Duration::from_millis(200),
            probes: 1,
            ..BreakerOptions::default()
        },
        spill: Some(spill),
        ..ProducerOptions::default()
    };
    options.replay.checkpoint_bytes = 4 << 10;
    // Slow enough to be killed in.
    options.replay.bytes_per_second = Some(100_000);
    options
}

async fn work(dir: &Path, at: SocketAddr, order: Order) {
    let mut options = options(dir);
    if let Order::Flood { disk, .. } = order {
        options.memory_bytes_max = 32 << 20;
        options.batch_bytes = 1 << 20;
        options.max_block = Duration::from_millis(20);
        options.timeout = Duration::from_secs(1);
        options.spill.as_mut().unwrap().disk_bytes_max = disk;
    }
    let producer = Producer::open(options, vec![Target::new("collector", TcpSink(at))]).unwrap();
    match order {
        Order::Load { from, synced } => {
            for (nth, key) in KEYS.into_iter().enumerate() {
                let rng = fastrand::Rng::with_seed(from + nth as u64);
                // Who asks for a broker's word waits for it, and would keep the disk idle.
                let synced = synced && nth % 2 == 0;
                tokio::spawn(send(producer.clone(), key, from, synced, rng));
            }
            tell_states(&producer).await;
        }
        Order::Drain => {
            while producer.snapshot().backlog_records > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            producer.close(Duration::from_secs(10)).await;
            println!("drained");
        }
        Order::Flood { bytes, .. } => flood(&producer, bytes).await,
    }
}

async fn tell_states(producer: &Producer) {
    let mut told = None;
    loop {
        let state = producer.snapshot().state;
        if told != Some(state) {
            println!("state {}", state.as_str());
            told = Some(state);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn send(producer: Producer, key: &'static str, from: u64, synced: bool, mut rng: fastrand::Rng) {
    let acked = move |n: u64| println!("acked {key} {n}");
    let mut next = from;
    loop {
        let count = rng.u64(1..10);
        let numbers = next..next + count;
        next += count;
        let records = numbers.clone().map(|n| outgoing(key, n)).collect();
        match rng.u8(0..5) {
            0..4 if synced => told(numbers, producer.send_all::<Synced>(records).await, acked),
            4 => {
                // The rest of the numbers is never used.
                let heard = move |outcome: Outcome| outcome.iter().for_each(|_| acked(numbers.start));
                let _ = producer.send_buffered(outgoing(key, next - count), heard).await;
            }
            _ => told(numbers, producer.send_all::<Replicated>(records).await, acked),
        }
        tokio::time::sleep(Duration::from_millis(rng.u64(1..10))).await;
    }
}

fn told<G>(numbers: std::ops::Range<u64>, answers: Vec<Result<G, SendError>>, acked: impl Fn(u64)) {
    numbers.zip(answers).filter(|(_, answer)| answer.is_ok()).for_each(|(n, _)| acked(n));
}

const FLOOD_VALUE: usize = 16 << 10;
/// Together they hold more than the producer's memory.
const FLOOD_SENDERS: u64 = 128;

async fn flood(producer: &Producer, bytes: u64) {
    let each = bytes / FLOOD_SENDERS / FLOOD_VALUE as u64;
    let pour = |nth| tokio::spawn(pour(producer.clone(), format!("k{nth}"), each));
    let senders: Vec<_> = (0..FLOOD_SENDERS).map(pour).collect();
    let (mut acked, mut refused) = (0, 0);
    for sender in senders {
        let (ok, full) = sender.await.unwrap();
        (acked, refused) = (acked + ok, refused + full);
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().to_owned();
    producer.close(Duration::ZERO).await;
    println!("flooded {acked} {refused} {peak}");
}

async fn pour(producer: Producer, key: String, count: u64) -> (u64, u64) {
    let (mut acked, mut refused) = (0, 0);
    let mut n = 0;
    while n < count {
        let batch = (n..count.min(n + 32)).map(|n| big(&key, n)).collect::<Vec<_>>();
        n += batch.len() as u64;
        for answer in producer.send_all::<Synced>(batch).await {
            match answer {
                Ok(_) => acked += 1,
                // Those taken before the disk was full wait for a broker until their time is over.
                Err(SendError::Full { .. } | SendError::TimedOut { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
    (acked, refused)
}

fn big(key: &str, n: u64) -> Outgoing {
    let mut outgoing = outgoing(key, n);
    outgoing.record.value = format!("{key}:{n}:{}", "x".repeat(FLOOD_VALUE)).into();
    outgoing
}

/// What a child said so far.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) acked: BTreeSet<(String, u64)>,
    pub(crate) state: Option<State>,
    pub(crate) drained: bool,
    /// Records with a receipt, records refused, and the peak of the memory.
    pub(crate) flooded: Option<(u64, u64, String)>,
}

/// A child that runs.
pub(crate) struct Process {
    child: Child,
    pub(crate) said: Arc<Mutex<Said>>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts this program's test `test` as a child; it waits for [`Process::go`].
    pub(crate) fn start(test: &str, dir: &Path, at: SocketAddr, order: &Order) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture"]);
        command.env(ORDERS, format!("{} {at} {}", dir.to_str().unwrap(), order.to_words()));
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let said: Arc<Mutex<Said>> = Arc::default();
        let reader = std::thread::spawn({
            let said = Arc::clone(&said);
            move || {
                let mut line = String::new();
                // A line without its end was never said.
                while lines.read_line(&mut line).is_ok_and(|_| line.ends_with('\n')) {
                    hear(&line, &mut said.lock().unwrap());
                    line.clear();
                }
            }
        });
        Self { child, said, reader: Some(reader) }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn go(&mut self) {
        self.child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }

    /// Waits until `what` holds; panics where the child ends before.
    pub(crate) fn until(&mut self, what: impl Fn(&Said) -> bool) {
        for _ in 0..120_000 {
            if what(&self.said.lock().unwrap()) {
                return;
            }
            // What it said last may still be in the pipe.
            if let Some(status) = self.child.try_wait().unwrap() {
                self.heard_all();
                assert!(what(&self.said.lock().unwrap()), "the child ended early: {status}");
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("never: {:?}", self.said.lock().unwrap().state);
    }

    /// `kill -9`, and everything that it said before.
    pub(crate) fn kill(mut self) -> Said {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.heard_all();
        std::mem::take(&mut self.said.lock().unwrap())
    }

    /// Waits for its end by itself: whether that was good, and everything that it said.
    pub(crate) fn end(mut self) -> (std::process::ExitStatus, Said) {
        let status = self.child.wait().unwrap();
        self.heard_all();
        let said = std::mem::take(&mut *self.said.lock().unwrap());
        (status, said)
    }

    fn heard_all(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error: it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hear(line: &str, said: &mut Said) {
    match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["acked", key, n] => {
            said.acked.insert((key.to_owned(), n.parse().unwrap()));
        }
        ["state", name] => said.state = State::ALL.into_iter().find(|state| state.as_str() == name),
        ["drained"] => said.drained = true,
        ["flooded", acked, refused, peak, _unit] => {
            said.flooded = Some((acked.parse().unwrap(), refused.parse().unwrap(), peak.to_owned()));
        }
        _ => {}
    }
}
