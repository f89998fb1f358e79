//! The handle on a running consumer.

use crate::fetch::{Fetcher, Request, drive};
use crate::options::{ConsumerOptions, Driver, Limits, OptionsError};
use crate::outlet::Outlet;
use crate::shared::{Shared, lock};
use crate::stats::{Snapshot, State};
use crate::watch as watchdog;
use crate::worker::{self, Claims, Parts, panics, scatter};
use seawall_core::{
    Class, Classify, Clock, Fault, Generation, Handler, Offset, Sink, Source, TopicPartition,
};
use seawall_guard::Guard;
use seawall_idempotency::{DynStore, Keeper, OwnerId, Store};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Starts consumers.
#[derive(Clone, Copy, Debug)]
pub struct Consumer;

impl Consumer {
    /// Starts a consumer on the current tokio runtime and returns at once.
    ///
    /// - `source`: where records come from; moved to the fetch loop.
    /// - `handler`: who handles them.
    /// - `store`: where claims are kept, `None::<Arc<NoStore>>` for a pipeline that claims nothing.
    /// - `guard`: asked for a permit and a token before each attempt; a refusal counts no attempt.
    /// - `sink`: where dead letters go, and what waits in a retry topic; [`NoSink`](crate::NoSink) where
    ///   [`ConsumerOptions::dead_letter`] is `None` and [`ConsumerOptions::retry_topics`] are none.
    /// - `clock`: the time by which deadlines, back-offs and windows are judged.
    /// - `seed`: of the back-off's jitter and of the claims' owner id. In production it must be drawn at
    ///   random at the start of each process; a simulation passes its own.
    ///
    /// # Errors
    /// [`OptionsError`] when `options` contradict themselves; nothing was started.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a seam of its own; a builder would only rename them"
    )]
    pub fn start<So, H, St, D>(
        options: ConsumerOptions,
        source: So,
        handler: H,
        store: Option<Arc<St>>,
        guard: Arc<Guard>,
        sink: D,
        clock: Arc<dyn Clock>,
        seed: u64,
        driver: Driver,
    ) -> Result<Running, OptionsError>
    where
        So: Source,
        H: Handler,
        St: Store,
        D: Sink,
    {
        options.check()?;
        panics::install_hook();
        let owner = OwnerId(u128::from(seed) << 64 | u128::from(scatter(seed)));
        let claims = store.map(|store| {
            let keeper = Keeper::new(owner, options.lease);
            Claims { store: DynStore::new(store), keeper, owner }
        });
        let outlet = Outlet::new(sink);
        let shared = Arc::new(Shared::new(options, clock, source.waker()));
        let (requests, asked) = mpsc::unbounded_channel();
        let (stopped, stop) = watch::channel(None);
        let stop_keeper = CancellationToken::new();
        if let Some(Claims { store, keeper, .. }) = claims.clone() {
            let (clock, stop) = (Arc::clone(&shared.clock), stop_keeper.clone());
            tokio::spawn(async move { keeper.run(store, clock, stop).await });
        }
        let handler = Arc::new(handler);
        let mut workers = Vec::new();
        let mut tasks = Vec::new();
        for index in 0..shared.options.workers {
            let (sender, inbox) = mpsc::unbounded_channel();
            workers.push(sender);
            let parts = Parts {
                index,
                shared: Arc::clone(&shared),
                inbox,
                guard: Guard::clone(&guard),
                claims: claims.clone(),
                outlet: outlet.clone(),
                seed,
            };
            tasks.push(tokio::spawn(worker::work(parts, Arc::clone(&handler))));
        }
        watch_workers(tasks, requests.clone(), Arc::clone(&shared), stop_keeper);
        if driver == Driver::Thread {
            watchdog::start(&shared, tokio::runtime::Handle::current());
        }
        let fetcher = Fetcher::new(source, Arc::clone(&shared), asked, workers, seed);
        drive(fetcher, &shared, driver, stopped);
        Ok(Running { shared, requests, stop })
    }
}

/// Runs the fetch loop, and tells its end.
fn drive<So: Source>(
    fetcher: Fetcher<So>,
    shared: &Arc<Shared>,
    driver: Driver,
    stopped: watch::Sender<Option<Stop>>,
) {
    let name = shared.options.pipeline.to_string();
    let shared = Arc::clone(shared);
    let finish = move |stop: Stop| {
        *lock(&shared.state) = match &stop {
            Stop::Drained(_) => State::Stopped,
            Stop::Failed(fault) => State::Failed(fault.clone()),
        };
        stopped.send_replace(Some(stop));
    };
    match driver {
        Driver::Inline => drop(tokio::spawn(drive::as_task(fetcher, finish))),
        Driver::Thread => {
            let runtime = tokio::runtime::Handle::current();
            // Not `spawn_blocking`: the pool's threads are for work that ends, and this lasts.
            let thread = std::thread::Builder::new().name(format!("fetch-{name}"));
            let run = move || {
                let _within = runtime.enter();
                drive::on_thread(fetcher, finish);
            };
            if let Err(error) = thread.spawn(run) {
                // The loop and its channels are dropped with the closure; the handle tells `Failed`.
                tracing::error!(pipeline = name, %error, "no thread for the fetch loop");
            }
        }
    }
}

/// Waits for the workers: one that ends by a panic takes the pipeline down, visibly.
fn watch_workers(
    tasks: Vec<JoinHandle<()>>,
    requests: mpsc::UnboundedSender<Request>,
    shared: Arc<Shared>,
    stop_keeper: CancellationToken,
) {
    let watched = tasks.into_iter().enumerate().map(|(index, task)| {
        let (requests, shared) = (requests.clone(), Arc::clone(&shared));
        async move {
            if let Err(error) = task.await {
                tracing::error!(pipeline = %shared.options.pipeline, worker = index, %error, "a worker died");
                let _ = requests.send(Request::Die(Fault::new(Class::Bug, WorkerDied { index, error })));
                shared.bell.ring();
            }
        }
    });
    let all = futures_util::future::join_all(watched);
    tokio::spawn(async move {
        all.await;
        stop_keeper.cancel();
    });
}

/// A worker ended by a panic outside of any handler.
#[derive(Debug, thiserror::Error)]
#[error("worker {index} died")]
struct WorkerDied {
    index: usize,
    #[source]
    error: tokio::task::JoinError,
}

/// The fetch loop never began, or its runtime is gone.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the fetch loop is gone")]
struct LoopGone;

/// A running consumer. Clones share it; dropping every handle does not stop it.
#[derive(Clone, Debug)]
pub struct Running {
    shared: Arc<Shared>,
    requests: mpsc::UnboundedSender<Request>,
    stop: watch::Receiver<Option<Stop>>,
}

impl Running {
    /// Everything at this moment.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// Stops fetching, of all partitions or of one. What is in memory goes on being handled.
    ///
    /// # Errors
    /// [`NotAssigned`] when `partition` is not ours at the moment.
    pub fn pause(&self, partition: Option<&TopicPartition>) -> Result<(), NotAssigned> {
        self.set_paused(partition, true)
    }

    /// Fetches again, of all partitions or of one. A partition that is full stays paused until it is not.
    ///
    /// # Errors
    /// [`NotAssigned`] when `partition` is not ours at the moment.
    pub fn resume(&self, partition: Option<&TopicPartition>) -> Result<(), NotAssigned> {
        self.set_paused(partition, false)
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        self.shared.limits()
    }

    /// Puts other limits in force, from the next decision on. To be called after the guard was reconfigured, too, with
    /// the same limits if need be: what it said before, such as for how long its breaker is open, counts no more.
    ///
    /// # Errors
    /// [`OptionsError`]; the old limits stay in force.
    pub fn set_limits(&self, limits: Limits) -> Result<(), OptionsError> {
        limits.check()?;
        self.shared.set_limits(limits);
        Ok(())
    }

    /// Stops fetching and starting handlers, lets what is being handled finish for at most `bound`, then
    /// cancels it; commits, gives the partitions back and says what was left. Asked again, it answers with
    /// the report of the first drain; a shorter bound shortens the first. A consumer that had failed before, or
    /// fails meanwhile, answers with the fault as `commit_failed`, and [`Running::wait`] tells it too.
    ///
    /// Records that wait in a lane are not started any more: they are unsettled, and their next owner gets
    /// them; starting work that the bound may cancel would only waste it.
    pub async fn drain(&self, bound: Duration) -> DrainReport {
        self.ask(Request::Drain(bound));
        match self.wait().await {
            Stop::Drained(report) => report,
            Stop::Failed(fault) => DrainReport {
                within_bound: false,
                took: Duration::ZERO,
                commit_failed: Some(fault),
                left: Vec::new(),
            },
        }
    }

    /// Waits until the consumer has stopped, and says why.
    pub async fn wait(&self) -> Stop {
        let mut stop = self.stop.clone();
        let stopped = stop.wait_for(Option::is_some).await.ok().and_then(|stop| (*stop).clone());
        stopped.unwrap_or_else(|| Stop::Failed(Fault::new(Class::Bug, LoopGone)))
    }

    fn ask(&self, request: Request) {
        // A loop that is gone has told so through `stop`.
        let _ = self.requests.send(request);
        self.shared.bell.ring();
    }

    fn set_paused(&self, partition: Option<&TopicPartition>, paused: bool) -> Result<(), NotAssigned> {
        if let Some(id) = partition
            && !lock(&self.shared.partitions).contains_key(id)
        {
            return Err(NotAssigned(id.clone()));
        }
        self.ask(Request::Pause { partition: partition.cloned(), paused });
        Ok(())
    }
}

/// Why a consumer stopped.
#[derive(Clone, Debug)]
pub enum Stop {
    /// It was drained.
    Drained(DrainReport),
    /// A fault that no retry mends: the source said `Permanent`, or a part of the consumer died.
    Failed(Fault),
}

/// What a drain did.
#[derive(Clone, Debug)]
pub struct DrainReport {
    /// Whether everything being handled finished within the bound.
    pub within_bound: bool,
    /// How long it took.
    pub took: Duration,
    /// Why the last commit failed, if it did: what was settled since the one before is delivered again.
    pub commit_failed: Option<Fault>,
    /// What each partition was left with, in order of topic and number.
    pub left: Vec<Left>,
}

/// What was left of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Which.
    pub partition: TopicPartition,
    /// Under which assignment.
    pub generation: Generation,
    /// The lowest unsettled offset.
    pub watermark: Offset,
    /// Handlers cancelled by the bound.
    pub cancelled: u64,
    /// Records that waited for their turn.
    pub queued: u64,
    /// Records that waited behind a failure, unread ones included.
    pub parked: u64,
}

/// The partition named is not assigned to this consumer at the moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not assigned to this consumer")]
pub struct NotAssigned(pub TopicPartition);

impl Classify for NotAssigned {
    fn class(&self) -> Class {
        Class::Permanent
    }
}
