//! A cluster: several members of one group over a shared claim store, of which some stall, die, come back as
//! zombies, leave in order, and are joined by others, while records keep coming.

use super::Outcome;
use super::plan::{LETTERS, Plan};
use crate::broker::{Member, SimBroker};
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
    let mut rng = Rng::with_seed(seed ^ 0xc105_7e12);
    let mut plan = Plan::draw(&mut rng, true);
    plan.partitions = rng.u32(1..=5);
    let clock = SimClock::new();
    let chances = Chances::draw(&mut rng);
    let mut terms = plan.terms();
    terms.claims = true;
    let truth = Truth::new(clock.clone(), terms, plan.planned.clone(), chances, rng.u64(..));
    let patience = (Duration::from_millis(rng.u64(40..150)), Duration::from_millis(rng.u64(40..300)));
    let broker = SimBroker::new(TOPIC, plan.partitions, patience, clock.clone(), rng.u64(..));
    let config = MemoryConfig { hash_seed: Some(rng.u64(..)), ..MemoryConfig::default() };
    let store = Arc::new(MemoryStore::new(config, Arc::new(clock.clone())));
    let mut cluster = Cluster {
        plan,
        clock: clock.clone(),
        truth: truth.clone(),
        broker,
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
        facts.coverage.add("gap", cluster.broker.gaps());
        cluster.members.iter().for_each(|member| facts.check_permits(&member.guard));
    });
    Outcome::of(seed, &truth, whole)
}

struct Cluster {
    plan: Plan,
    clock: SimClock,
    truth: Truth,
    broker: SimBroker,
    store: Arc<MemoryStore>,
    rng: Rng,
    members: Vec<Incarnation>,
    joined: u32,
}

/// One member from its start to its end. Kept afterwards for its guard.
struct Incarnation {
    watch: Watch,
    member: Member,
    running: Running,
    guard: Guard,
    stalled: bool,
    left: bool,
}

impl Incarnation {
    fn is_in(&self) -> bool {
        !self.left && !self.watch.power.is_off()
    }
}

impl Cluster {
    async fn run(&mut self) {
        for _ in 0..self.rng.usize(1..=3) {
            self.join();
        }
        let mut next = 0_u32;
        let all = self.plan.planned.len() as u32;
        while next < all {
            for _ in 0..self.rng.u32(1..=8).min(all - next) {
                self.produce(next);
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

    fn produce(&mut self, id: u32) {
        let Some(planned) = self.truth.facts().planned(id).cloned() else { return };
        let partitions = self.plan.partitions;
        let partition = planned.key.map_or_else(|| self.rng.u32(0..partitions), |key| key % partitions);
        // Now and then a producer sends once more what had arrived.
        for _ in 0..if self.rng.u32(0..20) == 0 { 2 } else { 1 } {
            let offset = self.broker.produce(partition, planned.record.clone());
            self.truth.enter(|facts| facts.sent(id, Some(Place(partition, offset))));
        }
    }

    fn join(&mut self) {
        self.joined += 1;
        let process = Process(self.joined);
        let cut_at = (self.rng.u32(0..3) == 0).then(|| CutAt::draw(&mut self.rng, 400));
        let power = Power::new(cut_at, Cut::Kill, None);
        let watch = Watch { truth: self.truth.clone(), power: power.clone(), process };
        self.truth.enter(|facts| facts.began(process));
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let guard = match Guard::new(self.plan.guard.clone(), Arc::clone(&clock), self.rng.u64(..)) {
            Ok(guard) => guard,
            Err(error) => return self.truth.enter(|facts| facts.violate(format!("the guard: {error}"))),
        };
        let source = self.broker.join();
        let member = source.member();
        let source = WatchedSource::new(source, watch.clone());
        let store = Some(Arc::new(WatchedStore::new(Arc::clone(&self.store), watch.clone())));
        let options = self.plan.options.clone();
        let timeout = options.timeout.unwrap_or_default();
        let handler = SimService::new(self.truth.clone(), power.clone(), process, timeout);
        let (shared, seed) = (Arc::new(guard.clone()), self.rng.u64(..));
        let started = if options.dead_letter.is_some() {
            let letters = WatchedSink::new(self.broker.clone(), watch.clone());
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
        self.members.push(Incarnation { watch, member, running, guard, stalled: false, left: false });
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
            0 => {
                self.tell(process, "member killed");
                self.members[at].watch.power.cut(Site::Timer);
            }
            1 | 2 => {
                let member = &mut self.members[at];
                member.stalled = !member.stalled;
                self.broker.stall(member.member, member.stalled);
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
            self.broker.stall(member.member, false);
        }
        if !self.members.iter().any(Incarnation::is_in) {
            self.join();
        }
        let wait = async {
            while !self.is_through() {
                if !self.members.iter().any(Incarnation::is_in) {
                    self.join();
                }
                self.broker.tick();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = tokio::time::timeout(CALM_MAX, wait).await;
        let alive: Vec<usize> = (0..self.members.len()).filter(|at| self.members[*at].is_in()).collect();
        let told: Vec<_> =
            alive.iter().map(|at| format!("{:?}", self.members[*at].running.snapshot())).collect();
        for partition in 0..self.plan.partitions {
            let end = self.broker.end(partition);
            self.truth.enter(|facts| facts.check_live(partition, end, &told.join("; ")));
        }
        for at in alive {
            self.drain(at, Duration::from_secs(1)).await;
        }
        let letters = self.broker.written(LETTERS);
        self.truth.enter(|facts| {
            facts.check_letters(letters.iter());
            facts.check_end();
        });
    }

    fn is_through(&self) -> bool {
        let facts = self.truth.facts();
        (0..self.plan.partitions).all(|partition| facts.is_through(partition, self.broker.end(partition)))
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
