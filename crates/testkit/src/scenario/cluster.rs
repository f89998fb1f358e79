//! A cluster: several members of one group over a shared claim store, of which some stall, die, come back as
//! zombies, leave in order, and are joined by others, while records keep coming. They meet at the simulated
//! brokers, or at the embedded log.

use super::Outcome;
use super::fabric::{Fabric, Log};
use super::plan::{LETTERS, Plan};
use crate::broker::SimBroker;
use crate::chance::Chances;
use crate::clock::SimClock;
use crate::power::{Cut, CutAt, Power, Site};
use crate::runtime::live;
use crate::service::SimService;
use crate::trace::{Event, Place, Process};
use crate::truth::{TOPIC, Truth};
use crate::watch::{Watch, WatchedSink, WatchedSource, WatchedStore};
use fastrand::Rng;
use seawall_consumer::{Consumer, Driver, NoSink, Running};
use seawall_core::Clock;
use seawall_guard::Guard;
use seawall_idempotency::{MemoryConfig, MemoryStore};
use seawall_log::{BrokerOptions, LogError, TopicOptions};
use seawall_wal::disk::SimDisk;
use std::sync::Arc;
use std::time::Duration;

/// How long the calm phase may take, in simulated time.
const CALM_MAX: Duration = Duration::from_mins(5);
/// Members at once.
const MEMBERS_MAX: usize = 4;

/// One run of the cluster.
pub fn cluster(seed: u64) -> Outcome {
    cluster_with(seed, false)
}

/// One run of the cluster; `whole` keeps the whole event log.
pub fn cluster_with(seed: u64, whole: bool) -> Outcome {
    let rng = Rng::with_seed(seed ^ 0xc105_7e12);
    run(seed, rng, whole, |plan, patience, clock, seed| {
        Ok(SimBroker::new(TOPIC, plan.partitions, patience, clock, seed))
    })
}

/// One run of several members over the embedded log, which judges their commits itself; `whole` keeps the whole
/// event log.
pub fn members_with(seed: u64, whole: bool) -> Outcome {
    let rng = Rng::with_seed(seed ^ 0x10c_3e3b);
    run(seed, rng, whole, |plan, (_, release), clock, seed| {
        let options =
            BrokerOptions { release_within: release, segment_bytes: 32 * 1024, ..BrokerOptions::new("/log") };
        let driver = seawall_log::Driver::Inline;
        let (broker, _) = Log::open(SimDisk::new(seed), options, Arc::new(clock), driver)?;
        broker.create_topic(TOPIC, TopicOptions::partitions(plan.partitions))?;
        broker.create_topic(LETTERS, TopicOptions::partitions(1))?;
        Ok(broker)
    })
}

/// How long a member may be away, and how long it may take to release.
type Patience = (Duration, Duration);

fn run<F: Fabric>(
    seed: u64,
    mut rng: Rng,
    whole: bool,
    fabric: impl FnOnce(&Plan, Patience, SimClock, u64) -> Result<F, LogError>,
) -> Outcome {
    let mut plan = Plan::draw(&mut rng, true);
    plan.partitions = rng.u32(1..=5);
    let clock = SimClock::new();
    let chances = Chances::draw(&mut rng);
    let mut terms = plan.terms();
    terms.claims = true;
    let truth = Truth::new(clock.clone(), terms, plan.planned.clone(), chances, rng.u64(..));
    let patience = (Duration::from_millis(rng.u64(40..150)), Duration::from_millis(rng.u64(40..300)));
    let fabric = match fabric(&plan, patience, clock.clone(), rng.u64(..)) {
        Ok(fabric) => fabric,
        Err(error) => {
            truth.enter(|facts| facts.violate(format!("the fabric: {error}")));
            return Outcome::of(seed, &truth, whole);
        }
    };
    let config = MemoryConfig { hash_seed: Some(rng.u64(..)), ..MemoryConfig::default() };
    let store = Arc::new(MemoryStore::new(config, Arc::new(clock.clone())));
    let mut cluster = Cluster {
        plan,
        clock: clock.clone(),
        truth: truth.clone(),
        fabric,
        store,
        rng,
        members: Vec::new(),
        joined: 0,
    };
    live(&clock, async {
        let violated = truth.clone();
        tokio::select! {
            biased;
            () = violated.violated() => {}
            () = cluster.run() => {}
        }
    });
    truth.enter(|facts| {
        facts.coverage.add("gap", cluster.fabric.gaps());
        cluster.members.iter().for_each(|member| facts.check_permits(&member.guard));
    });
    Outcome::of(seed, &truth, whole)
}

struct Cluster<F: Fabric> {
    plan: Plan,
    clock: SimClock,
    truth: Truth,
    fabric: F,
    store: Arc<MemoryStore>,
    rng: Rng,
    members: Vec<Incarnation<F::Seat>>,
    joined: u32,
}

/// One member from its start to its end. Kept afterwards for its guard.
struct Incarnation<Seat> {
    watch: Watch,
    seat: Seat,
    running: Running,
    guard: Guard,
    stalled: bool,
    left: bool,
}

impl<Seat> Incarnation<Seat> {
    fn is_in(&self) -> bool {
        !self.left && !self.watch.power.is_off()
    }
}

impl<F: Fabric> Cluster<F> {
    async fn run(&mut self) {
        for _ in 0..self.rng.usize(1..=3) {
            self.join();
        }
        let mut next = 0_u32;
        let all = self.plan.planned.len() as u32;
        while next < all {
            for _ in 0..self.rng.u32(1..=8).min(all - next) {
                self.produce(next).await;
                next += 1;
            }
            tokio::time::sleep(Duration::from_millis(self.rng.u64(1..60))).await;
            self.shake().await;
        }
        for _ in 0..self.rng.u32(0..8) {
            tokio::time::sleep(Duration::from_millis(self.rng.u64(1..150))).await;
            self.shake().await;
        }
        self.calm().await;
    }

    fn tell(&self, process: Process, what: &'static str) {
        self.truth.enter(|facts| {
            facts.note(Event::Told(process, what));
            facts.coverage.add(what, 1);
        });
    }

    async fn produce(&mut self, id: u32) {
        let Some(planned) = self.truth.facts().planned(id).cloned() else { return };
        let partitions = self.plan.partitions;
        let partition = planned.key.map_or_else(|| self.rng.u32(0..partitions), |key| key % partitions);
        // Now and then a producer sends once more what had arrived.
        for _ in 0..if self.rng.u32(0..20) == 0 { 2 } else { 1 } {
            let sent = self.fabric.produce(partition, planned.record.clone()).await;
            self.truth.enter(|facts| match sent {
                Ok(offset) => facts.sent(id, Some(Place(partition, offset))),
                Err(fault) => facts.violate(format!("record {id} is refused: {fault}")),
            });
        }
    }

    fn join(&mut self) {
        self.joined += 1;
        let process = Process(self.joined);
        let cut_at = (F::MEMBERS_DIE && self.rng.u32(0..3) == 0).then(|| CutAt::draw(&mut self.rng, 400));
        let power = Power::new(cut_at, Cut::Kill, None);
        let watch = Watch { truth: self.truth.clone(), power: power.clone(), process };
        self.truth.enter(|facts| facts.began(process));
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let guard = match Guard::new(self.plan.guard.clone(), Arc::clone(&clock), self.rng.u64(..)) {
            Ok(guard) => guard,
            Err(error) => return self.truth.enter(|facts| facts.violate(format!("the guard: {error}"))),
        };
        let (source, seat) = match self.fabric.join() {
            Ok(joined) => joined,
            Err(fault) => return self.truth.enter(|facts| facts.violate(format!("a member: {fault}"))),
        };
        let source = WatchedSource::new(source, watch.clone());
        let store = Some(Arc::new(WatchedStore::new(Arc::clone(&self.store), watch.clone())));
        let options = self.plan.options.clone();
        let timeout = options.timeout.unwrap_or_default();
        let handler = SimService::new(self.truth.clone(), power.clone(), process, timeout);
        let (shared, seed) = (Arc::new(guard.clone()), self.rng.u64(..));
        let started = if options.dead_letter.is_some() {
            let letters = WatchedSink::new(self.fabric.letters(), watch.clone());
            Consumer::start(options, source, handler, store, shared, letters, clock, seed, Driver::Inline)
        } else {
            Consumer::start(options, source, handler, store, shared, NoSink, clock, seed, Driver::Inline)
        };
        let running = match started {
            Ok(running) => running,
            Err(error) => {
                return self.truth.enter(|facts| facts.violate(format!("the scenario's options: {error}")));
            }
        };
        watch_over(&watch, &running, &guard);
        self.members.push(Incarnation { watch, seat, running, guard, stalled: false, left: false });
    }

    /// Something happens to the group.
    async fn shake(&mut self) {
        let alive: Vec<usize> = (0..self.members.len()).filter(|at| self.members[*at].is_in()).collect();
        if alive.len() < MEMBERS_MAX && (alive.is_empty() || self.rng.u32(0..5) == 0) {
            return self.join();
        }
        let Some(at) = self.rng.choice(alive) else { return };
        let process = self.members[at].watch.process;
        match self.rng.u32(0..12) {
            0 if F::MEMBERS_DIE => {
                self.tell(process, "member killed");
                self.members[at].watch.power.cut(Site::Timer);
            }
            0..=2 => {
                let member = &mut self.members[at];
                member.stalled = !member.stalled;
                self.fabric.stall(&member.seat, member.stalled);
                let what = if self.members[at].stalled { "member stalled" } else { "member back" };
                self.tell(process, what);
            }
            3 => {
                self.tell(process, "member drained");
                let bound = Duration::from_millis(self.rng.u64(0..150));
                self.drain(at, bound).await;
            }
            4 => {
                self.tell(process, "member paused");
                let running = self.members[at].running.clone();
                let _ = running.pause(None);
                let pause = Duration::from_millis(self.rng.u64(1..200));
                tokio::spawn(async move {
                    tokio::time::sleep(pause).await;
                    let _ = running.resume(None);
                });
            }
            _ => {}
        }
    }

    async fn drain(&mut self, at: usize, bound: Duration) {
        let member = &mut self.members[at];
        let (running, power) = (member.running.clone(), member.watch.power.clone());
        tokio::select! {
            biased;
            () = power.dark() => return,
            _ = running.drain(bound) => {}
        }
        if power.is_off() {
            return;
        }
        member.left = true;
        let (process, guard) = (member.watch.process, member.guard.clone());
        self.truth.enter(|facts| {
            facts.sample(process, &running, &guard);
            facts.check_drained(&running);
            facts.ended(process, None);
        });
    }

    /// The mishaps stop: everything finishes.
    async fn calm(&mut self) {
        self.truth.facts().chances = Chances::none();
        for member in &mut self.members {
            member.stalled = false;
            self.fabric.stall(&member.seat, false);
        }
        if !self.members.iter().any(Incarnation::is_in) {
            self.join();
        }
        let wait = async {
            while !self.is_through() {
                if !self.members.iter().any(Incarnation::is_in) {
                    self.join();
                }
                self.fabric.tick();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = tokio::time::timeout(CALM_MAX, wait).await;
        let alive: Vec<usize> = (0..self.members.len()).filter(|at| self.members[*at].is_in()).collect();
        let told: Vec<_> =
            alive.iter().map(|at| format!("{:?}", self.members[*at].running.snapshot())).collect();
        for partition in 0..self.plan.partitions {
            let end = self.fabric.end(partition);
            self.truth.enter(|facts| facts.check_live(partition, end, &told.join("; ")));
        }
        for at in alive {
            self.drain(at, Duration::from_secs(1)).await;
        }
        let letters = self.fabric.written();
        self.truth.enter(|facts| {
            match &letters {
                Ok(letters) => facts.check_letters(letters.iter()),
                Err(fault) => facts.violate(format!("the dead letters do not read: {fault}")),
            }
            facts.check_end();
        });
    }

    fn is_through(&self) -> bool {
        let facts = self.truth.facts();
        (0..self.plan.partitions).all(|partition| facts.is_through(partition, self.fabric.end(partition)))
    }
}

/// Looks at a member now and then, and notes its death.
fn watch_over(watch: &Watch, running: &Running, guard: &Guard) {
    let Watch { truth, power, process } = watch.clone();
    let dying = (truth.clone(), power.clone());
    tokio::spawn(async move {
        let (truth, power) = dying;
        power.dark().await;
        truth.enter(|facts| facts.ended(process, power.died_at()));
    });
    let (running, guard) = (running.clone(), guard.clone());
    tokio::spawn(async move {
        while !power.is_off() {
            truth.enter(|facts| facts.sample(process, &running, &guard));
            tokio::time::sleep(Duration::from_millis(11)).await;
        }
    });
}
