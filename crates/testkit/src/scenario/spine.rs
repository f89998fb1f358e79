//! The spine: producers, the embedded log, the consumer, the embedded claim store and the guard, in one process
//! that dies at any step and comes back over the same disk.

use super::Outcome;
use super::plan::{LETTERS, PIPELINE, Plan};
use super::produce::Outbox;
use crate::chance::Chances;
use crate::clock::SimClock;
use crate::disk::PoweredDisk;
use crate::power::{Cut, CutAt, Power, Site};
use crate::runtime::live;
use crate::service::SimService;
use crate::trace::{Event, Process};
use crate::truth::{TOPIC, Truth};
use crate::watch::{Watch, WatchedSink, WatchedSource, WatchedStore};
use fastrand::Rng;
use seawall_consumer::{Consumer, NoSink, NoStore, Running};
use seawall_core::{Clock, Limit, Record};
use seawall_guard::Guard;
use seawall_log::{Broker, BrokerOptions, Driver, SourceOptions, TopicOptions};
use seawall_stores::{EmbeddedOptions, EmbeddedStore};
use seawall_wal::disk::{Faults, SimDisk};
use std::sync::Arc;
use std::time::Duration;

/// How long a calm life may take to finish everything, in simulated time.
const CALM_MAX: Duration = Duration::from_mins(5);
/// How often a running consumer is looked at.
const SAMPLE_EVERY: Duration = Duration::from_millis(9);

/// One run of the spine.
pub fn spine(seed: u64) -> Outcome {
    spine_with(seed, true, false)
}

/// One run of the spine, with or without jumps of the wall clock; `whole` keeps the whole event log.
pub fn spine_with(seed: u64, wall_jumps: bool, whole: bool) -> Outcome {
    let mut rng = Rng::with_seed(seed);
    let plan = Plan::draw(&mut rng, false);
    let clock = SimClock::new();
    let chances = Chances::draw(&mut rng);
    let truth = Truth::new(clock.clone(), plan.terms(), plan.planned.clone(), chances, rng.u64(..));
    let mut spine = Spine {
        outboxes: Outbox::split(&plan.planned, plan.producers),
        driver: if rng.bool() { Driver::Inline } else { Driver::Turns },
        segment_bytes: rng.u64(16..=48) * 1024,
        disk: SimDisk::new(rng.u64(..)),
        plan,
        clock,
        truth,
        wall_jumps,
    };
    for number in 1..=rng.u32(1..=4) {
        spine.life(Process(number), &mut rng, false);
        if spine.truth.facts().violation().is_some() {
            break;
        }
    }
    if spine.truth.facts().violation().is_none() {
        spine.truth.facts().chances = Chances::none();
        spine.disk.set_faults(Faults::default());
        spine.life(Process(100), &mut rng, true);
    }
    spine.cover_disk();
    Outcome::of(seed, &spine.truth, whole)
}

struct Spine {
    plan: Plan,
    clock: SimClock,
    disk: SimDisk,
    truth: Truth,
    outboxes: Vec<Outbox>,
    driver: Driver,
    segment_bytes: u64,
    wall_jumps: bool,
}

/// One process: what it is made of, and how it will end.
struct Life<'a> {
    spine: &'a Spine,
    watch: Watch,
    disk: PoweredDisk,
    guard: Guard,
    rng: Rng,
    calm: bool,
}

type Log = Broker<PoweredDisk>;

impl Spine {
    fn life(&mut self, process: Process, rng: &mut Rng, calm: bool) {
        let mut rng = Rng::with_seed(rng.u64(..));
        let cut_at = (!calm && rng.u32(0..4) > 0).then(|| {
            let most = 64_u64 << rng.u32(0..6);
            CutAt::draw(&mut rng, most)
        });
        let cut = if rng.bool() { Cut::Kill } else { Cut::Power };
        let power = Power::new(cut_at, cut, Some(self.disk.clone()));
        if !calm {
            self.disk.set_faults(faults(&mut rng));
        }
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let guard = match Guard::new(self.plan.guard.clone(), clock, rng.u64(..)) {
            Ok(guard) => guard,
            Err(error) => return self.truth.enter(|facts| facts.violate(format!("the guard: {error}"))),
        };
        let watch = Watch { truth: self.truth.clone(), power: power.clone(), process };
        self.truth.enter(|facts| facts.began(process));
        let disk = PoweredDisk::new(self.disk.clone(), power.clone());
        let mut life = Life { spine: self, watch, disk, guard: guard.clone(), rng, calm };
        live(&self.clock, async {
            let (truth, power) = (life.watch.truth.clone(), power.clone());
            tokio::select! {
                biased;
                () = truth.violated() => {}
                () = power.dark() => {}
                () = life.run() => {}
            }
        });
        // A process that ended in order has let go; void all handles in any case.
        let died = power.died_at();
        if died.is_none() {
            self.disk.kill();
        }
        self.truth.enter(|facts| {
            facts.ended(process, died);
            facts.check_permits(&guard);
        });
        self.clock.pass(Duration::from_millis(50));
    }

    fn cover_disk(&self) {
        let counts = self.disk.counts();
        let mut facts = self.truth.facts();
        for (name, count) in [
            ("disk: crash", counts.crashes),
            ("disk: write EIO", counts.write_eio),
            ("disk: sync EIO", counts.sync_eio),
            ("disk: directory sync EIO", counts.dir_sync_eio),
            ("disk: ENOSPC", counts.no_space),
            ("disk: sector lost", counts.sectors_lost),
            ("disk: sector torn", counts.sectors_torn),
            ("disk: name lost", counts.names_lost),
        ] {
            facts.coverage.add(name, count);
        }
        if counts.touched_after_failure > 0 {
            facts.violate("a file was written or synced after it had failed");
        }
    }
}

fn faults(rng: &mut Rng) -> Faults {
    let mut some = |most: u32| if rng.u32(0..5) == 0 { rng.u32(1..most) } else { 0 };
    Faults {
        write_eio: some(200),
        sync_eio: some(400),
        dir_sync_eio: some(800),
        space_bytes: if some(2) > 0 { rng.u64(300_000..900_000) } else { 0 },
    }
}

impl Life<'_> {
    /// The process from its start to its end, if it comes to one.
    async fn run(&mut self) {
        let Some(broker) = self.open_log() else { return };
        if self.spine.driver == Driver::Turns {
            let (broker, mut rng) = (broker.clone(), Rng::with_seed(self.rng.u64(..)));
            tokio::spawn(async move {
                loop {
                    broker.turn();
                    tokio::time::sleep(Duration::from_millis(rng.u64(1..4))).await;
                }
            });
        }
        let Some(running) = self.start(&broker) else { return };
        for outbox in &self.spine.outboxes {
            let (truth, power) = (self.watch.truth.clone(), self.watch.power.clone());
            tokio::spawn(outbox.clone().send(broker.clone(), truth, power));
        }
        self.look(&running);
        if self.calm {
            self.finish(&broker, &running).await;
        } else {
            self.suffer(&running).await;
        }
        if !self.watch.power.is_off() {
            // Whatever this says, nothing with a receipt may be gone.
            let _ = broker.close();
        }
    }

    fn tell(&self, what: &'static str) {
        let process = self.watch.process;
        self.watch.truth.enter(|facts| {
            facts.note(Event::Told(process, what));
            facts.coverage.add(what, 1);
        });
    }

    /// What could not be opened. Only a mishap of the disk may be the reason.
    fn unopened(&self, what: &'static str, error: &dyn std::error::Error) {
        if self.watch.power.is_off() {
            return;
        }
        self.tell(what);
        if self.calm {
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                text = format!("{text}: {error}");
                cause = error.source();
            }
            self.watch.truth.enter(|facts| facts.violate(format!("calm, and {what}: {text}")));
        }
    }

    fn open_log(&self) -> Option<Log> {
        let options = BrokerOptions { segment_bytes: self.spine.segment_bytes, ..BrokerOptions::new("/log") };
        let clock = Arc::new(self.spine.clock.clone());
        let opened = Broker::open(self.disk.clone(), options, clock, self.spine.driver);
        let (broker, report) =
            opened.inspect_err(|error| self.unopened("the log did not open", error)).ok()?;
        if report.losses().next().is_some() {
            self.tell("the log cut a torn tail");
        }
        if !report.positions_set_back.is_empty() {
            self.watch.truth.enter(|facts| facts.violate("a position was beyond the end of its log"));
        }
        let partitions = self.spine.plan.partitions;
        let created = broker
            .create_topic(TOPIC, TopicOptions::partitions(partitions))
            .and_then(|_| broker.create_topic(LETTERS, TopicOptions::partitions(1)));
        created.inspect_err(|error| self.unopened("a topic was not made", error)).ok()?;
        Some(broker)
    }

    fn start(&mut self, broker: &Log) -> Option<Running> {
        let joined = broker.source(PIPELINE, &[TOPIC], SourceOptions::default());
        let source = joined.inspect_err(|error| self.unopened("the group was not joined", error)).ok()?;
        let store = if self.spine.plan.claims { Some(self.open_store()?) } else { None };
        let source = WatchedSource::new(source, self.watch.clone());
        let options = self.spine.plan.options.clone();
        let timeout = options.timeout.unwrap_or_default();
        let Watch { truth, power, process } = self.watch.clone();
        let handler = SimService::new(truth, power, process, timeout);
        let letters = WatchedSink::new(broker.clone(), self.watch.clone());
        let clock: Arc<dyn Clock> = Arc::new(self.spine.clock.clone());
        let guard = Arc::new(self.guard.clone());
        let (seed, driver) = (self.rng.u64(..), seawall_consumer::Driver::Inline);
        let buries = options.dead_letter.is_some();
        let started = match (store, buries) {
            (Some(store), true) => {
                Consumer::start(options, source, handler, Some(store), guard, letters, clock, seed, driver)
            }
            (Some(store), false) => {
                Consumer::start(options, source, handler, Some(store), guard, NoSink, clock, seed, driver)
            }
            (None, _) => {
                let none = None::<Arc<NoStore>>;
                Consumer::start(options, source, handler, none, guard, letters, clock, seed, driver)
            }
        };
        match started {
            Ok(running) => Some(running),
            Err(error) => {
                self.watch.truth.enter(|facts| facts.violate(format!("the scenario's options: {error}")));
                None
            }
        }
    }

    fn open_store(&mut self) -> Option<Arc<WatchedStore<EmbeddedStore<PoweredDisk>>>> {
        let options = EmbeddedOptions {
            driver: seawall_stores::Driver::Inline,
            segment_bytes: self.spine.segment_bytes,
            compact_bytes_min: 8 * 1024,
            ..EmbeddedOptions::new("/claims")
        };
        let opened = EmbeddedStore::open(self.disk.clone(), options, Arc::new(self.spine.clock.clone()));
        let store = opened.inspect_err(|error| self.unopened("the claim store did not open", error)).ok()?;
        if store.recovery().lost.is_some() {
            self.tell("the claim store cut a torn tail");
        }
        Some(Arc::new(WatchedStore::new(store, self.watch.clone())))
    }

    /// Looks at the consumer now and then.
    fn look(&self, running: &Running) {
        let Watch { truth, power, process } = self.watch.clone();
        let (running, guard) = (running.clone(), self.guard.clone());
        tokio::spawn(async move {
            while !power.is_off() {
                truth.enter(|facts| facts.sample(process, &running, &guard));
                tokio::time::sleep(SAMPLE_EVERY).await;
            }
        });
    }

    /// A life with mishaps.
    async fn suffer(&mut self, running: &Running) {
        for _ in 0..self.rng.u32(1..6) {
            let while_ms = self.rng.u64(5..250);
            tokio::time::sleep(Duration::from_millis(while_ms)).await;
            // Drawn in any case, so that the wall changes nothing else.
            let jump = self.rng.i64(-3_600_000..=3_600_000);
            if self.spine.wall_jumps {
                self.spine.clock.jump_wall(jump);
                self.watch.truth.facts().coverage.add("the wall jumped", 1);
            }
            match self.rng.u32(0..4) {
                0 => {
                    self.tell("paused");
                    let _ = running.pause(None);
                    tokio::time::sleep(Duration::from_millis(self.rng.u64(1..80))).await;
                    let _ = running.resume(None);
                }
                1 => self.spine.disk.set_faults(Faults::default()),
                _ => {}
            }
        }
        match self.rng.u32(0..4) {
            0 => self.watch.power.cut(Site::Timer),
            _ => self.drain(running).await,
        }
    }

    async fn drain(&mut self, running: &Running) {
        let bound = Duration::from_millis(self.rng.u64(0..200));
        let report = running.drain(bound).await;
        self.watch.truth.enter(|facts| {
            facts.sample(self.watch.process, running, &self.guard);
            facts.check_drained(running);
        });
        self.tell(if report.within_bound { "drained" } else { "drain cut short" });
        if report.commit_failed.is_some() {
            self.tell("the drain's commit failed");
        }
    }

    /// All dead letters, in order.
    fn letters(&self, broker: &Log) -> Vec<Record> {
        let mut letters = Vec::new();
        let (mut from, end) = (0, broker.end_offset(LETTERS, 0).unwrap_or(0));
        while from < end {
            match broker.fetch(LETTERS, 0, from, Limit { records: 1_000, bytes: 1 << 20 }) {
                Ok(batch) => {
                    from = batch.next;
                    letters.extend(batch.records.into_iter().map(|fetched| fetched.record));
                }
                Err(error) => {
                    self.unopened("the dead letters did not read", &error);
                    break;
                }
            }
        }
        letters
    }

    /// A calm life: everything finishes, and then everything is judged.
    async fn finish(&mut self, broker: &Log, running: &Running) {
        let partitions = self.spine.plan.partitions;
        let through = || {
            let ends = (0..partitions).map(|number| broker.end_offset(TOPIC, number).unwrap_or(u64::MAX));
            let facts = self.watch.truth.facts();
            let through = ends.enumerate().all(|(number, end)| facts.is_through(number as u32, end));
            through && self.spine.outboxes.iter().all(Outbox::is_empty)
        };
        let wait = async {
            while !through() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = tokio::time::timeout(CALM_MAX, wait).await;
        let told = format!("{:?}", running.snapshot());
        for number in 0..partitions {
            let end = broker.end_offset(TOPIC, number).unwrap_or(u64::MAX);
            self.watch.truth.enter(|facts| facts.check_live(number, end, &told));
        }
        let letters = self.letters(broker);
        self.drain(running).await;
        self.watch.truth.enter(|facts| {
            facts.check_letters(letters.iter());
            facts.check_end();
        });
    }
}
