//! Every boundary of the spill, each met: one script (begin, spill over several segments, replay, put aside, close) is
//! cut down before and after each write, sync, creation, rename and removal that it makes, by `kill -9` and by
//! the loss of power, from an empty disk and from one that a crash left. The next life builds upon that and loses its
//! power, too; a last one then delivers the rest.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod stage;

use seawall_core::{Clock, Outgoing};
use seawall_producer::spill::look::{self, Kept};
use seawall_producer::{
    Driver, OpenError, Producer, ProducerOptions, Replicated, SpillOptions, Synced, Target,
};
use seawall_testkit::SimClock;
use seawall_testkit::disk::PoweredDisk;
use seawall_testkit::power::{Cut, CutAt, Power, Site};
use seawall_testkit::runtime::live;
use seawall_wal::disk::SimDisk;
use stage::{Mood, Shelf, outgoing};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the script is at.
const OPEN: u8 = 0;
const SPILL: u8 = 1;
const REPLAY: u8 = 2;
const PUT_ASIDE: u8 = 3;
const CLOSE: u8 = 4;

/// What lies where the cut came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Manifest,
    Log,
    Refused,
}

impl Place {
    fn of(path: &Path) -> Self {
        match path.strip_prefix("/spill").unwrap().iter().next().and_then(|name| name.to_str()) {
            Some("log") => Self::Log,
            Some("refused") => Self::Refused,
            _ => Self::Manifest,
        }
    }
}

type Deaths = BTreeMap<(Place, u8, Site, bool), u64>;

fn options() -> ProducerOptions {
    let spill = SpillOptions { disk_bytes_max: 1 << 20, ..SpillOptions::new("/spill", "boundaries") };
    let mut options = ProducerOptions {
        record_bytes_max: 20_000,
        batch_bytes: 20_000,
        lanes: 2,
        spill: Some(spill),
        driver: Driver::Inline,
        ..ProducerOptions::default()
    };
    options.replay.checkpoint_bytes = 15_000;
    options.replay.window_bytes = 40_000;
    options
}

fn big(key: &str, n: u64) -> Outgoing {
    let mut outgoing = outgoing(key, n);
    outgoing.record.value = format!("{key}:{n}:{}", "x".repeat(6_000)).into();
    outgoing
}

/// The disk, the sink and the callers' knowledge: what outlives the process.
struct World {
    clock: SimClock,
    disk: SimDisk,
    shelf: Shelf,
    acked: Arc<Mutex<Vec<(String, u64)>>>,
    at: Arc<AtomicU8>,
}

impl World {
    fn new(seed: u64) -> Self {
        let (acked, at) = (Arc::default(), Arc::default());
        Self { clock: SimClock::new(), disk: SimDisk::new(seed), shelf: Shelf::new(), acked, at }
    }

    /// One life; `numbers` is where its records' numbers begin. Stops by itself after the spilling where `short`.
    fn life(&self, power: &Power, numbers: u64, short: bool) {
        self.at.store(OPEN, Relaxed);
        live(&self.clock, async {
            tokio::select! {
                biased;
                () = power.dark() => {}
                () = self.script(power, numbers, short) => {}
            }
        });
        if power.died_at().is_none() {
            power.cut(Site::Timer);
        }
    }

    async fn send(&self, producer: &Producer, power: &Power, records: Vec<(&str, u64)>) {
        let answers =
            producer.send_all::<Synced>(records.iter().map(|(key, n)| big(key, *n)).collect()).await;
        for ((key, n), answer) in records.into_iter().zip(answers) {
            // A receipt that a dead process gives is heard by nobody.
            if answer.is_ok() && !power.is_off() {
                self.acked.lock().unwrap().push((key.to_owned(), n));
            }
        }
    }

    async fn script(&self, power: &Power, numbers: u64, short: bool) {
        self.shelf.set(Mood::Down);
        let disk = PoweredDisk::new(self.disk.clone(), power.clone());
        let targets = vec![Target::new("kafka", self.shelf.powered(power))];
        let opened = Producer::open_on(disk, Arc::new(self.clock.clone()), options(), targets);
        let Ok(producer) = opened else {
            assert!(power.is_off(), "not opened: {:?}", opened.err());
            return power.dark().await;
        };
        self.at.store(SPILL, Relaxed);
        for n in numbers..numbers + 12 {
            self.send(&producer, power, vec![("a", n), ("b", n)]).await;
        }
        if short {
            return;
        }
        self.at.store(REPLAY, Relaxed);
        self.shelf.set(Mood::Up);
        self.emptied(&producer).await;
        self.at.store(PUT_ASIDE, Relaxed);
        self.shelf.set(Mood::Down);
        self.send(&producer, power, vec![("r", numbers)]).await;
        self.shelf.set(Mood::Refuse);
        self.emptied(&producer).await;
        self.at.store(CLOSE, Relaxed);
        self.shelf.set(Mood::Up);
        self.send(&producer, power, vec![("a", numbers + 12)]).await;
        producer.close(Duration::from_secs(1)).await;
    }

    async fn emptied(&self, producer: &Producer) {
        let until = self.clock.now().plus(Duration::from_mins(5));
        while producer.snapshot().backlog_records > 0 {
            assert!(self.clock.now() < until, "never: {:#?}", producer.snapshot());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The last life: everything that is left comes.
    fn calm(&self) {
        self.shelf.set(Mood::Up);
        live(&self.clock, async {
            let targets = vec![Target::new("kafka", self.shelf.clone())];
            let clock = Arc::new(self.clock.clone());
            let producer = Producer::open_on(self.disk.clone(), clock, options(), targets).unwrap();
            self.emptied(&producer).await;
            producer.send::<Replicated>(outgoing("z", 0)).await.unwrap();
            producer.close(Duration::from_secs(1)).await;
        });
    }

    fn judge(&self) {
        let acked = self.acked.lock().unwrap();
        let had = |key: &str, n: u64| acked.contains(&(key.to_owned(), n));
        self.shelf.judge_among(had).unwrap();
        let mut safe: Vec<_> = self.shelf.taken().into_iter().map(|(key, n, _)| (key, n)).collect();
        let summary = look::each::<_, OpenError>(&self.disk, Path::new("/spill"), |_, kept| {
            if let Kept::Refused { record, .. } = kept {
                safe.push(stage::named(&record));
            }
            Ok(())
        });
        assert_eq!(summary.unwrap().waiting, 0);
        let lost: Vec<_> = acked.iter().filter(|record| !safe.contains(record)).collect();
        assert!(lost.is_empty(), "had a receipt and never came: {lost:?}");
    }
}

/// Cuts at the boundary `step`; whether the script got that far.
fn run(step: u64, cut: Cut, after_a_crash: bool, deaths: &mut Deaths) -> bool {
    let world = World::new(step ^ u64::from(after_a_crash) << 40);
    let mut numbers = 0;
    if after_a_crash {
        world.life(&Power::new(None, Cut::Power, Some(world.disk.clone())), 0, true);
        numbers = 100;
    }
    let cut_at = CutAt { site: None, step };
    let power = Power::new(Some(cut_at), cut, Some(world.disk.clone()));
    world.life(&power, numbers, false);
    if let Some(path) = power.died_on() {
        let (site, cut) = power.died_at().unwrap();
        let death = (Place::of(&path), world.at.load(Relaxed), site, cut == Cut::Power);
        *deaths.entry(death).or_default() += 1;
    }
    // The next life builds upon what this one left, and loses its power, too.
    world.life(&Power::new(None, Cut::Power, Some(world.disk.clone())), 200, true);
    let reached = power.died_at().is_some_and(|(site, _)| site != Site::Timer);
    world.calm();
    world.judge();
    reached
}

#[test]
fn a_cut_at_every_boundary_of_the_spill_loses_nothing() {
    let mut deaths = Deaths::new();
    for after_a_crash in [false, true] {
        for cut in [Cut::Kill, Cut::Power] {
            let mut step = 0;
            loop {
                let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    run(step, cut, after_a_crash, &mut deaths)
                }));
                let Ok(reached) = ran else {
                    panic!("fails at boundary {step}, {cut:?}, after a crash: {after_a_crash}")
                };
                if !reached {
                    break;
                }
                step += 1;
            }
            println!("{step} boundaries by {cut:?}, after a crash: {after_a_crash}");
        }
    }
    println!("{deaths:#?}");
    let writes = [Site::BeforeWrite, Site::AfterWrite, Site::BeforeSync, Site::AfterSync];
    let names = [Site::BeforeName, Site::AfterName];
    // The manifest is written once; while nothing but the replay writes, it is the progress that is written.
    let files =
        [(Place::Manifest, OPEN), (Place::Log, SPILL), (Place::Log, REPLAY), (Place::Refused, PUT_ASIDE)];
    for (place, at) in files {
        for site in writes {
            for power in [false, true] {
                assert!(
                    deaths.contains_key(&(place, at, site, power)),
                    "none: {place:?} {at} {site:?} {power}"
                );
            }
        }
    }
    for place in [Place::Manifest, Place::Log, Place::Refused] {
        for site in names {
            let met =
                |power: bool| deaths.keys().any(|(p, _, s, cut)| (*p, *s, *cut) == (place, site, power));
            assert!(met(false) && met(true), "none: {place:?} {site:?}");
        }
    }
}
