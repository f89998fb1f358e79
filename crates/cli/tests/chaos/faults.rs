//! What goes wrong, when: drawn from a seed, and written down.

use super::TOPIC;
use super::member::{Member, Place};
use seawall_infra::{FaultProxy, KafkaCluster, Kind, Script};
use seawall_kafka::{Admin, Connection};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

const MEMBERS: usize = 4;
/// The longest fault of a connection: well below a session.
const LONGEST: Duration = Duration::from_millis(1_800);

/// What happened to processes; what happened to connections is with the proxies.
#[derive(Debug, Default)]
pub(crate) struct Events {
    counts: BTreeMap<&'static str, u64>,
    /// When the group was disturbed.
    pub(crate) at: Vec<(SystemTime, &'static str)>,
    /// When each process was frozen.
    pub(crate) frozen: Vec<(u64, SystemTime)>,
}

const WANTED: [&str; 6] =
    ["member killed", "member left", "member frozen", "broker killed", "broker restarted", "partition added"];

impl Events {
    fn note(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
        self.at.push((SystemTime::now(), what));
    }

    /// Each fault has hit something, or surviving it says nothing.
    pub(crate) fn assert_all_hit(&self, proxies: &[FaultProxy]) {
        for what in WANTED {
            assert!(self.counts.contains_key(what), "never: {what}");
        }
        let mut hits: BTreeMap<Kind, u64> = BTreeMap::new();
        for (kind, count) in proxies.iter().flat_map(FaultProxy::hits) {
            *hits.entry(kind).or_default() += count;
        }
        println!("connections: {hits:?}");
        for kind in Kind::ALL {
            assert!(hits.get(&kind).is_some_and(|count| *count > 0), "no connection ever met: {kind}");
        }
    }
}

impl fmt::Display for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.counts)
    }
}

/// The members that run.
pub(crate) struct Members {
    slots: Vec<Option<Member>>,
    incarnation: u64,
    place: Place,
    homes: PathBuf,
}

impl Members {
    fn start(&mut self, slot: usize) {
        self.incarnation += 1;
        let home = self.homes.join(format!("member-{slot}"));
        self.slots[slot] = Some(Member::start(self.incarnation, &home, &self.place));
    }

    fn take(&mut self, slot: usize) -> Member {
        let mut member = self.slots[slot].take().unwrap();
        let said = self.homes.join(format!("member-{slot}/said-{}", member.incarnation));
        let said = || std::fs::read_to_string(said).unwrap_or_default();
        assert!(!member.has_ended(), "a member ended by itself: {}", said());
        member
    }

    pub(crate) fn stop_all(&mut self) {
        for slot in 0..self.slots.len() {
            self.take(slot).leave();
        }
    }
}

pub(crate) struct Plan {
    seed: u64,
    length: Duration,
    kafka: Arc<KafkaCluster>,
    proxies: Arc<Vec<FaultProxy>>,
    place: Place,
    homes: PathBuf,
}

impl Plan {
    pub(crate) fn new(
        seed: u64,
        length: Duration,
        kafka: Arc<KafkaCluster>,
        proxies: Arc<Vec<FaultProxy>>,
        place: Place,
        homes: PathBuf,
    ) -> Self {
        Self { seed, length, kafka, proxies, place, homes }
    }

    /// All of it; blocks for that long. Afterwards everything is healed and every member runs.
    pub(crate) fn play(self) -> (Members, Events) {
        let begun = Instant::now();
        let slots = (0..MEMBERS).map(|_| None).collect();
        let (place, homes) = (self.place.clone(), self.homes.clone());
        let mut members = Members { slots, incarnation: 0, place, homes };
        (0..MEMBERS).for_each(|slot| members.start(slot));
        let going_on = Arc::new(AtomicBool::new(true));
        let (mut events, brokers) = thread::scope(|scope| {
            for (nth, proxy) in self.proxies.iter().enumerate() {
                let script = Script::random(self.seed ^ (nth as u64 + 1), 100, LONGEST);
                let going_on = Arc::clone(&going_on);
                scope.spawn(move || script.play(proxy, || going_on.load(Ordering::SeqCst)));
            }
            let brokers = scope.spawn(|| self.brokers(begun));
            let events = self.members(begun, &mut members);
            let brokers = brokers.join().unwrap();
            going_on.store(false, Ordering::SeqCst);
            (events, brokers)
        });
        for (what, count) in brokers.counts {
            *events.counts.entry(what).or_default() += count;
        }
        events.at.extend(brokers.at);
        events.at.sort();
        (members, events)
    }

    fn time_left(&self, begun: Instant) -> bool {
        begun.elapsed() < self.length
    }

    /// The group is never at rest: every few seconds somebody dies, leaves or freezes, and another comes.
    fn members(&self, begun: Instant, members: &mut Members) -> Events {
        let (mut rng, mut events) = (fastrand::Rng::with_seed(self.seed), Events::default());
        thread::sleep(Duration::from_secs(5));
        for turn in 0.. {
            if !self.time_left(begun) {
                break;
            }
            let slot = rng.usize(..MEMBERS);
            // In turn, so that a short run has each.
            match turn % 3 {
                0 => {
                    events.note("member killed");
                    members.take(slot).kill();
                    thread::sleep(Duration::from_millis(rng.u64(0..2_000)));
                    members.start(slot);
                }
                1 => {
                    events.note("member left");
                    members.take(slot).leave();
                    members.start(slot);
                }
                _ => {
                    let member = members.take(slot);
                    events.note("member frozen");
                    events.frozen.push((member.incarnation, SystemTime::now()));
                    member.signal("-STOP");
                    // Past its session, every other time.
                    thread::sleep(Duration::from_millis(if rng.bool() { 9_000 } else { 2_000 }));
                    member.signal("-CONT");
                    events.note("member thawed");
                    members.slots[slot] = Some(member);
                }
            }
            thread::sleep(Duration::from_millis(rng.u64(1_000..4_000)));
        }
        events
    }

    /// One broker at a time dies and comes back; twice a partition is added.
    fn brokers(&self, begun: Instant) -> Events {
        let (mut rng, mut events) = (fastrand::Rng::with_seed(!self.seed), Events::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let admin = Admin::open(&Connection::new([self.kafka.bootstrap()]), Duration::from_mins(1)).unwrap();
        let mut partitions = super::PARTITIONS;
        thread::sleep(Duration::from_secs(10));
        while self.time_left(begun) {
            let broker = rng.usize(1..=3);
            self.kafka.kill(broker).unwrap();
            events.note("broker killed");
            thread::sleep(Duration::from_millis(rng.u64(500..5_000)));
            self.kafka.start_again(broker).unwrap();
            events.note("broker restarted");
            let due = self.length * (partitions - super::PARTITIONS + 1) / 4;
            if begun.elapsed() > due && partitions < super::PARTITIONS + 2 {
                partitions += 1;
                runtime.block_on(admin.add_partitions(TOPIC, partitions)).unwrap();
                events.note("partition added");
            }
            thread::sleep(Duration::from_millis(rng.u64(4_000..12_000)));
        }
        events
    }
}
