//! How a cluster is reached: bootstrap addresses, client settings, secrets.

use crate::error::KafkaError;
use rdkafka::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::fmt;

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
        Ok(config)
    }
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
