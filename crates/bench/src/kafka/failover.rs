//! How long a partition's records stand still when its member is killed, and when it leaves.
//!
//! Two members in processes of their own share a topic into which records go all the time. The first is killed
//! or told to stop; the time runs until a record of each of its partitions was handled by the other.

use super::ground::Ground;
use super::member;
use crate::compare::{BenchError, Better, Contender, Contest};
use bytes::Bytes;
use seawall_core::{Clock, Nanos, Outgoing, Record, Sink, SystemClock};
use seawall_kafka::{KafkaSink, SinkOptions};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const TOPIC: &str = "failover";
const PARTITIONS: u32 = 4;
/// The shortest that brokers allow by default.
pub(super) const SESSION: Duration = Duration::from_secs(6);
const AFTER_KILL: Duration = Duration::from_secs(7);
const AFTER_STOP: Duration = Duration::from_secs(1);
/// Between two records of a partition.
const EVERY: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) fn contests(ground: &Rc<Ground>) -> Result<Vec<Contest>, BenchError> {
    ground.create(TOPIC, PARTITIONS, &[])?;
    let contest = |name: &str, end: End, within: Duration, bound| {
        let ground = Rc::clone(ground);
        let limit = Contender::limit("bound of the design", bound, move || Ok(millis(within))).goal(1.0);
        Contest {
            name: name.to_owned(),
            unit: "ms",
            rounds: 5,
            better: Better::Lower,
            ours: Contender::new("two members", env!("CARGO_PKG_VERSION"), move || fail_over(&ground, end)),
            peers: vec![limit],
        }
    };
    Ok(vec![
        contest("failover after kill -9 of one of two", End::Kill, AFTER_KILL, "session of 6 s + 1 s"),
        contest("failover after a graceful stop of one of two", End::Stop, AFTER_STOP, "1 s"),
    ])
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// How the first member ends.
#[derive(Clone, Copy)]
enum End {
    Kill,
    Stop,
}

/// A member's process.
struct Member {
    child: Child,
    input: Option<ChildStdin>,
    /// The partition of each record that it handles.
    handled: Receiver<u32>,
}

impl Member {
    fn start(ground: &Ground, group: &str) -> Result<Self, BenchError> {
        let program = std::env::current_exe().map_err(BenchError::io("this program"))?;
        let mut child = Command::new(program)
            .args([member::COMMAND, &ground.cluster.bootstrap(), group, TOPIC])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(BenchError::io("this program"))?;
        let (tell, handled) = channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                let lines = BufReader::new(stdout).lines().map_while(Result::ok);
                for partition in lines.filter_map(|line| line.parse().ok()) {
                    if tell.send(partition).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Self { input: child.stdin.take(), child, handled })
    }

    /// The partitions of what was handled since the last look.
    fn look(&self) -> BTreeSet<u32> {
        self.handled.try_iter().collect()
    }

    fn end(&mut self, how: End) -> Result<(), BenchError> {
        match (how, self.input.take()) {
            (End::Stop, Some(mut input)) => input.write_all(b"stop\n").map_err(BenchError::io("a member")),
            _ => self.child.kill().map_err(BenchError::io("a member")),
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // It is a measuring aid: there is nothing to lose in it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again, until `PATIENCE` is over.
fn until(what: &str, mut is: impl FnMut() -> bool) -> Result<(), BenchError> {
    let clock = SystemClock::new();
    let begun = clock.now();
    while !is() {
        if clock.now().since(begun) > PATIENCE {
            return Err(BenchError::of("failover")(format!("never: {what}")));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn fail_over(ground: &Ground, end: End) -> Result<f64, BenchError> {
    let writing = ground.runtime.spawn(write(
        KafkaSink::open(&ground.connection(), &SinkOptions::default()).map_err(BenchError::of("sink"))?,
    ));
    let measured = between(ground, end);
    writing.abort();
    measured
}

fn between(ground: &Ground, end: End) -> Result<f64, BenchError> {
    let group = ground.new_group();
    let mut first = Member::start(ground, &group)?;
    let mut seen = BTreeSet::new();
    until("the first member handles all partitions", || {
        seen.extend(first.look());
        seen.len() == PARTITIONS as usize
    })?;
    let second = Member::start(ground, &group)?;
    let half = PARTITIONS as usize / 2;
    // Of what each handled in the same half second.
    let mut of_first = BTreeSet::new();
    until("the two share the partitions", || {
        first.look();
        second.look();
        std::thread::sleep(Duration::from_millis(500));
        of_first = first.look();
        let of_second = second.look();
        of_first.len() == half && of_second.len() == half && of_first.is_disjoint(&of_second)
    })?;
    let clock = SystemClock::new();
    let _ = second.look();
    first.end(end)?;
    let ended: Nanos = clock.now();
    let mut left = of_first;
    until("the second member goes on", || {
        for partition in second.look() {
            left.remove(&partition);
        }
        left.is_empty()
    })?;
    Ok(millis(clock.now().since(ended)))
}

/// A record into each partition, all the time.
async fn write(sink: KafkaSink) {
    let topic: Arc<str> = TOPIC.into();
    loop {
        let records = (0..PARTITIONS).map(|partition| Outgoing {
            topic: Arc::clone(&topic),
            partition: Some(partition),
            record: Record::new(None::<Bytes>, "x"),
        });
        let _ = sink.send(records.collect()).await;
        tokio::time::sleep(EVERY).await;
    }
}
