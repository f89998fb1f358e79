//! The producer as its callers see it.

use crate::admit::{Budget, NoRoom};
use crate::answer::{Answer, Call};
use crate::draft::{Check, Drafts};
use crate::error::{OpenError, SendError};
use crate::grade::{Buffered, Grade, Outcome};
use crate::ids::Ids;
use crate::inbox::{Closing, Entries, Entry, Inbox};
use crate::options::ProducerOptions;
use crate::pump::Pump;
use crate::route::Selector;
use crate::sink::Target;
use crate::spill::Spill;
use crate::stats::{SinkSnapshot, Snapshot, Stats};
use seawall_core::{Clock, Durability, Outgoing, SystemClock};
use seawall_wal::{Disk, RealDisk};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::oneshot;

/// What a record takes in memory besides its own bytes: its place in the queues and its answer.
pub(crate) const ENTRY_BYTES: usize = 256;

/// What the callers and the pump share.
pub(crate) struct Shared {
    pub(crate) options: ProducerOptions,
    pub(crate) targets: Vec<Target>,
    pub(crate) budget: Budget,
    pub(crate) inbox: Inbox,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stats: Stats,
    /// The best that the sinks, and the spill, can give.
    pub(crate) best: Durability,
    pub(crate) ids: Ids,
}

/// Closes the inbox when the last clone goes: what was taken is still dealt with.
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.budget.close();
        self.0.inbox.close(None);
    }
}

/// The recoverable producer. Clones share it; the [crate's page](crate) says what it promises.
#[derive(Clone)]
pub struct Producer {
    handle: Arc<Handle>,
}

impl Producer {
    /// A producer before `targets`, most preferred first, on this machine's disk and clock. What an earlier life
    /// left in the spill is verified here (which blocks, as long as reading it twice takes) and then replayed.
    ///
    /// # Errors
    /// [`OpenError`]; the spill's bytes are as they were.
    pub fn open(options: ProducerOptions, targets: Vec<Target>) -> Result<Self, OpenError> {
        Self::open_on(RealDisk, Arc::new(SystemClock::new()), options, targets)
    }

    /// As [`Producer::open`], on another disk and by another clock.
    ///
    /// # Errors
    /// As [`Producer::open`].
    pub fn open_on<D: Disk>(
        disk: D,
        clock: Arc<dyn Clock>,
        options: ProducerOptions,
        targets: Vec<Target>,
    ) -> Result<Self, OpenError> {
        options.check()?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| OpenError::NoRuntime)?;
        check_targets(&targets)?;
        let seed = disk.entropy();
        let (breaker, backoff) = (options.breaker, options.backoff);
        let selector = Selector::new(targets.len(), breaker, backoff, options.failback_after, seed)?;
        let spill = options.spill.clone();
        let spill = spill.map(|spill| Spill::open(disk, spill, Arc::clone(&clock), options.driver));
        let spill = spill.transpose()?;
        let of_spill = if spill.is_some() { Durability::Synced } else { Durability::Buffered };
        let best = targets.iter().map(|target| target.gives).fold(of_spill, Durability::max);
        let shared = Arc::new(Shared {
            budget: Budget::new(options.memory_bytes_max, options.memory_records_max),
            inbox: Inbox::default(),
            stats: Stats::new(targets.len()),
            options,
            targets,
            clock,
            best,
            ids: Ids::new(seed),
        });
        runtime.spawn(Pump::new(Arc::clone(&shared), selector, spill).run());
        Ok(Self { handle: Arc::new(Handle(shared)) })
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.handle.0
    }

    /// Sends one record and waits for its receipt: `send::<Replicated>` or `send::<Synced>`. Dropping the future before
    /// its record was taken takes nothing; afterwards it takes nothing back.
    ///
    /// # Errors
    /// [`SendError`] says why, and what is left of the record.
    pub async fn send<G: Grade>(&self, outgoing: Outgoing) -> Result<G, SendError> {
        let call = Call::new(1);
        self.admit(outgoing, G::ASKED, || call.answer(0)).await?;
        G::of(call.answered().await.pop().unwrap_or(Err(SendError::Lost)))
    }

    /// Sends records in order and waits for all receipts, with one waking. A record for which there is no room refuses
    /// everything behind it of the same call, so that nothing overtakes; one that is bad in itself (its name, its size) is
    /// refused alone.
    pub async fn send_all<G: Grade>(&self, records: Vec<Outgoing>) -> Vec<Result<G, SendError>> {
        let call = Call::new(records.len());
        Drafts::new(self, &call, G::ASKED, &records).admit(records).await;
        call.answered().await.into_iter().map(G::of).collect()
    }

    /// Takes one record into memory and returns; `on_delivery` hears, once, what becomes of it. It is called by
    /// the producer's task and must not block.
    ///
    /// # Errors
    /// [`SendError`]: the record was not taken, and `on_delivery` is not called.
    pub async fn send_buffered(
        &self,
        outgoing: Outgoing,
        on_delivery: impl FnOnce(Outcome) + Send + 'static,
    ) -> Result<Buffered, SendError> {
        self.admit(outgoing, Durability::Buffered, || Answer::callback(on_delivery)).await?;
        Ok(Buffered { _private: () })
    }

    /// What the producer is about.
    pub fn snapshot(&self) -> Snapshot {
        let shared = self.shared();
        let (memory_bytes, memory_records) = shared.budget.used();
        let gauges = shared.stats.gauges();
        let sinks = shared.targets.iter().zip(&gauges.breakers).enumerate();
        Snapshot {
            state: gauges.state,
            active: gauges.active,
            sinks: sinks
                .map(|(at, (target, breaker))| SinkSnapshot {
                    name: Arc::clone(&target.name),
                    breaker: *breaker,
                    records: shared.stats.records(at),
                })
                .collect(),
            memory_bytes: memory_bytes as u64,
            memory_bytes_max: shared.options.memory_bytes_max as u64,
            memory_records: memory_records as u64,
            spill_bytes: gauges.spill_bytes,
            spill_bytes_max: gauges.spill_bytes_max,
            backlog_records: gauges.backlog_records,
            backlog_bytes: gauges.backlog_bytes,
            held_records: gauges.held_records,
            replayed_records: gauges.replayed,
            replay_left: gauges.replay_left,
            refused_records: shared.stats.refused.load(Relaxed),
            refused_kept: shared.stats.refused_before.load(Relaxed) + shared.stats.refused.load(Relaxed),
            full: shared.budget.refused(),
            timed_out: shared.stats.timed_out.load(Relaxed),
            switches: shared.stats.switches.load(Relaxed),
            spill_trouble: gauges.spill_trouble.clone(),
            events: gauges.events.iter().cloned().collect(),
        }
    }

    /// Takes no more records and waits for those taken: up to `within` for the sinks, then up to
    /// [`ProducerOptions::timeout`] for the spill. What neither takes is answered with [`SendError::Closed`]. What is on
    /// disk stays there for the next start. A disk that still hangs then has the spill locked until it answers.
    pub async fn close(&self, within: Duration) {
        let (done, ended) = oneshot::channel();
        self.shared().budget.close();
        self.shared().inbox.close(Some(Closing { within, done }));
        // An error: it has ended already.
        let _ = ended.await;
    }

    /// Checks a record, names it, finds room for it, and hands it over.
    async fn admit(
        &self,
        mut outgoing: Outgoing,
        asked: Durability,
        answer: impl FnOnce() -> Answer,
    ) -> Result<(), SendError> {
        let weight = Check::new(self.shared(), asked, 1).check(&mut outgoing)?;
        self.find_room(weight).await?;
        let duty = self.shared().duty(&outgoing, weight, asked, self.shared().clock.now(), answer());
        let mut entries = Entries::with_capacity(1);
        entries.push(Entry { outgoing, duty });
        self.hand_over(entries);
        Ok(())
    }

    /// Takes room, waiting for it.
    pub(crate) async fn find_room(&self, weight: usize) -> Result<(), SendError> {
        let shared = self.shared();
        shared.budget.admit(weight, shared.options.max_block).await.map_err(|no_room| match no_room {
            NoRoom::Closed => SendError::Closed,
            NoRoom::Full => SendError::Full {
                waited: shared.options.max_block,
                bytes_max: shared.options.memory_bytes_max,
                records_max: shared.options.memory_records_max,
                cause: shared.stats.gauges().cause(),
            },
        })
    }

    pub(crate) fn hand_over(&self, entries: Entries) {
        if let Err(mut refused) = self.shared().inbox.push(entries) {
            for mut entry in refused.drain() {
                entry.duty.answer.settle(Err(SendError::Closed));
            }
        }
    }
}

fn check_targets(targets: &[Target]) -> Result<(), OpenError> {
    if targets.is_empty() {
        return Err(OpenError::option("targets", "empty", "at least one sink"));
    }
    for (at, target) in targets.iter().enumerate() {
        if target.name.is_empty() || targets[..at].iter().any(|before| before.name == target.name) {
            let want = "a name of its own for each sink";
            return Err(OpenError::option("targets", format!("{:?}", target.name), want));
        }
    }
    Ok(())
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("targets", &self.shared().targets).finish_non_exhaustive()
    }
}
