//! `server.properties` of one broker: a pure function of what was asked for and of its ports.

use super::options::KafkaOptions;
use crate::slot::Slot;
use std::path::Path;

/// The doors of a broker; the order is that of its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listener {
    Plain,
    Controller,
    Tls,
    Sasl,
    SaslTls,
    Proxied,
}

impl Listener {
    const ALL: [Self; 6] =
        [Self::Plain, Self::Controller, Self::Tls, Self::Sasl, Self::SaslTls, Self::Proxied];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAINTEXT",
            Self::Controller => "CONTROLLER",
            Self::Tls => "TLS",
            Self::Sasl => "SASL",
            Self::SaslTls => "SASLTLS",
            Self::Proxied => "PROXIED",
        }
    }

    fn protocol(self) -> &'static str {
        match self {
            Self::Plain | Self::Controller | Self::Proxied => "PLAINTEXT",
            Self::Tls => "SSL",
            Self::Sasl => "SASL_PLAINTEXT",
            Self::SaslTls => "SASL_SSL",
        }
    }

    /// Whether a cluster with these options has it.
    pub(super) fn wanted(self, options: &KafkaOptions) -> bool {
        match self {
            Self::Plain | Self::Controller => true,
            Self::Tls => options.tls,
            Self::Sasl => options.sasl,
            Self::SaslTls => options.sasl && options.tls,
            Self::Proxied => !options.proxied.is_empty(),
        }
    }

    /// The port of broker `broker` (from 0).
    pub(super) fn port(self, slot: &Slot, broker: usize) -> u16 {
        slot.port((broker * Self::ALL.len()) as u16 + self as u16)
    }
}

/// Settings that make a small cluster quick to start and quick to notice a death. Kafka's own defaults stand in
/// brackets where they matter to a test.
const FOR_TESTS: &[(&str, &str)] = &[
    // A missing topic must be an error that a test can see.
    ("auto.create.topics.enable", "false"),
    ("group.initial.rebalance.delay.ms", "0"),
    // A test may choose short sessions (6 s; 45 s for the new protocol).
    ("group.min.session.timeout.ms", "1000"),
    ("group.consumer.min.session.timeout.ms", "1000"),
    ("group.consumer.min.heartbeat.interval.ms", "200"),
    // A killed broker can come back only after its session has ended (9 s).
    ("broker.session.timeout.ms", "4000"),
    ("broker.heartbeat.interval.ms", "500"),
    ("replica.lag.time.max.ms", "10000"),
    ("num.partitions", "1"),
    ("offsets.topic.num.partitions", "4"),
    ("transaction.state.log.num.partitions", "4"),
    ("share.coordinator.state.topic.num.partitions", "4"),
    // Memory and threads for two cores (128 MiB of heap for the cleaner alone).
    ("log.cleaner.dedupe.buffer.size", "2097152"),
    ("log.index.size.max.bytes", "1048576"),
    ("num.network.threads", "2"),
    ("num.io.threads", "4"),
    ("background.threads", "2"),
];

/// The file's text. `data` is the broker's storage; `pem` the folder with the certificates.
pub(super) fn server(options: &KafkaOptions, slot: &Slot, broker: usize, data: &Path, pem: &Path) -> String {
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: String| lines.push((name.to_owned(), value));
    let open: Vec<Listener> = Listener::ALL.into_iter().filter(|listener| listener.wanted(options)).collect();
    let at = |listener: Listener| format!("127.0.0.1:{}", listener.port(slot, broker));
    let join = |parts: Vec<String>| parts.join(",");
    let voters = (0..options.brokers)
        .map(|other| format!("{}@127.0.0.1:{}", other + 1, Listener::Controller.port(slot, other)));
    let advertised =
        open.iter().filter(|listener| **listener != Listener::Controller).map(|listener| {
            match (listener, options.proxied.get(broker)) {
                (Listener::Proxied, Some(proxy)) => format!("PROXIED://{proxy}"),
                _ => format!("{}://{}", listener.name(), at(*listener)),
            }
        });
    set("process.roles", "broker,controller".to_owned());
    set("node.id", (broker + 1).to_string());
    set("controller.quorum.voters", join(voters.collect()));
    set("listeners", join(open.iter().map(|each| format!("{}://{}", each.name(), at(*each))).collect()));
    set("advertised.listeners", join(advertised.collect()));
    set("controller.listener.names", Listener::Controller.name().to_owned());
    set("inter.broker.listener.name", Listener::Plain.name().to_owned());
    let protocols = open.iter().map(|each| format!("{}:{}", each.name(), each.protocol()));
    set("listener.security.protocol.map", join(protocols.collect()));
    set("log.dirs", data.display().to_string());
    let copies = options.brokers.min(3).to_string();
    let in_sync = options.brokers.min(2).to_string();
    for topic in ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"] {
        set(&format!("{topic}.replication.factor"), copies.clone());
    }
    for log in
        ["min.insync.replicas", "transaction.state.log.min.isr", "share.coordinator.state.topic.min.isr"]
    {
        set(log, in_sync.clone());
    }
    set("default.replication.factor", copies);
    for (name, value) in FOR_TESTS {
        set(name, (*value).to_owned());
    }
    if options.tls {
        set("ssl.keystore.type", "PEM".to_owned());
        set("ssl.keystore.location", pem.join("broker.pem").display().to_string());
    }
    for listener in open.iter().filter(|each| matches!(each, Listener::Sasl | Listener::SaslTls)) {
        sasl(&mut set, *listener, options);
    }
    if options.acls {
        set("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned());
        set("super.users", "User:ANONYMOUS".to_owned());
    }
    lines.extend(options.settings.iter().cloned());
    let lines: Vec<String> = lines.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    lines.concat()
}

fn sasl(set: &mut impl FnMut(&str, String), listener: Listener, options: &KafkaOptions) {
    const LOGIN: &str = "org.apache.kafka.common.security";
    let prefix = format!("listener.name.{}", listener.name().to_lowercase());
    let mechanisms = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER";
    set(&format!("{prefix}.sasl.enabled.mechanisms"), mechanisms.to_owned());
    let users: Vec<String> =
        options.users.iter().map(|user| format!("user_{}=\"{}\"", user.name, user.password)).collect();
    set(
        &format!("{prefix}.plain.sasl.jaas.config"),
        format!("{LOGIN}.plain.PlainLoginModule required {};", users.join(" ")),
    );
    for scram in ["scram-sha-256", "scram-sha-512"] {
        set(
            &format!("{prefix}.{scram}.sasl.jaas.config"),
            format!("{LOGIN}.scram.ScramLoginModule required;"),
        );
    }
    set(
        &format!("{prefix}.oauthbearer.sasl.jaas.config"),
        format!(
            "{LOGIN}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";"
        ),
    );
    set(
        &format!("{prefix}.oauthbearer.sasl.server.callback.handler.class"),
        format!("{LOGIN}.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler"),
    );
}
