//! Serving until asked to stop: what `up` and `run` have in common.

use crate::exit::{Failure, Kind, Outcome};
use crate::output;
use crate::shutdown::{Asked, Signals};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use seawall_core::{Class, Classify, Fault};
use seawall_sidecar::config::Config;
use seawall_sidecar::{Addresses, Sidecar, StartOptions, StopReport};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Listeners that the command line may move.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct Listeners {
    /// Where records are taken in, as IP:PORT; port 0 picks a free one.
    #[arg(long, value_name = "ADDR")]
    ingest: Option<SocketAddr>,
    /// Where the admin API, the metrics and the dashboard are served, as IP:PORT; port 0 picks a free one.
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
}

impl Listeners {
    fn addresses(self) -> Addresses {
        Addresses { ingest: self.ingest, admin: self.admin }
    }
}

/// How long threads are waited for that nobody wants an answer from any more: a cluster that is away lets a question
/// stand for seconds.
const THREADS_END_WITHIN: Duration = Duration::from_millis(500);

/// Serves to the end. What `serving` does not wait for itself is given up soon after.
///
/// # Errors
/// When the system gives no threads, and as `serving`.
pub(crate) fn to_the_end(serving: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::environment(format_args!("no runtime: {e}")))?;
    let ended = runtime.block_on(serving);
    runtime.shutdown_timeout(THREADS_END_WITHIN);
    ended
}

/// Asks for as many open files as the system allows: a partition holds two, a connection one, and the usual soft
/// bound of 1,024 would be met long before any of ours.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    if let Err(error) = raised {
        tracing::info!(%error, current = ?limit.current, "the soft limit of open files stays as it is");
    }
}

/// Starts serving `config` at `listeners`, and listens to signals from then on; SIGHUP will read `file` again.
///
/// # Errors
/// When the configuration, a port, the disk or another process stands in the way.
pub(crate) async fn start(
    config: Config,
    listeners: Listeners,
    file: Option<PathBuf>,
) -> Result<(Sidecar, Signals), Failure> {
    raise_file_limit();
    let addresses = listeners.addresses();
    let options = StartOptions { config_file: file, addresses, ..StartOptions::default() };
    let sidecar = Sidecar::start(config, options).await.map_err(|error| {
        let kind = match (error.is_config(), error.class()) {
            (true, _) => Kind::Input,
            (false, Class::Bug) => Kind::Bug,
            (false, Class::Transient | Class::Permanent | Class::Overload) => Kind::Environment,
        };
        Failure::new(kind, Fault::from(error))
    })?;
    // Before the addresses are told: who has read them may send a signal at once, and it has to be a drain.
    let signals = Signals::listen()?;
    for (partition, lost) in sidecar.recovery().losses() {
        output::note(format_args!(
            "{partition}: recovery cut {} bytes that no receipt was given for",
            lost.bytes()
        ));
    }
    output::note(format_args!("ingest: http://{}", sidecar.ingest_addr()));
    output::note(format_args!("admin: http://{}", sidecar.admin_addr()));
    Ok((sidecar, signals))
}

/// Serves until SIGINT or SIGTERM, then drains; a second signal leaves at once. SIGHUP reads the file again.
///
/// # Errors
/// When something stood in the way of a clean end.
pub(crate) async fn until_stopped(sidecar: Sidecar, mut signals: Signals) -> Outcome {
    while signals.next().await == Asked::Reload {
        match sidecar.reload_file() {
            Ok(()) => output::note(format_args!("the limits of the configuration file are in force")),
            Err(error) => {
                output::note(format_args!("the old configuration stays in force: {}", Fault::from(error)));
            }
        }
    }
    output::note(format_args!("draining; once more to leave at once"));
    tokio::select! {
        biased;
        report = sidecar.stop() => finished(report),
        () = async { while signals.next().await == Asked::Reload {} } => {
            Err(Failure::environment("left before the drain was done; what was in flight is delivered again"))
        }
    }
}

fn finished(report: StopReport) -> Outcome {
    for (name, drain) in &report.pipelines {
        let (mut cancelled, mut waiting) = (0, 0);
        for left in &drain.left {
            cancelled += left.cancelled;
            waiting += left.queued + left.parked;
        }
        output::note(format_args!(
            "{name}: drained in {:?}, {cancelled} cancelled, {waiting} fetched and left for the next start",
            drain.took
        ));
        if let Some(fault) = &drain.commit_failed {
            output::note(format_args!(
                "{name}: the last commit failed, what it held is delivered again: {fault}"
            ));
        }
    }
    report.log.map_or(Ok(()), |error| Err(Failure::environment(Fault::from(error))))
}
