//! The process: log, pipelines and listeners, started in the order in which they need each other and stopped in
//! the opposite one.

mod error;
mod parts;

pub use error::StartError;

use crate::access::Access;
use crate::admin::{Admin, AdminState};
use crate::cluster::Clusters;
use crate::config::{self, Config, ConfigError, restart_fields};
use crate::destination::Places;
use crate::ingest::{Counts, Ingest, Memory};
use crate::listen::{Bounds, Listening};
use crate::overview::{Moment, overview};
use crate::panics;
use crate::pipeline::{Limits, Pipeline, options};
use crate::recoverable::{Producers, Use};
use seawall_consumer::DrainReport;
use seawall_core::{Clock, Nanos, SystemClock};
use seawall_guard::{Guard, GuardError};
use seawall_log::{Broker, OpenReport};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// What the config does not say.
#[derive(Clone, Debug, Default)]
pub struct StartOptions {
    /// The config's file, for `POST /v1/config/reload`; without one there is nothing to reload.
    pub config_file: Option<PathBuf>,
    /// How long a client has to send a request head to the admin address; 10 s by default.
    pub admin_bounds: Option<Bounds>,
    /// The addresses to listen on whatever the config says, now and after every reload.
    pub addresses: Addresses,
}

/// Addresses that stand over the config's, as the command line gives them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Addresses {
    /// Over `ingest.addr`.
    pub ingest: Option<SocketAddr>,
    /// Over `admin.addr`.
    pub admin: Option<SocketAddr>,
}

impl Addresses {
    fn put_over(self, config: &mut Config) {
        config.ingest.addr = self.ingest.unwrap_or(config.ingest.addr);
        config.admin.addr = self.admin.unwrap_or(config.admin.addr);
    }
}

/// What everything at work shares.
pub(crate) struct Shared {
    pub(crate) broker: Broker,
    pub(crate) clusters: Clusters,
    pub(crate) producers: Producers,
    pub(crate) pipelines: Vec<Pipeline>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) stop: CancellationToken,
    requests: Guard,
    records: Guard,
    config: Mutex<Config>,
    config_file: Option<PathBuf>,
    addresses: Addresses,
    clock: Arc<dyn Clock>,
    started: Nanos,
}

/// Seawall at work.
pub struct Sidecar {
    shared: Arc<Shared>,
    ingest: Listening,
    admin: Listening,
    report: OpenReport,
}

/// What was left when it stopped.
#[derive(Debug)]
pub struct StopReport {
    /// Each pipeline's drain, by name.
    pub pipelines: Vec<(String, DrainReport)>,
    /// What closing the log said, if it did not work.
    pub log: Option<seawall_log::LogError>,
}

impl Sidecar {
    /// Starts what `config` describes, on the current runtime. When this returns, both addresses answer.
    ///
    /// # Errors
    /// [`StartError`] names the part that could not start; nothing is left running.
    pub async fn start(mut config: Config, options: StartOptions) -> Result<Self, StartError> {
        panics::install();
        options.addresses.put_over(&mut config);
        parts::closed_to_the_network(&config)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        // Both ports are taken first: they are what most often cannot be had, and cost nothing to give back.
        let (ingest_listener, ingest_addr) = parts::bind("ingest", config.ingest.addr).await?;
        let (admin_listener, admin_addr) = parts::bind("admin", config.admin.addr).await?;
        let access = parts::access(&config, ingest_addr, admin_addr)?;
        let opening = config.clone();
        let opening_clock = clock.clone();
        let stop = CancellationToken::new();
        let clusters = Clusters::open(&config, &clock, &stop).await.inspect_err(|_| stop.cancel())?;
        let at_hand = clusters.clone();
        // Opening reads the disk, and each pipeline's start makes things durable.
        let runtime = tokio::runtime::Handle::current();
        let opened = tokio::task::spawn_blocking(move || {
            let _inside = runtime.enter();
            parts::open(&opening, &at_hand, &opening_clock)
        });
        let opened = opened.await.map_err(StartError::Crashed).flatten();
        let parts::Opened { broker, report, producers, pipelines } = opened.inspect_err(|_| stop.cancel())?;
        let guard = |options| Guard::new(options, clock.clone(), parts::seed());
        let shared = Arc::new(Shared {
            broker,
            clusters,
            producers,
            pipelines,
            counts: Arc::new(Counts::default()),
            stop,
            requests: guard(options::ingest_requests(&config.ingest))?,
            records: guard(options::ingest_records(&config.ingest))?,
            config: Mutex::new(config.clone()),
            config_file: options.config_file,
            addresses: options.addresses,
            started: clock.now(),
            clock,
        });
        let ingest = shared.ingest(&config.ingest, access.ingest);
        let bounds = parts::ingest_bounds(&config.ingest);
        let ingest = Listening::serve(ingest_listener, Arc::new(ingest), bounds)
            .map_err(StartError::serve("ingest"))?;
        let state = AdminState { shared: shared.clone() };
        let admin = Admin::new(state, access.admin);
        let bounds = options.admin_bounds.unwrap_or_default();
        let admin =
            Listening::serve(admin_listener, Arc::new(admin), bounds).map_err(StartError::serve("admin"))?;
        Ok(Self { shared, ingest, admin, report })
    }

    /// Where records are taken in.
    pub fn ingest_addr(&self) -> SocketAddr {
        self.ingest.addr()
    }

    /// Where the admin API, the metrics and the dashboard are.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.addr()
    }

    /// The embedded log.
    pub fn broker(&self) -> &Broker {
        &self.shared.broker
    }

    /// The pipelines.
    pub fn pipelines(&self) -> &[Pipeline] {
        &self.shared.pipelines
    }

    /// What recovery found when the log was opened.
    pub fn recovery(&self) -> &OpenReport {
        &self.report
    }

    /// Everything at this moment, as `GET /v1/overview` answers.
    pub fn overview(&self) -> Value {
        self.shared.overview()
    }

    /// Takes the limits of `config`.
    ///
    /// # Errors
    /// [`ConfigError::NeedsRestart`] names what else would change, [`ConfigError::Invalid`] what is wrong; the
    /// old limits stay in force, all of them.
    pub fn reload(&self, config: Config) -> Result<(), ConfigError> {
        self.shared.reload(config)
    }

    /// Reads the config file again and takes its limits.
    ///
    /// # Errors
    /// As [`Sidecar::reload`], and [`ConfigError::Read`].
    pub fn reload_file(&self) -> Result<(), ConfigError> {
        self.shared.reload_file()
    }

    /// Takes no more records, drains every pipeline, commits, closes the log.
    pub async fn stop(self) -> StopReport {
        self.shared.stop.cancel();
        self.ingest.stop().await;
        let drains = self
            .shared
            .pipelines
            .iter()
            .map(|pipeline| async move { (pipeline.name().to_owned(), pipeline.drain().await) });
        let pipelines = futures_util::future::join_all(drains).await;
        // Before the clusters' clients go: what was taken has this long to reach them, or the disk.
        self.shared.producers.close().await;
        self.admin.stop().await;
        let broker = self.shared.broker.clone();
        let clusters = self.shared.clusters.clone();
        let closed = tokio::task::spawn_blocking(move || {
            clusters.close();
            broker.close()
        })
        .await;
        StopReport { pipelines, log: closed.ok().and_then(Result::err) }
    }
}

impl Shared {
    fn ingest(&self, config: &config::Ingest, access: Access) -> Ingest {
        Ingest {
            sink: self.places().choose(&config.sink, Use::Ingest),
            clock: self.clock.clone(),
            access,
            requests: self.requests.clone(),
            records: self.records.clone(),
            max_body: config.max_body.as_usize(),
            memory: Arc::new(Memory::new(config.memory.as_usize())),
            body_timeout: config.body_timeout.0,
            counts: self.counts.clone(),
            stop: self.stop.clone(),
        }
    }

    fn places(&self) -> Places<'_> {
        Places { broker: &self.broker, clusters: &self.clusters, producers: &self.producers }
    }

    pub(crate) fn uptime(&self) -> std::time::Duration {
        self.clock.now().since(self.started)
    }

    pub(crate) fn overview(&self) -> Value {
        let moment = Moment {
            at_ms: self.clock.wall().0,
            uptime: self.uptime(),
            panics_outside: panics::outside_handlers(),
        };
        overview(moment, &self.pipelines, self.producers.all(), &self.counts)
    }

    pub(crate) fn reload_file(&self) -> Result<(), ConfigError> {
        let Some(file) = &self.config_file else {
            let source =
                std::io::Error::new(std::io::ErrorKind::NotFound, "this process was started without one");
            return Err(ConfigError::Read { path: PathBuf::from("(no file)"), source });
        };
        self.reload(config::load(file)?)
    }

    fn reload(&self, mut new: Config) -> Result<(), ConfigError> {
        let mut current = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        self.addresses.put_over(&mut new);
        let fields = restart_fields(&current, &new);
        if !fields.is_empty() {
            return Err(ConfigError::NeedsRestart { fields });
        }
        self.take_limits(&new).map_err(|refused| {
            // The old ones were in force before, so that they are valid.
            let _ = self.take_limits(&current);
            ConfigError::Invalid(vec![config::Finding {
                file: "the new config".to_owned(),
                line: 0,
                column: 0,
                field: refused.0,
                value: None,
                problem: refused.1,
                fix: None,
            }])
        })?;
        *current = new;
        Ok(())
    }

    /// Puts the limits of `config` in force; the field and the reason of the first that is refused.
    fn take_limits(&self, config: &Config) -> Result<(), (String, String)> {
        let ingest = |error: GuardError| ("ingest".to_owned(), error.to_string());
        self.requests.reconfigure(options::ingest_requests(&config.ingest)).map_err(ingest)?;
        self.records.reconfigure(options::ingest_records(&config.ingest)).map_err(ingest)?;
        for (at, (pipeline, new)) in self.pipelines.iter().zip(&config.pipeline).enumerate() {
            let limits = Limits { guard: new.guard.clone(), retry: new.retry };
            pipeline.set_limits(limits).map_err(|error| (format!("pipeline[{at}]"), error.to_string()))?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Sidecar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sidecar(ingest {}, admin {})", self.ingest.addr(), self.admin.addr())
    }
}

#[cfg(test)]
mod tests;
