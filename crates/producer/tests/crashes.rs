//! Lives that end at a random instant, by `kill -9` or a power cut, over a disk and a sink that fail by a seed: whatever
//! had a receipt is delivered (or kept aside, where the sink refused it for good), each key in its order, each
//! repeat with the same id.
//!
//! A failing seed is printed; `SEAWALL_SEED=n` replays it alone, `SEAWALL_SOAK=1` runs twenty times as many.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod stage;

use seawall_core::Clock;
use seawall_producer::spill::look::{self, Kept};
use seawall_producer::{
    Compression, Driver, OpenError, Outcome, Producer, ProducerOptions, Replicated, SpillOptions, State,
    Synced, Target,
};
use seawall_testkit::SimClock;
use seawall_testkit::disk::PoweredDisk;
use seawall_testkit::power::{Cut, CutAt, Power, Site};
use seawall_testkit::runtime::live;
use seawall_wal::disk::{FaultCounts, Faults, SimDisk};
use stage::{Mood, Shelf, outgoing, tell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SITES: [Site; 8] = [
    Site::BeforeWrite,
    Site::AfterWrite,
    Site::BeforeSync,
    Site::AfterSync,
    Site::BeforeName,
    Site::AfterName,
    Site::BeforeSend,
    Site::AfterSend,
];
const MOODS: [Mood; 10] = [
    Mood::Up,
    Mood::Down,
    Mood::AckLost,
    Mood::Partly,
    Mood::FirstAckLost,
    Mood::Hang,
    Mood::Slow,
    Mood::Overload,
    Mood::Alone,
    Mood::Refuse,
];
const KEYS: [&str; 7] = ["a", "b", "c", "d", "e", "f", ""];

/// What the callers know.
#[derive(Default)]
struct Ledger {
    next: BTreeMap<&'static str, u64>,
    acked: BTreeSet<(String, u64)>,
    failed: u64,
}

/// What the seeds met.
#[derive(Debug, Default)]
struct Met {
    deaths: BTreeMap<(Site, bool), u64>,
    states: BTreeMap<&'static str, u64>,
    moods: BTreeMap<Mood, u64>,
    disk: FaultCounts,
    refused: u64,
    failed: u64,
    acked: u64,
    repeats: u64,
    not_opened: u64,
}

struct Run {
    rng: fastrand::Rng,
    clock: SimClock,
    disk: SimDisk,
    shelf: Shelf,
    ledger: Arc<Mutex<Ledger>>,
    moods: Vec<Mood>,
    faults: Faults,
    met: Met,
}

fn options(rng: &mut fastrand::Rng) -> ProducerOptions {
    let spill = SpillOptions {
        disk_bytes_max: 1 << 20,
        batch_bytes: rng.usize(500..20_000),
        // Each life as it likes.
        compression: if rng.bool() { Compression::Lz4 } else { Compression::None },
        ..SpillOptions::new("/spill", "crashes")
    };
    let mut options = ProducerOptions {
        memory_records_max: rng.usize(4..200),
        record_bytes_max: 10_000,
        batch_bytes: 10_000,
        batch_records: rng.usize(1..20),
        lanes: rng.usize(1..5),
        max_block: Duration::from_secs(1),
        timeout: Duration::from_secs(5),
        patience: Duration::from_millis(100),
        call_timeout: Duration::from_millis(rng.u64(1_500..4_000)),
        spill: Some(spill),
        driver: Driver::Inline,
        ..ProducerOptions::default()
    };
    options.replay.checkpoint_bytes = rng.u64(100..5_000);
    options.replay.window_bytes = rng.usize(10_000..40_000);
    options
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let moods =
            (0..rng.usize(1..4)).map(|_| MOODS[rng.usize(1..MOODS.len())]).chain([Mood::Up]).collect();
        let some = |rng: &mut fastrand::Rng, of: u32| if rng.u32(0..3) == 0 { rng.u32(1..of) } else { 0 };
        let faults = Faults {
            write_eio: some(&mut rng, 300),
            sync_eio: some(&mut rng, 500),
            dir_sync_eio: some(&mut rng, 500),
            space_bytes: if rng.u32(0..5) == 0 { rng.u64(70_000..400_000) } else { 0 },
        };
        let faults = if rng.bool() { faults } else { Faults::default() };
        let mut shelf = Shelf::new();
        shelf.latency = Duration::from_millis(rng.u64(1..40));
        Self {
            disk: SimDisk::new(seed ^ 0xd15c),
            rng,
            clock: SimClock::new(),
            shelf,
            ledger: Arc::default(),
            moods,
            faults,
            met: Met::default(),
        }
    }

    fn power(&mut self) -> Power {
        let site = self.rng.bool().then(|| SITES[self.rng.usize(0..SITES.len())]);
        // Names change rarely.
        let step = match site {
            Some(Site::BeforeName | Site::AfterName) => self.rng.u64(0..6),
            Some(_) => self.rng.u64(0..60),
            None => self.rng.u64(0..1_500),
        };
        let cut = if self.rng.bool() { Cut::Kill } else { Cut::Power };
        Power::new(Some(CutAt { site, step }), cut, Some(self.disk.clone()))
    }

    fn open(&mut self, power: &Power) -> Result<Producer, OpenError> {
        let disk = PoweredDisk::new(self.disk.clone(), power.clone());
        let targets = vec![Target::new("kafka", self.shelf.powered(power))];
        Producer::open_on(disk, Arc::new(self.clock.clone()), options(&mut self.rng), targets)
    }

    fn life(&mut self) {
        self.disk.set_faults(if self.rng.bool() { self.faults } else { Faults::default() });
        let power = self.power();
        // Whatever the wall shows, nothing waits for it.
        self.clock.jump_wall(self.rng.i64(-100_000_000_000..100_000_000_000));
        let clock = self.clock.clone();
        let state = live(&clock, self.live(&power));
        tell(|| format!("the life ended: {:?}, while {state:?}", power.died_at()));
        match power.died_at() {
            Some((site, cut)) => {
                *self.met.deaths.entry((site, cut == Cut::Power)).or_default() += 1;
                if let Some(state) = state {
                    *self.met.states.entry(state.as_str()).or_default() += 1;
                }
            }
            // It was only asked to stop, or left: all the same to the disk.
            None => self.disk.kill(),
        }
    }

    async fn live(&mut self, power: &Power) -> Option<State> {
        let producer = match self.open(power) {
            Ok(producer) => producer,
            Err(error) => {
                // Only an injected fault may have refused it.
                let meant = power.is_off() || self.disk.counts() != FaultCounts::default();
                assert!(meant, "not opened: {error:?}");
                self.met.not_opened += 1;
                return None;
            }
        };
        for key in KEYS {
            let rng = fastrand::Rng::with_seed(self.rng.u64(..));
            tokio::spawn(send(producer.clone(), key, Arc::clone(&self.ledger), power.clone(), rng));
        }
        let moods = tokio::spawn({
            let (shelf, moods, mut rng) =
                (self.shelf.clone(), self.moods.clone(), fastrand::Rng::with_seed(self.rng.u64(..)));
            async move {
                loop {
                    shelf.set(*rng.choice(&moods).unwrap());
                    tokio::time::sleep(Duration::from_millis(rng.u64(20..4_000))).await;
                }
            }
        });
        let within = Duration::from_millis(self.rng.u64(100..30_000));
        tokio::select! {
            biased;
            () = power.dark() => {}
            () = tokio::time::sleep(within) => {
                if self.rng.bool() {
                    producer.close(Duration::from_millis(self.rng.u64(0..3_000))).await;
                }
            }
        }
        moods.abort();
        Some(producer.snapshot().state)
    }

    /// Nothing fails any more: everything comes.
    fn calm(&mut self) {
        self.disk.set_faults(Faults::default());
        self.shelf.set(Mood::Up);
        let power = Power::new(None, Cut::Kill, None);
        let clock = self.clock.clone();
        live(&clock, async {
            let producer = self.open(&power).unwrap();
            let until = clock.now().plus(Duration::from_mins(2));
            while producer.snapshot().backlog_records > 0 {
                assert!(clock.now() < until, "the spill is never delivered: {:#?}", producer.snapshot());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            producer.send::<Replicated>(outgoing("z", 0)).await.unwrap();
            producer.close(Duration::from_secs(1)).await;
        });
    }

    fn judge(mut self) -> Met {
        let acked = self.ledger.lock().unwrap().acked.clone();
        // Where the disk takes no progress for long, keys go on all the same, and a crash then repeats more.
        // And what a sink wrote and then refuses is kept aside, not repeated.
        let sound = self.faults == Faults::default() && !self.moods.contains(&Mood::Refuse);
        self.shelf.judge_among(|key, n| sound && acked.contains(&(key.to_owned(), n))).unwrap();
        let taken = self.shelf.taken();
        let mut safe: BTreeSet<(String, u64)> = taken.iter().map(|(key, n, _)| (key.clone(), *n)).collect();
        self.met.repeats = (taken.len() - safe.len()) as u64;
        let summary = look::each::<_, OpenError>(&self.disk, Path::new("/spill"), |_, kept| {
            if let Kept::Refused { record, .. } = kept {
                safe.insert(stage::named(&record));
            }
            Ok(())
        });
        let summary = summary.unwrap();
        assert_eq!(summary.waiting, 0);
        let ledger = self.ledger.lock().unwrap();
        let lost: Vec<_> = ledger.acked.difference(&safe).collect();
        assert!(lost.is_empty(), "had a receipt and never came: {lost:?}");
        self.met.refused = summary.refused;
        self.met.failed = ledger.failed;
        self.met.acked = ledger.acked.len() as u64;
        self.met.moods = self.shelf.met();
        self.met.disk = self.disk.counts();
        assert_eq!(self.met.disk.touched_after_failure, 0, "a failed file was touched again");
        self.met
    }
}

async fn send(
    producer: Producer,
    key: &'static str,
    ledger: Arc<Mutex<Ledger>>,
    power: Power,
    mut rng: fastrand::Rng,
) {
    loop {
        let count = if rng.bool() { 1 } else { rng.u64(1..12) };
        let first = {
            let mut ledger = ledger.lock().unwrap();
            let next = ledger.next.entry(key).or_default();
            *next += count;
            *next - count
        };
        let records = (first..first + count).map(|n| outgoing(key, n)).collect();
        let note = |n: u64, ok: bool| {
            // A receipt that a dead process gives is heard by nobody.
            if !power.is_off() {
                let mut ledger = ledger.lock().unwrap();
                if ok {
                    ledger.acked.insert((key.to_owned(), n));
                } else {
                    ledger.failed += 1;
                }
            }
        };
        match rng.u8(0..5) {
            0 | 1 => {
                let answers = producer.send_all::<Replicated>(records).await;
                tell(|| format!("{key}:{first} {answers:?}"));
                (first..).zip(answers).for_each(|(n, answer)| note(n, answer.is_ok()));
            }
            2 => {
                let (ledger, power) = (Arc::clone(&ledger), power.clone());
                let heard = move |outcome: Outcome| {
                    if outcome.is_ok() && !power.is_off() {
                        ledger.lock().unwrap().acked.insert((key.to_owned(), first));
                    }
                };
                // The rest of its numbers is never used.
                if producer.send_buffered(outgoing(key, first), heard).await.is_err() {
                    note(first, false);
                }
            }
            _ => {
                let answers = producer.send_all::<Synced>(records).await;
                tell(|| format!("{key}:{first} {answers:?}"));
                (first..).zip(answers).for_each(|(n, answer)| note(n, answer.is_ok()));
            }
        }
        tokio::time::sleep(Duration::from_millis(rng.u64(1..200))).await;
    }
}

fn run(seed: u64) -> Met {
    let mut run = Run::new(seed);
    for _ in 0..run.rng.usize(1..6) {
        run.life();
    }
    run.calm();
    run.judge()
}

#[test]
fn whatever_had_a_receipt_survives_every_seeded_death() {
    let seeds = match std::env::var("SEAWALL_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..if std::env::var_os("SEAWALL_SOAK").is_some() { 6_000 } else { 300 },
    };
    let alone = seeds.end - seeds.start == 1;
    let mut all = Met::default();
    for seed in seeds {
        let Ok(met) = std::panic::catch_unwind(|| run(seed)) else {
            panic!("seed {seed} fails: replay it with SEAWALL_SEED={seed}")
        };
        met.deaths.iter().for_each(|(at, n)| *all.deaths.entry(*at).or_default() += n);
        met.states.iter().for_each(|(at, n)| *all.states.entry(at).or_default() += n);
        met.moods.iter().for_each(|(at, n)| *all.moods.entry(*at).or_default() += n);
        all.disk.crashes += met.disk.crashes;
        all.disk.write_eio += met.disk.write_eio;
        all.disk.sync_eio += met.disk.sync_eio;
        all.disk.dir_sync_eio += met.disk.dir_sync_eio;
        all.disk.no_space += met.disk.no_space;
        all.disk.sectors_lost += met.disk.sectors_lost;
        all.disk.sectors_torn += met.disk.sectors_torn;
        all.disk.names_lost += met.disk.names_lost;
        all.refused += met.refused;
        all.failed += met.failed;
        all.acked += met.acked;
        all.repeats += met.repeats;
        all.not_opened += met.not_opened;
    }
    println!("{all:#?}");
    if alone {
        return;
    }
    for site in SITES {
        for power in [false, true] {
            assert!(all.deaths.contains_key(&(site, power)), "nobody died at {site:?}, power cut: {power}");
        }
    }
    for state in State::ALL {
        assert!(all.states.contains_key(state.as_str()), "nobody died while {state:?}");
    }
    for mood in MOODS {
        assert!(all.moods.contains_key(&mood), "the sink was never {mood:?}");
    }
    let disk = [all.disk.write_eio, all.disk.sync_eio, all.disk.dir_sync_eio, all.disk.no_space];
    let lost = [all.disk.sectors_lost, all.disk.sectors_torn, all.disk.names_lost];
    let rest = [all.refused, all.failed, all.acked, all.repeats, all.not_opened];
    let met = disk.iter().chain(&lost).chain(&rest);
    assert!(met.into_iter().all(|hits| *hits > 0), "something was never met");
}
