//! What cluster is wanted.

use super::error::KafkaError;
use std::net::SocketAddr;

/// A user of the SASL listeners, for PLAIN and both SCRAM mechanisms alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Letters, digits, `-`, `_` and `.` only.
    pub name: String,
    /// Letters, digits, `-`, `_` and `.` only.
    pub password: String,
}

/// What cluster is wanted. The default is one broker that speaks plain text.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// 1 or 3; each is broker and controller in one.
    pub brokers: usize,
    /// Listeners with TLS, under a certificate authority made for this cluster.
    pub tls: bool,
    /// Listeners with SASL: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, and OAUTHBEARER with unsigned tokens.
    pub sasl: bool,
    /// Kafka's `StandardAuthorizer`: users of the SASL listeners may do only what an ACL allows. The listeners
    /// without SASL stay all-powerful (`User:ANONYMOUS` is a super user), so that a test can grant and look.
    pub acls: bool,
    /// Users of the SASL listeners; by default `alice` and `bob`, each with the password `<name>-secret`.
    pub users: Vec<User>,
    /// One address a broker: a further plain-text listener that tells clients to come to this address instead
    /// of its own. A fault proxy listens there and passes on to [`upstream`](super::KafkaCluster::upstream).
    pub proxied: Vec<SocketAddr>,
    /// Further lines of `server.properties`; they win over those chosen here.
    pub settings: Vec<(String, String)>,
    /// Further flags of the brokers' JVMs, which win: `-XX:TieredStopAtLevel=4` and a larger `-Xmx` for a bench.
    pub jvm: Vec<String>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        let user = |name: &str| User { name: name.to_owned(), password: format!("{name}-secret") };
        Self {
            brokers: 1,
            tls: false,
            sasl: false,
            acls: false,
            users: vec![user("alice"), user("bob")],
            proxied: Vec::new(),
            settings: Vec::new(),
            jvm: Vec::new(),
        }
    }
}

impl KafkaOptions {
    pub(crate) fn check(&self) -> Result<(), KafkaError> {
        let refuse = |option, value: String, want: &str| {
            Err(KafkaError::Options { option, value, want: want.to_owned() })
        };
        if !matches!(self.brokers, 1 | 3) {
            return refuse("brokers", self.brokers.to_string(), "1 or 3");
        }
        if !self.proxied.is_empty() && self.proxied.len() != self.brokers {
            return refuse("proxied", format!("{} addresses", self.proxied.len()), "one address a broker");
        }
        // They stand in JAAS and SCRAM lines, whose quoting nobody wants to meet.
        let plain = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        if let Some(user) = self.users.iter().find(|user| !plain(&user.name) || !plain(&user.password)) {
            return refuse("users", format!("{:?}", user.name), "letters, digits, -, _ and ., password too");
        }
        if let Some((name, value)) =
            self.settings.iter().find(|(name, value)| format!("{name}{value}").contains(['\n', '\r']))
        {
            return refuse("settings", format!("{name}={value:?}"), "a name and a value on one line");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_named() {
        let refused = |options: KafkaOptions| options.check().unwrap_err().to_string();
        let base = KafkaOptions::default;
        assert!(base().check().is_ok());
        assert_eq!(refused(KafkaOptions { brokers: 2, ..base() }), "option brokers is 2: it must be 1 or 3");
        let proxied = vec!["127.0.0.1:1".parse().unwrap()];
        assert!(refused(KafkaOptions { brokers: 3, proxied, ..base() }).contains("one address a broker"));
        let users = vec![User { name: "a\"b".to_owned(), password: "x".to_owned() }];
        assert!(refused(KafkaOptions { users, ..base() }).starts_with("option users"));
        let settings = vec![("a".to_owned(), "1\nb=2".to_owned())];
        assert!(refused(KafkaOptions { settings, ..base() }).starts_with("option settings"));
    }
}
