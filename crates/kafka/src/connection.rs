//! How a cluster is reached: bootstrap addresses, client settings, secrets.

use crate::error::{KafkaError, Trouble};
use crate::token::{TOKEN_URL, TOKEN_URL_WANT, TokenFile};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError as ClientError;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::fmt;

/// Whether this build has OpenSSL.
const TLS: bool = cfg!(any(feature = "tls", feature = "tls-vendored"));
/// GSSAPI needs a library of Cyrus, which is not there.
const MECHANISMS: &[&str] = &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", OAUTHBEARER];
const OAUTHBEARER: &str = "OAUTHBEARER";
/// The setting that names it, and its alias.
const MECHANISM: [&str; 2] = ["sasl.mechanism", "sasl.mechanisms"];
/// Ways to a token that are not there, and the value that asks for each: the first needs a client with HTTP, the
/// second is never told when its token ends.
const NO_TOKEN_WAYS: &[(&str, &str)] =
    &[("sasl.oauthbearer.method", "oidc"), ("enable.sasl.oauthbearer.unsecure.jwt", "true")];

/// A cluster and how to speak to it. `Debug` shows no secret.
#[derive(Clone, Default)]
pub struct Connection {
    /// `host:port`, at least one.
    pub bootstrap: Vec<String>,
    /// librdkafka settings by name, passed through after those that Seawall sets itself were refused.
    pub properties: BTreeMap<String, String>,
    /// Settings whose values must show nowhere (`sasl.password`, `ssl.key.password`, …).
    pub secrets: BTreeMap<String, SecretString>,
}

impl Connection {
    /// A cluster without authentication.
    pub fn new(bootstrap: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { bootstrap: bootstrap.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// The client configuration that both sides start from.
    ///
    /// # Errors
    /// [`KafkaError::Setting`] where a setting is missing or belongs to Seawall.
    pub(crate) fn client_config(&self, owned: &[(&str, &str)]) -> Result<ClientConfig, KafkaError> {
        if self.bootstrap.iter().all(|address| address.trim().is_empty()) {
            return Err(KafkaError::setting("bootstrap", "", "at least one `host:port`"));
        }
        self.check_security()?;
        self.token_file()?;
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap.join(","));
        for (name, value) in &self.properties {
            if name == "bootstrap.servers" || owned.iter().any(|(own, _)| own == name) {
                return Err(KafkaError::setting(name, value, "left out: Seawall sets it"));
            }
            config.set(name, value);
        }
        for (name, value) in &self.secrets {
            config.set(name, value.expose_secret());
        }
        for (name, value) in owned {
            config.set(*name, *value);
        }
        config.remove(TOKEN_URL);
        Ok(config)
    }
}

impl Connection {
    /// As [`client_config`](Self::client_config), for a client that reads records: it checks what it fetched, or
    /// damage on a broker's disk would reach handlers as data. The user's own setting stands.
    pub(crate) fn reader_config(&self, owned: &[(&str, &str)]) -> Result<ClientConfig, KafkaError> {
        let mut config = self.client_config(owned)?;
        if config.get("check.crcs").is_none() {
            config.set("check.crcs", "true");
        }
        Ok(config)
    }

    /// A setting, wherever it stands. Not for secrets.
    fn setting(&self, names: &[&str]) -> Option<(&str, &str)> {
        let plain = self.properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let secret = self.secrets.iter().map(|(name, value)| (name.as_str(), value.expose_secret()));
        plain.chain(secret).find(|(name, _)| names.contains(name))
    }

    /// Where its clients find their token; `None` where they log in by other means.
    fn token_file(&self) -> Result<Option<TokenFile>, KafkaError> {
        if !self.setting(&MECHANISM).is_some_and(|(name, value)| needs_token(name, value)) {
            return Ok(None);
        }
        for (name, asked) in NO_TOKEN_WAYS {
            if self.setting(&[name]).is_some_and(|(_, value)| value.eq_ignore_ascii_case(asked)) {
                let want = format!("left out, and `{TOKEN_URL}` {TOKEN_URL_WANT}");
                return Err(KafkaError::setting(name, asked, &want));
            }
        }
        let url = self.setting(&[TOKEN_URL]).map_or("", |(_, value)| value);
        TokenFile::at(url).map(Some)
    }

    /// What a client writes its trouble down in, and takes its token from.
    pub(crate) fn trouble(&self) -> Result<Trouble, KafkaError> {
        Ok(Trouble::with_token(self.token_file()?))
    }

    /// Whether its clients log in with a token.
    pub(crate) fn has_token(&self) -> bool {
        matches!(self.token_file(), Ok(Some(_)))
    }

    /// Refuses what this build cannot do, by name: the client would only say that it was built otherwise.
    fn check_security(&self) -> Result<(), KafkaError> {
        let protocol = self.setting(&["security.protocol"]);
        let mechanism = self.setting(&MECHANISM);
        let with_sasl = protocol.is_some_and(|(_, value)| value.to_ascii_lowercase().starts_with("sasl"));
        if let Some((name, value)) = mechanism {
            let value = value.to_ascii_uppercase();
            if !MECHANISMS.contains(&value.as_str()) {
                return Err(KafkaError::setting(name, &value, &format!("one of {}", MECHANISMS.join(", "))));
            }
        } else if with_sasl {
            return Err(KafkaError::setting(
                "sasl.mechanism",
                "",
                &format!("one of {}", MECHANISMS.join(", ")),
            ));
        }
        let needs_tls = |(_, value): &(&str, &str)| {
            let value = value.to_ascii_lowercase();
            value.ends_with("ssl") || value.starts_with("scram") || value.eq_ignore_ascii_case(OAUTHBEARER)
        };
        match protocol.filter(needs_tls).or_else(|| mechanism.filter(needs_tls)) {
            Some((name, value)) if !TLS => {
                Err(KafkaError::WithoutTls { name: name.to_owned(), value: value.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// Why a client could not be made from these settings; the values of secrets are left out.
    pub(crate) fn unusable(&self, doing: &'static str, source: ClientError) -> KafkaError {
        match source {
            ClientError::ClientConfig(_, said, name, value) => {
                let shown = if self.secrets.contains_key(&name) { "(not shown)" } else { &value };
                KafkaError::setting(&name, shown, &format!("one that the client knows ({said})"))
            }
            source => KafkaError::Client { doing, source },
        }
    }
}

/// Settings that Seawall sets itself, and what there is instead. Aliases of librdkafka stand beside their names.
const OWNED: [(&str, &str); 31] = [
    ("bootstrap.servers", "it is `bootstrap`"),
    ("metadata.broker.list", "it is `bootstrap`"),
    ("client.id", "it is `client_id` of the pipeline's member"),
    ("group.id", "it is `group` of the pipeline"),
    ("group.instance.id", "it is `instance_id` of the pipeline's member"),
    ("group.protocol", "Seawall is a member of the classic protocol"),
    ("session.timeout.ms", "it is `session_timeout` of the pipeline's member"),
    ("max.poll.interval.ms", "it is `poll_interval_max` of the pipeline's member"),
    ("partition.assignment.strategy", "Seawall joins as cooperative-sticky"),
    ("auto.offset.reset", "it is `start_at` of the pipeline's member"),
    ("enable.auto.commit", "Seawall commits what is finished, and nothing else"),
    ("auto.commit.enable", "Seawall commits what is finished, and nothing else"),
    ("auto.commit.interval.ms", "it is `commit.interval` of the pipeline"),
    ("enable.auto.offset.store", "Seawall commits what is finished, and nothing else"),
    ("enable.partition.eof", "Seawall sets it"),
    ("isolation.level", "Seawall reads what transactions have committed"),
    ("statistics.interval.ms", "lag is read from it"),
    ("enable.idempotence", "without it a retry writes a record twice"),
    ("acks", "a receipt `replicated` needs all replicas"),
    ("request.required.acks", "a receipt `replicated` needs all replicas"),
    ("transactional.id", "Seawall sets it"),
    ("partitioner", "keys are placed as Kafka's own clients place them"),
    ("compression.type", "it is `compression` of the cluster"),
    ("compression.codec", "it is `compression` of the cluster"),
    ("message.timeout.ms", "Seawall sets it"),
    ("delivery.timeout.ms", "Seawall sets it"),
    ("linger.ms", "Seawall sets it"),
    ("queue.buffering.max.ms", "Seawall sets it"),
    ("queue.buffering.max.kbytes", "Seawall sets it"),
    ("queue.buffering.max.messages", "Seawall sets it"),
    ("message.max.bytes", "the topic's `max.message.bytes` decides"),
];

/// Why a client setting is not the user's to set; `None` where it is.
pub fn owned(name: &str) -> Option<&'static str> {
    OWNED.iter().find(|(owned, _)| *owned == name).map(|(_, instead)| *instead)
}

/// Whether a client setting holds something that must show nowhere.
pub fn is_secret(name: &str) -> bool {
    name.contains("password")
        || name.contains("secret")
        || matches!(name, "ssl.key.pem" | "ssl_key" | "sasl.oauthbearer.config" | "sasl.jaas.config")
}

/// Whether a setting asks for a login with a token, which [`TOKEN_URL`] must name.
pub fn needs_token(name: &str, value: &str) -> bool {
    MECHANISM.contains(&name) && value.eq_ignore_ascii_case(OAUTHBEARER)
}

/// Whether librdkafka, as it was built, or Seawall in its place takes `value` for the setting `name`. No broker is asked.
///
/// # Errors
/// What librdkafka says.
pub fn check_setting(name: &str, value: &str) -> Result<(), KafkaError> {
    if name == TOKEN_URL {
        return TokenFile::at(value).map(drop);
    }
    let made = ClientConfig::new().set(name, value).create_native_config();
    made.map(drop).map_err(|source| Connection::default().unusable("reading its settings", source))
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("bootstrap", &self.bootstrap)
            .field("properties", &self.properties)
            .field("secrets", &self.secrets.keys().collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_seawall_owns_is_known_to_the_client() {
        for (name, instead) in OWNED {
            let unknown = rdkafka_says(name).is_some_and(|said| said.contains("No such configuration"));
            assert!(!unknown && !instead.is_empty(), "{name}");
            assert!(!is_secret(name), "{name}");
        }
    }

    /// The complaint about a value that no setting takes.
    fn rdkafka_says(name: &str) -> Option<String> {
        check_setting(name, "").err().map(|error| seawall_core::Fault::from(error).to_string())
    }

    #[test]
    fn unknown_settings_are_told_and_secrets_are_known_by_name() {
        assert!(rdkafka_says("no.such.setting").unwrap().contains("no.such.setting"));
        assert!(check_setting("sasl.mechanism", "PLAIN").is_ok());
        for secret in ["sasl.password", "ssl.key.password", "sasl.oauthbearer.client.secret", "ssl.key.pem"] {
            assert!(is_secret(secret), "{secret}");
        }
        assert!(!is_secret("sasl.username"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut connection = Connection::new(["a:1"]);
        connection.secrets.insert("sasl.password".to_owned(), "canary".to_owned().into());
        let shown = format!("{connection:?}");
        assert!(shown.contains("sasl.password") && !shown.contains("canary"), "{shown}");
    }
}
