//! Settings by which Kafka's own (Java) clients reach the guarded listeners.

use super::options::User;
use std::path::Path;

/// How a user proves who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// The password itself.
    Plain,
    /// RFC 7677.
    ScramSha256,
    /// RFC 5802 with SHA-512.
    ScramSha512,
}

impl Mechanism {
    /// As clients spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// The text of a properties file for TLS (where `ca` is given) and SASL (where `login` is).
pub(super) fn client(ca: Option<&Path>, login: Option<(&User, Mechanism)>) -> String {
    let protocol = match (ca.is_some(), login.is_some()) {
        (false, false) => "PLAINTEXT",
        (true, false) => "SSL",
        (false, true) => "SASL_PLAINTEXT",
        (true, true) => "SASL_SSL",
    };
    let mut lines = vec![format!("security.protocol={protocol}")];
    if let Some(ca) = ca {
        lines.push("ssl.truststore.type=PEM".to_owned());
        lines.push(format!("ssl.truststore.location={}", ca.display()));
    }
    if let Some((User { name, password }, mechanism)) = login {
        let module = if mechanism == Mechanism::Plain { "plain.Plain" } else { "scram.Scram" };
        lines.push(format!("sasl.mechanism={}", mechanism.name()));
        lines.push(format!(
            "sasl.jaas.config=org.apache.kafka.common.security.{module}LoginModule required \
             username=\"{name}\" password=\"{password}\";"
        ));
    }
    lines.join("\n")
}
