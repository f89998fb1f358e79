//! The cluster as tests see it.

use super::access::{self, Mechanism};
use super::broker::{self, Broker};
use super::error::KafkaError;
use super::java::Java;
use super::options::{KafkaOptions, User};
use super::properties::Listener;
use super::{format, install};
use crate::capture::{Captured, capture};
use crate::proxy::FaultProxy;
use crate::slot::Slot;
use rustix::process::Signal;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Long enough for a loaded machine; a healthy start takes seconds.
const READY_LIMIT: Duration = Duration::from_mins(2);
const STOP_LIMIT: Duration = Duration::from_mins(1);
const TOOL_LIMIT: Duration = Duration::from_mins(2);

/// Running brokers of Apache Kafka on 127.0.0.1, numbered from 1 (the number is the node id). All methods take
/// `&self`: a chaos test kills from one thread what another is talking to.
#[derive(Debug)]
pub struct KafkaCluster {
    // Declared before the slot: brokers end before their folder goes.
    brokers: Vec<Mutex<Option<Broker>>>,
    slot: Slot,
    java: Java,
    options: KafkaOptions,
    files: AtomicU32,
}

impl KafkaCluster {
    /// Fetches Kafka where that was not done yet, starts the brokers, and returns once each of them answers and
    /// knows all others.
    ///
    /// # Errors
    ///
    /// [`KafkaError::Missing`] and [`KafkaError::JavaTooOld`] where this machine cannot run Kafka; otherwise
    /// what failed, with the end of the broker's log.
    pub fn start(options: KafkaOptions) -> Result<Self, KafkaError> {
        options.check()?;
        let java = install::installed()?;
        let slots = install::slots();
        let slot = Slot::reserve(&slots)
            .map_err(KafkaError::io(slots.display().to_string()))?
            .ok_or(KafkaError::NoSlot)?;
        format::format(&java, &options, &slot)?;
        let mut brokers = Vec::new();
        for nth in 0..options.brokers {
            brokers.push(Broker::start(&java, &options, &slot, nth)?);
        }
        let all: Vec<i32> = (1..).take(options.brokers).collect();
        for broker in &mut brokers {
            broker.until_ready(&all, READY_LIMIT)?;
        }
        let brokers = brokers.into_iter().map(|broker| Mutex::new(Some(broker))).collect();
        Ok(Self { brokers, slot, java, options, files: AtomicU32::new(0) })
    }

    /// As [`start`](Self::start), with a fault proxy in front of each broker, in their order. `options.proxied` is
    /// theirs to fill.
    ///
    /// # Errors
    ///
    /// As there; [`KafkaError::Io`] where a proxy finds no port.
    pub fn start_behind_proxies(
        mut options: KafkaOptions,
        seed: u64,
    ) -> Result<(Self, Vec<FaultProxy>), KafkaError> {
        let listen = |nth: usize| FaultProxy::listen(seed.wrapping_add(nth as u64));
        let proxies: Vec<FaultProxy> = (0..options.brokers)
            .map(listen)
            .collect::<Result<_, _>>()
            .map_err(KafkaError::io("a fault proxy"))?;
        options.proxied = proxies.iter().map(FaultProxy::address).collect();
        let cluster = Self::start(options)?;
        for (nth, proxy) in proxies.iter().enumerate() {
            proxy.pass_to(cluster.upstream(nth + 1)?);
        }
        Ok((cluster, proxies))
    }

    /// The addresses at which clients reach the brokers through the proxies that were given (empty without).
    pub fn bootstrap_proxied(&self) -> String {
        let all: Vec<String> = self.options.proxied.iter().map(ToString::to_string).collect();
        all.join(",")
    }

    /// `host:port,…` of the plain-text listeners, which need no login and may do everything.
    pub fn bootstrap(&self) -> String {
        self.addresses(Listener::Plain)
    }

    /// The listeners with TLS (empty without the option `tls`).
    pub fn bootstrap_tls(&self) -> String {
        self.addresses(Listener::Tls)
    }

    /// The listeners with SASL over plain text (empty without the option `sasl`).
    pub fn bootstrap_sasl(&self) -> String {
        self.addresses(Listener::Sasl)
    }

    /// The listeners with SASL over TLS (empty without both options).
    pub fn bootstrap_sasl_tls(&self) -> String {
        self.addresses(Listener::SaslTls)
    }

    /// Where the proxy given for broker `n` must pass connections on to.
    ///
    /// # Errors
    ///
    /// [`KafkaError::NoSuchBroker`].
    pub fn upstream(&self, n: usize) -> Result<SocketAddr, KafkaError> {
        let nth = self.nth(n)?;
        Ok(SocketAddr::from(([127, 0, 0, 1], Listener::Proxied.port(&self.slot, nth))))
    }

    /// The certificate authority that TLS clients must trust (PEM); there with the option `tls` only.
    pub fn ca_path(&self) -> PathBuf {
        self.slot.folder().join("ca.pem")
    }

    /// The users of the SASL listeners.
    pub fn users(&self) -> &[User] {
        &self.options.users
    }

    /// A folder that goes with the cluster.
    pub fn folder(&self) -> &Path {
        self.slot.folder()
    }

    /// The process ids of the brokers that are up (or frozen).
    pub fn pids(&self) -> Vec<u32> {
        let brokers = self.brokers.iter().map(lock);
        brokers.filter_map(|broker| broker.as_ref().map(Broker::pid)).collect()
    }

    /// SIGKILL to broker `n`; returns once it is dead.
    ///
    /// # Errors
    ///
    /// [`KafkaError::NoSuchBroker`]; [`KafkaError::State`] where it is down already.
    pub fn kill(&self, n: usize) -> Result<(), KafkaError> {
        self.take(n)?.kill()
    }

    /// SIGTERM to broker `n`: it hands its partitions over and ends. Returns once it has; after a minute it is
    /// killed.
    ///
    /// # Errors
    ///
    /// As [`kill`](Self::kill).
    pub fn stop(&self, n: usize) -> Result<(), KafkaError> {
        self.take(n)?.stop(STOP_LIMIT)
    }

    /// Starts broker `n` again, on its ports and its data; returns once it serves. After [`kill`](Self::kill)
    /// that takes as long as its old session lasts: 4 s.
    ///
    /// # Errors
    ///
    /// [`KafkaError::NoSuchBroker`]; [`KafkaError::State`] where it is up; what kept it from serving, with the
    /// end of its log (three voters need two of them up).
    pub fn start_again(&self, n: usize) -> Result<(), KafkaError> {
        self.launch(n)?;
        self.until_ready(n)
    }

    /// As [`start_again`](Self::start_again), without waiting: for several brokers at once.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn launch(&self, n: usize) -> Result<(), KafkaError> {
        let nth = self.nth(n)?;
        let mut broker = lock(&self.brokers[nth]);
        if broker.is_some() {
            return Err(KafkaError::State { broker: n, is: "up already" });
        }
        *broker = Some(Broker::start(&self.java, &self.options, &self.slot, nth)?);
        Ok(())
    }

    /// Waits until broker `n` serves.
    ///
    /// # Errors
    ///
    /// As [`start_again`](Self::start_again).
    pub fn until_ready(&self, n: usize) -> Result<(), KafkaError> {
        let mut broker = lock(&self.brokers[self.nth(n)?]);
        let broker = broker.as_mut().ok_or(KafkaError::State { broker: n, is: "down" })?;
        broker.until_ready(&[n as i32], READY_LIMIT)
    }

    /// SIGSTOP to broker `n`: its connections stay open and nothing answers.
    ///
    /// # Errors
    ///
    /// [`KafkaError::NoSuchBroker`]; [`KafkaError::State`] where it is down.
    pub fn freeze(&self, n: usize) -> Result<(), KafkaError> {
        self.signal(n, Signal::STOP)
    }

    /// SIGCONT to broker `n`.
    ///
    /// # Errors
    ///
    /// As [`freeze`](Self::freeze).
    pub fn thaw(&self, n: usize) -> Result<(), KafkaError> {
        self.signal(n, Signal::CONT)
    }

    /// The last lines that broker `n` logged (warnings and errors).
    pub fn log_tail(&self, n: usize) -> String {
        self.nth(n).map(|nth| broker::tail(&broker::log_path(&self.slot, nth))).unwrap_or_default()
    }

    /// Runs one of Kafka's own tools by class (`org.apache.kafka.tools.TopicCommand`, …), at most two minutes.
    /// Where to connect is the caller's to say in `args`.
    ///
    /// # Errors
    ///
    /// [`KafkaError::Io`] where it could not be run; that it ended badly is for the caller to see.
    pub fn tool(&self, class: &str, args: &[&str]) -> Result<Captured, KafkaError> {
        self.tool_with_input(class, args, b"")
    }

    /// As [`tool`](Self::tool), with `input` on its standard input.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn tool_with_input(&self, class: &str, args: &[&str], input: &[u8]) -> Result<Captured, KafkaError> {
        let input = self.file("input", input)?;
        let mut command = self.java.command(&["-Xmx256m".to_owned()], class);
        command.args(args);
        capture(&command, &input, TOOL_LIMIT).map_err(KafkaError::io(class))
    }

    /// A properties file with which Kafka's tools reach a guarded listener (`--command-config`): over TLS or
    /// not, and as `login` where that is given.
    ///
    /// # Errors
    ///
    /// [`KafkaError::Io`].
    pub fn client_config(&self, tls: bool, login: Option<(&User, Mechanism)>) -> Result<PathBuf, KafkaError> {
        let ca = self.ca_path();
        self.file("client.properties", access::client(tls.then_some(ca.as_path()), login).as_bytes())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, KafkaError> {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let path = self.slot.folder().join(format!("{number}-{name}"));
        fs::write(&path, bytes).map_err(KafkaError::io(path.display().to_string()))?;
        Ok(path)
    }

    fn addresses(&self, listener: Listener) -> String {
        if !listener.wanted(&self.options) {
            return String::new();
        }
        let all =
            (0..self.options.brokers).map(|nth| format!("127.0.0.1:{}", listener.port(&self.slot, nth)));
        all.collect::<Vec<_>>().join(",")
    }

    fn nth(&self, n: usize) -> Result<usize, KafkaError> {
        let brokers = self.options.brokers;
        if (1..=brokers).contains(&n) {
            Ok(n - 1)
        } else {
            Err(KafkaError::NoSuchBroker { broker: n, brokers })
        }
    }

    fn take(&self, n: usize) -> Result<Broker, KafkaError> {
        lock(&self.brokers[self.nth(n)?]).take().ok_or(KafkaError::State { broker: n, is: "down already" })
    }

    fn signal(&self, n: usize, signal: Signal) -> Result<(), KafkaError> {
        let broker = lock(&self.brokers[self.nth(n)?]);
        broker.as_ref().ok_or(KafkaError::State { broker: n, is: "down" })?.signal(signal)
    }
}

/// A poisoned lock holds a broker like any other.
fn lock(broker: &Mutex<Option<Broker>>) -> MutexGuard<'_, Option<Broker>> {
    broker.lock().unwrap_or_else(PoisonError::into_inner)
}
