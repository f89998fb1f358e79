//! One node: it writes records day and night, dies now and then, and reaches its cluster a tenth of the time.

use crate::room;
use crate::stage::{Shelf, named, outgoing, tell};
use crate::uplink::{Uplink, Windows, stamp};
use seawall_core::{Clock, Nanos, Outgoing};
use seawall_guard::{Backoff, BreakerOptions};
use seawall_producer::spill::look::{self, Kept};
use seawall_producer::{
    Compression, Driver, OpenError, Producer, ProducerOptions, ReplayOptions, SpillOptions, Synced, Target,
};
use seawall_testkit::SimClock;
use seawall_testkit::disk::PoweredDisk;
use seawall_testkit::power::{Cut, CutAt, Power, Site};
use seawall_testkit::runtime::live;
use seawall_wal::disk::SimDisk;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const CYCLE: Duration = Duration::from_mins(1);
pub(crate) const DISK_BYTES: u64 = 1 << 20;
const CYCLES: u32 = 10;
const KEYS: [&str; 5] = ["door", "pump", "tank", "valve", ""];
const SITES: [Site; 4] = [Site::BeforeWrite, Site::AfterSync, Site::BeforeName, Site::AfterSend];

/// What a node goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// It runs all the time.
    Steady,
    /// It dies wherever it happens to be.
    Dies,
    /// Its power goes while its way to the cluster is open, or with it.
    Sleeps,
    /// It writes more than its disk holds.
    Floods,
}

/// What the callers know: numbers with a receipt, and when it was given.
#[derive(Default)]
struct Ledger {
    next: BTreeMap<&'static str, u64>,
    acked: BTreeMap<(String, u64), Nanos>,
    refused: u64,
}

/// What a node came to.
#[derive(Debug, Default)]
pub(crate) struct Met {
    pub(crate) lives: u64,
    pub(crate) power_cuts: u64,
    pub(crate) kills: u64,
    pub(crate) acked: u64,
    pub(crate) refused: u64,
    pub(crate) repeats: u64,
    pub(crate) left: u64,
    pub(crate) spill_bytes: u64,
}

pub(crate) struct Node {
    rng: fastrand::Rng,
    fate: Fate,
    clock: SimClock,
    disk: SimDisk,
    shelf: Shelf,
    windows: Windows,
    ledger: Arc<Mutex<Ledger>>,
    met: Met,
}

/// What the docs advise an edge node to use, in small.
pub(crate) fn options() -> ProducerOptions {
    ProducerOptions {
        memory_bytes_max: 256 << 10,
        memory_records_max: 1_000,
        record_bytes_max: 16_000,
        batch_bytes: 16_000,
        lanes: 2,
        max_block: Duration::from_secs(1),
        timeout: Duration::from_secs(10),
        patience: Duration::from_millis(200),
        call_timeout: Duration::from_secs(5),
        backoff: Backoff { max: Duration::from_secs(1), ..Backoff::default() },
        breaker: BreakerOptions {
            calls_min: 2,
            open_for: Duration::from_millis(500),
            probes: 1,
            ..BreakerOptions::default()
        },
        replay: ReplayOptions {
            window_bytes: 64 << 10,
            checkpoint_bytes: 16 << 10,
            ..ReplayOptions::default()
        },
        spill: Some(SpillOptions {
            disk_bytes_max: DISK_BYTES,
            batch_bytes: 64 << 10,
            compression: Compression::Lz4,
            ..SpillOptions::new("/spill", "edge")
        }),
        driver: Driver::Inline,
        ..ProducerOptions::default()
    }
}

impl Node {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let fate = match seed % 9 {
            0 => Fate::Floods,
            1..4 => Fate::Dies,
            4..7 => Fate::Sleeps,
            _ => Fate::Steady,
        };
        Self {
            windows: Windows::draw(&mut rng, CYCLES, CYCLE),
            rng,
            fate,
            clock: SimClock::new(),
            disk: SimDisk::new(seed),
            shelf: Shelf::new(),
            ledger: Arc::default(),
            met: Met::default(),
        }
    }

    pub(crate) fn fate(&self) -> Fate {
        self.fate
    }

    pub(crate) fn run(mut self) -> Met {
        let (_, end) = self.windows.last();
        while self.clock.now() < end {
            self.life(end);
            // Nobody knows which year it is, nor for how long it was dark.
            self.clock.pass(Duration::from_millis(self.rng.u64(1..2_000)));
            self.jump();
        }
        self.judge_in_time();
        self.calm();
        self.judge()
    }

    fn jump(&mut self) {
        let years = self.rng.i64(-30..30);
        self.clock.jump_wall(years * 31_557_600_000 + self.rng.i64(-5_000..5_000));
    }

    /// Which step, and which instant, this life does not outlast.
    fn death(&mut self, end: Nanos) -> (Option<CutAt>, Nanos) {
        let now = self.clock.now();
        match self.fate {
            Fate::Steady | Fate::Floods => (None, end),
            Fate::Dies => {
                let site = self.rng.bool().then(|| SITES[self.rng.usize(0..SITES.len())]);
                (Some(CutAt { site, step: self.rng.u64(0..2_000) }), end)
            }
            Fate::Sleeps => {
                let Some((from, until)) = self.windows.next(now) else { return (None, end) };
                // In the middle of the replay, too; the last window is one that it lives through.
                let early = from.max(now).plus(Duration::from_millis(self.rng.u64(500..3_000)));
                let whole = until == end || self.rng.bool();
                (None, if whole { until } else { until.min(early) })
            }
        }
    }

    fn life(&mut self, end: Nanos) {
        self.met.lives += 1;
        let (cut_at, until) = self.death(end);
        let cut = if self.rng.bool() { Cut::Kill } else { Cut::Power };
        let power = Power::new(cut_at, cut, Some(self.disk.clone()));
        let clock = self.clock.clone();
        live(&clock, self.live(&power, until));
        tell(|| format!("{:?}: dead at {:?}: {:?}", self.fate, self.clock.now(), power.died_at()));
        match cut {
            Cut::Kill => self.met.kills += 1,
            Cut::Power => self.met.power_cuts += 1,
        }
    }

    fn open(&self, power: &Power, windows: Windows) -> Result<Producer, OpenError> {
        let disk = PoweredDisk::new(self.disk.clone(), power.clone());
        let uplink = Uplink {
            shelf: self.shelf.clone(),
            clock: self.clock.clone(),
            windows,
            bytes_per_second: match self.fate {
                Fate::Floods => 1 << 20,
                Fate::Sleeps => 12 << 10,
                _ => 24 << 10,
            },
            power: power.clone(),
        };
        let targets = vec![Target::new("cluster", uplink)];
        Producer::open_on(disk, Arc::new(self.clock.clone()), options(), targets)
    }

    async fn live(&mut self, power: &Power, until: Nanos) {
        let producer = match self.open(power, self.windows.clone()) {
            Ok(producer) => producer,
            Err(error) => {
                assert!(power.is_off(), "not opened: {error:?}");
                return;
            }
        };
        let writer = Writer {
            producer: producer.clone(),
            clock: self.clock.clone(),
            ledger: Arc::clone(&self.ledger),
            power: power.clone(),
            floods: self.fate == Fate::Floods,
        };
        tokio::spawn(writer.run(fastrand::Rng::with_seed(self.rng.u64(..))));
        while self.clock.now() < until && !power.is_off() {
            let rest = until.since(self.clock.now()).min(Duration::from_secs(7));
            tokio::select! {
                biased;
                () = power.dark() => {}
                () = tokio::time::sleep(rest) => {}
            }
            self.jump();
            self.met.spill_bytes = self.met.spill_bytes.max(room::used(&self.disk, Path::new("/spill")));
        }
        power.cut(Site::Timer);
    }

    fn came(&self) -> BTreeSet<(String, u64)> {
        self.shelf.taken().into_iter().map(|(key, n, _)| (key, n)).collect()
    }

    /// When the last window closes: what was there when it opened has come, and what was not is on disk.
    fn judge_in_time(&mut self) {
        let (ledger, came) = (self.ledger.lock().unwrap(), self.came());
        let mut waits = BTreeSet::new();
        let looked = look::each::<_, OpenError>(&self.disk, Path::new("/spill"), |_, kept| {
            if let Kept::Waiting(record) = kept {
                assert_eq!(record.record.timestamp, stamp(named(&record).1));
                waits.insert(named(&record));
            }
            Ok(())
        });
        looked.unwrap();
        let (from, _) = self.windows.last();
        for (record, at) in &ledger.acked {
            assert!(came.contains(record) || waits.contains(record), "{record:?} had a receipt, and is lost");
            let in_time = *at >= from || came.contains(record);
            assert!(in_time, "{record:?} waited since {at:?} and missed the window at {from:?}");
        }
        self.met.left = waits.difference(&came).count() as u64;
    }

    /// The way stays open: the rest comes, and what a death had repeated is repeated to its end.
    fn calm(&mut self) {
        let clock = self.clock.clone();
        live(&clock, async {
            let producer = self.open(&Power::new(None, Cut::Kill, None), Windows::always()).unwrap();
            let until = clock.now().plus(Duration::from_mins(2));
            while producer.snapshot().backlog_records > 0 {
                assert!(clock.now() < until, "the rest never comes: {:#?}", producer.snapshot());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            producer.close(Duration::from_secs(1)).await;
        });
    }

    fn judge(mut self) -> Met {
        let (ledger, came) = (self.ledger.lock().unwrap(), self.came());
        self.shelf.judge_among(|key, n| ledger.acked.contains_key(&(key.to_owned(), n))).unwrap();
        assert!(ledger.acked.keys().all(|record| came.contains(record)));
        self.met.acked = ledger.acked.len() as u64;
        self.met.refused = ledger.refused;
        self.met.repeats = (self.shelf.taken().len() - came.len()) as u64;
        self.met
    }
}

/// The node's own work: a reading now and then, until the power goes.
struct Writer {
    producer: Producer,
    clock: SimClock,
    ledger: Arc<Mutex<Ledger>>,
    power: Power,
    floods: bool,
}

impl Writer {
    async fn run(self, mut rng: fastrand::Rng) {
        loop {
            let key = KEYS[rng.usize(0..KEYS.len())];
            let count = if self.floods { 8 } else { rng.u64(1..5) };
            let first = {
                let mut ledger = self.ledger.lock().unwrap();
                let next = ledger.next.entry(key).or_default();
                *next += count;
                *next - count
            };
            let records = (first..first + count).map(|n| self.reading(key, n, &mut rng)).collect();
            for (n, sent) in (first..).zip(self.producer.send_all::<Synced>(records).await) {
                // A receipt that a dead process gives is heard by nobody.
                if self.power.is_off() {
                    return;
                }
                let mut ledger = self.ledger.lock().unwrap();
                match sent {
                    Ok(_) => drop(ledger.acked.insert((key.to_owned(), n), self.clock.now())),
                    Err(_) => ledger.refused += 1,
                }
            }
            let most = if self.floods { 1_000 } else { 3_000 };
            tokio::time::sleep(Duration::from_millis(rng.u64(100..most))).await;
        }
    }

    fn reading(&self, key: &str, n: u64, rng: &mut fastrand::Rng) -> Outgoing {
        let mut outgoing = outgoing(key, n);
        outgoing.record.value = if self.floods {
            let noise: String = (0..4_000).map(|_| rng.alphanumeric()).collect();
            format!("{key}:{n}:{noise}").into()
        } else {
            let (bar, celsius) = (rng.u32(900..1_100), rng.u32(100..400));
            format!("{key}:{n}:{{\"site\":\"harbour-east\",\"sensor\":\"{key}\",\"pressure_mbar\":{bar},\"temperature\":{celsius},\"status\":\"ok\",\"firmware\":\"4.17.2\"}}").into()
        };
        outgoing.record.timestamp = stamp(n);
        outgoing
    }
}
