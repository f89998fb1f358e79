//! A sink that does what a script says, and writes down what it really took.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test file takes what it needs"
)]

use seawall_core::token::TOKEN_HEADER;
use seawall_core::{Class, Durability, Fault, Outgoing, Receipt, Record, Sink, TopicPartition};
use seawall_testkit::power::{Power, Site};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the sink does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mood {
    /// Takes it.
    Up,
    /// Refuses it; nothing is written.
    Down,
    /// Writes it, and the acknowledgement is lost.
    AckLost,
    /// Writes a part from the front, answers for that, and fails the rest.
    Partly,
    /// Writes everything, and answers with an error for the first record.
    FirstAckLost,
    /// Never answers; nothing is written.
    Hang,
    /// Answers late: the records are written at the end.
    Slow,
    /// Says that it has too much to do.
    Overload,
    /// Takes all records but those of keys `a` and `c`, and some without a key.
    Alone,
    /// Refuses the records for good.
    Refuse,
    /// Refuses all records for good but those of key `a`, which fail. A call with the key `z` is not answered while this lasts:
    /// then the first of that key is refused for good, and everything else taken.
    RefuseOthers,
    /// Refuses those of key `a` for good, and takes all others.
    RefuseOne,
    /// Takes those of one key, and refuses all others for good.
    RefuseAllBut(&'static str),
    /// Refuses those with the number 0 for good, and takes all others.
    RefuseFirst,
    /// The same, but those with the number 1 fail.
    RefuseFirstFailSecond,
    Panic,
}

#[derive(Debug, Default)]
struct Inner {
    taken: Vec<(String, u64, String)>,
    /// Refused for good once: kept aside from then on, and out of the order.
    refused: Vec<(String, u64)>,
    calls: u64,
    /// Records that came as copies.
    copied: u64,
    moods: BTreeMap<Mood, u64>,
}

/// The sink's memory; clones share it.
#[derive(Clone, Debug)]
pub struct Shelf {
    inner: Arc<Mutex<Inner>>,
    mood: Arc<Mutex<Mood>>,
    pub latency: Duration,
    pub power: Option<Power>,
    pub gives: Durability,
}

pub fn outgoing(key: &str, n: u64) -> Outgoing {
    let record = Record::new(bytes(key), format!("{key}:{n}"));
    Outgoing { topic: "orders".into(), partition: None, record }
}

/// The same with so many bytes more.
pub fn sized(key: &str, n: u64, bytes: usize) -> Outgoing {
    let mut outgoing = outgoing(key, n);
    outgoing.record.value = format!("{key}:{n}:{}", "x".repeat(bytes)).into();
    outgoing
}

fn bytes(key: &str) -> Option<bytes::Bytes> {
    (!key.is_empty()).then(|| bytes::Bytes::from(key.to_owned()))
}

impl Shelf {
    pub fn new() -> Self {
        Self {
            inner: Arc::default(),
            mood: Arc::new(Mutex::new(Mood::Up)),
            latency: Duration::from_millis(2),
            power: None,
            gives: Durability::Replicated,
        }
    }

    pub fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub fn mood(&self) -> Mood {
        *self.mood.lock().unwrap()
    }

    /// The same shelf, reached from another life.
    pub fn powered(&self, power: &Power) -> Self {
        Self { power: Some(power.clone()), ..self.clone() }
    }

    pub fn calls(&self) -> u64 {
        self.inner.lock().unwrap().calls
    }

    /// How often each mood was met.
    pub fn met(&self) -> BTreeMap<Mood, u64> {
        self.inner.lock().unwrap().moods.clone()
    }

    pub fn copied(&self) -> u64 {
        self.inner.lock().unwrap().copied
    }

    /// All that was taken: key, number, id.
    pub fn taken(&self) -> Vec<(String, u64, String)> {
        self.inner.lock().unwrap().taken.clone()
    }

    pub fn count(&self, key: &str, n: u64) -> usize {
        self.taken().iter().filter(|(k, m, _)| k == key && *m == n).count()
    }

    /// Takes records that came from elsewhere, at once: key, number, id.
    pub fn put(&self, records: impl Iterator<Item = (String, u64, String)>) {
        let records: Vec<_> = records.collect();
        self.inner.lock().unwrap().taken.extend(records);
    }

    fn write(&self, records: &[Outgoing]) {
        let mut inner = self.inner.lock().unwrap();
        for outgoing in records {
            let (key, n) = named(outgoing);
            let id = outgoing.record.headers.get_str(TOKEN_HEADER).unwrap().to_owned();
            inner.taken.push((key, n, id));
        }
    }

    fn receipt(&self, outgoing: &Outgoing) -> Receipt {
        Receipt {
            partition: TopicPartition::new(outgoing.topic.clone(), 0),
            offset: 0,
            durability: self.gives,
        }
    }

    /// As [`Shelf::judge_among`], of all records.
    pub fn judge(&self) -> Result<(), String> {
        self.judge_among(|_, _| true)
    }

    /// The rules that hold whatever happened: each record has one id, and each key its order in what was seen first; and
    /// in what was seen last, among those that had a receipt. (Without one, the end of a batch may have been written
    /// by a call whose beginning is repeated after a crash.)
    pub fn judge_among(&self, had_receipt: impl Fn(&str, u64) -> bool) -> Result<(), String> {
        let mut ids: BTreeMap<(String, u64), String> = BTreeMap::new();
        let mut first: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        let mut last: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        let taken = self.taken();
        let refused: BTreeSet<_> = self.inner.lock().unwrap().refused.iter().cloned().collect();
        for (key, n, id) in &taken {
            let known = ids.entry((key.clone(), *n)).or_insert_with(|| id.clone());
            if known != id {
                return Err(format!("{key}:{n} came as {known} and as {id}"));
            }
            if key.is_empty() || refused.contains(&(key.clone(), *n)) {
                continue;
            }
            let firsts = first.entry(key).or_default();
            if !firsts.contains(n) {
                if firsts.last().is_some_and(|before| before > n) {
                    return Err(format!("{key}:{n} came first after a later one: {}", self.of(key)));
                }
                firsts.push(*n);
            }
            if !had_receipt(key, *n) {
                continue;
            }
            let lasts = last.entry(key).or_default();
            lasts.retain(|m| m != n);
            lasts.push(*n);
        }
        match last.iter().find(|(_, ns)| !ns.is_sorted()) {
            Some((key, _)) => Err(format!("{key} ends out of order: {}", self.of(key))),
            None => Ok(()),
        }
    }

    pub fn of(&self, key: &str) -> String {
        let taken = self.taken();
        let of: Vec<_> = taken.iter().filter(|(k, ..)| k == key).map(|(_, n, _)| n.to_string()).collect();
        of.join(" ")
    }
}

/// A seed that is replayed alone tells its story.
#[expect(clippy::print_stdout, reason = "for a person who replays a seed")]
pub fn tell(what: impl FnOnce() -> String) {
    if std::env::var_os("SEAWALL_SEED").is_some() {
        println!("{}", what());
    }
}

/// Key and number of a record.
pub fn named(outgoing: &Outgoing) -> (String, u64) {
    let value = String::from_utf8(outgoing.record.value.to_vec()).unwrap();
    let (key, n) = value.split_once(':').unwrap();
    (key.to_owned(), n.split(':').next().unwrap().parse().unwrap())
}

fn failed(class: Class, what: &'static str) -> Fault {
    Fault::new(class, what)
}

impl Sink for Shelf {
    async fn send(&self, records: Vec<Outgoing>) -> Vec<Result<Receipt, Fault>> {
        self.inner.lock().unwrap().copied += records.len() as u64;
        self.send_shared(Arc::new(records)).await
    }

    /// Reads its records where the producer keeps them, as a client of a broker does.
    async fn send_shared(&self, records: Arc<Vec<Outgoing>>) -> Vec<Result<Receipt, Fault>> {
        if let Some(power) = &self.power {
            power.alive(Site::BeforeSend).await;
        }
        let mood = self.mood();
        {
            let mut inner = self.inner.lock().unwrap();
            inner.calls += 1;
            *inner.moods.entry(mood).or_default() += 1;
        }
        tell(|| format!("{mood:?} {:?}", records.iter().map(|r| &r.record.value).collect::<Vec<_>>()));
        tokio::time::sleep(self.latency).await;
        if let Some(power) = &self.power {
            power.alive(Site::BeforeSend).await;
        }
        let all = |fault: Fault| records.iter().map(|_| Err(fault.clone())).collect::<Vec<_>>();
        let mut answers: Vec<_> = records.iter().map(|outgoing| Ok(self.receipt(outgoing))).collect();
        match mood {
            Mood::Up => self.write(&records),
            Mood::Down => answers = all(failed(Class::Transient, "no broker")),
            Mood::Overload => {
                answers = all(failed(Class::Overload, "too much to do").after(Duration::from_millis(300)));
            }
            Mood::Refuse => {
                self.inner.lock().unwrap().refused.extend(records.iter().map(named));
                answers = all(failed(Class::Permanent, "never"));
            }
            Mood::RefuseOne | Mood::RefuseAllBut(_) | Mood::RefuseFirst | Mood::RefuseFirstFailSecond => {
                for (outgoing, answer) in records.iter().zip(&mut answers) {
                    let (key, n) = named(outgoing);
                    let refuses = match mood {
                        Mood::RefuseAllBut(kept) => key != kept,
                        Mood::RefuseFirst | Mood::RefuseFirstFailSecond => n == 0,
                        _ => key == "a",
                    };
                    if refuses {
                        self.inner.lock().unwrap().refused.push(named(outgoing));
                        *answer = Err(failed(Class::Permanent, "never"));
                    } else if mood == Mood::RefuseFirstFailSecond && n == 1 {
                        *answer = Err(failed(Class::Transient, "its partition has no leader"));
                    } else {
                        self.write(std::slice::from_ref(outgoing));
                    }
                }
            }
            Mood::RefuseOthers if records.iter().any(|outgoing| named(outgoing).0 == "z") => {
                while self.mood() == Mood::RefuseOthers {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                for (outgoing, answer) in records.iter().zip(&mut answers) {
                    if named(outgoing) == ("z".to_owned(), 0) {
                        *answer = Err(failed(Class::Permanent, "never"));
                    } else {
                        self.write(std::slice::from_ref(outgoing));
                    }
                }
            }
            Mood::RefuseOthers => {
                answers.clear();
                answers.extend(records.iter().map(|outgoing| match &*named(outgoing).0 {
                    "a" => Err(failed(Class::Transient, "its partition has no leader")),
                    _ => Err(failed(Class::Permanent, "never")),
                }));
            }
            Mood::AckLost => {
                self.write(&records);
                answers = all(failed(Class::Transient, "no acknowledgement"));
            }
            Mood::Partly => {
                let part = records.len() / 2;
                self.write(&records[..part]);
                answers[part..].fill(Err(failed(Class::Transient, "the leader went away")));
            }
            Mood::Alone => {
                for (outgoing, answer) in records.iter().zip(&mut answers) {
                    let (key, n) = named(outgoing);
                    if matches!(&*key, "a" | "c") || (key.is_empty() && n % 5 == 0) {
                        *answer = Err(failed(Class::Transient, "too large, or its partition has no leader"));
                    } else {
                        self.write(std::slice::from_ref(outgoing));
                    }
                }
            }
            Mood::FirstAckLost => {
                self.write(&records);
                answers[0] = Err(failed(Class::Transient, "its acknowledgement was lost"));
            }
            Mood::Hang => std::future::pending().await,
            Mood::Slow => {
                tokio::time::sleep(Duration::from_secs(3)).await;
                if let Some(power) = &self.power {
                    power.alive(Site::BeforeSend).await;
                }
                self.write(&records);
            }
            Mood::Panic => panic!("the sink's own defect"),
        }
        if let Some(power) = &self.power {
            power.alive(Site::AfterSend).await;
        }
        answers
    }
}
