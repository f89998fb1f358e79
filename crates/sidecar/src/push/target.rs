//! A push target: where records are POSTed, and how far the word of whoever named it reaches.

use super::network::Reach;
use ipnet::IpNet;
use seawall_core::{Class, Classify};
use std::fmt;
use std::net::IpAddr;
use url::{Host, Url};

/// Who named a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The config file: `localhost`, `127.0.0.1` and `[::1]`, written just so, are the neighbour that a
    /// sidecar stands beside.
    ConfigFile,
    /// The admin API: only what `allow_networks` lists.
    Admin,
}

/// Why a target is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not a URL.
    #[error("this is not a URL ({0})")]
    NotUrl(url::ParseError),
    /// Not HTTP.
    #[error("the scheme {0:?} is not supported")]
    Scheme(String),
    /// No host.
    #[error("the URL names no host")]
    NoHost,
    /// A user name or password in the URL, where it would be shown.
    #[error("the URL holds a user name or password")]
    Credentials,
    /// A fragment, which no server ever sees.
    #[error("the URL has a fragment")]
    Fragment,
    /// Control characters or white space in it.
    #[error("the URL holds a space or a control character")]
    Control,
    /// The address is not to be called.
    #[error("the address {address} ({range}) is not to be called")]
    Denied {
        /// The address.
        address: IpAddr,
        /// The special range it lies in.
        range: &'static str,
    },
    /// The name cannot be resolved (only checked where the admin API sets a target).
    #[error("the host {0:?} cannot be resolved")]
    Unresolved(String),
}

impl TargetError {
    /// What would be right.
    pub fn fix(&self) -> String {
        match self {
            Self::NotUrl(_) | Self::NoHost | Self::Control => {
                "write it like \"http://127.0.0.1:3000/orders\"".to_owned()
            }
            Self::Scheme(_) => "use http:// or https://".to_owned(),
            Self::Credentials => "put the secret in a file and name it in token_file".to_owned(),
            Self::Fragment => "drop the part from # on".to_owned(),
            Self::Denied { address, range } if *range == "cloud metadata" => {
                format!("list {address} itself in allow_networks if it is really meant")
            }
            Self::Denied { .. } => "list its network in allow_networks if it is really meant".to_owned(),
            Self::Unresolved(_) => "name a host that exists".to_owned(),
        }
    }
}

impl Classify for TargetError {
    fn class(&self) -> Class {
        Class::Permanent
    }
}

/// A target that may be named; whether the address behind it may be called is judged at each connection.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    url: Url,
    reach: Reach,
}

impl Target {
    /// Takes `raw` as a target.
    ///
    /// # Errors
    /// [`TargetError`] names what is wrong, and [`TargetError::fix`] what would be right.
    pub fn parse(raw: &str, trust: Trust, allow: &[IpNet]) -> Result<Self, TargetError> {
        if raw.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(TargetError::Control);
        }
        let url = Url::parse(raw).map_err(TargetError::NotUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(TargetError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::Credentials);
        }
        if url.fragment().is_some() {
            return Err(TargetError::Fragment);
        }
        let neighbour = trust == Trust::ConfigFile && names_neighbour(raw);
        let reach = Reach { allow: allow.to_vec(), neighbour };
        let literal = match url.host().ok_or(TargetError::NoHost)? {
            Host::Ipv4(v4) => Some(IpAddr::V4(v4)),
            Host::Ipv6(v6) => Some(IpAddr::V6(v6)),
            Host::Domain(_) => None,
        };
        if let Some(address) = literal {
            reach.judge(address).map_err(|range| TargetError::Denied { address, range })?;
        }
        Ok(Self { url, reach })
    }

    /// The URL as it is called.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// What may be called.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Host as a resolver takes it: without brackets.
    pub fn host(&self) -> String {
        match self.url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(v4)) => v4.to_string(),
            Some(Host::Ipv6(v6)) => v6.to_string(),
            None => String::new(),
        }
    }

    /// Port, given or usual.
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(80)
    }
}

/// For people: without the query, where secrets like to be.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.url.clone();
        let had_query = shown.query().is_some();
        shown.set_query(None);
        write!(f, "{shown}{}", if had_query { "?…" } else { "" })
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

/// Whether the host of `raw` is written as one of the three names of this machine. Judged by the text: other
/// spellings of the same address (`http://2130706433/`) are how a rule is walked around, not how a neighbour
/// is named.
fn names_neighbour(raw: &str) -> bool {
    let Some((_, rest)) = raw.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| host.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(raw: &str) -> Result<Target, TargetError> {
        Target::parse(raw, Trust::ConfigFile, &[])
    }

    #[test]
    fn the_neighbour_is_named_in_the_file_and_nowhere_else() {
        for raw in ["http://localhost:3000/x", "http://127.0.0.1/", "http://[::1]:80/", "http://LOCALHOST"] {
            assert!(config(raw).expect("fine").reach.neighbour, "{raw}");
            assert!(!Target::parse(raw, Trust::Admin, &[]).is_ok_and(|t| t.reach.neighbour), "{raw}");
        }
        assert!(matches!(
            Target::parse("http://127.0.0.1/", Trust::Admin, &[]),
            Err(TargetError::Denied { range: "loopback", .. })
        ));
    }

    #[test]
    fn other_spellings_of_special_addresses_are_refused() {
        let spellings = [
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://127.0.0.2/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://[::]/",
            "http://0/",
            "http://[64:ff9b::7f00:1]/",
            "http://169.254.169.254/latest/meta-data",
            "http://[fd00:ec2::254]/",
            "http://0xa9fea9fe/",
            "http://１２７.0.0.1/",
            "http://127。0。0。1/",
            "http://10.0.0.8/",
            "http://[fe80::1]/",
            "http://%31%32%37.0.0.1/",
        ];
        for raw in spellings {
            assert!(matches!(config(raw), Err(TargetError::Denied { .. })), "{raw}: {:?}", config(raw));
        }
    }

    #[test]
    fn refuses_what_is_no_plain_http_url() {
        let error = |raw| config(raw).expect_err("refused");
        assert_eq!(error("ftp://example.com/"), TargetError::Scheme("ftp".into()));
        assert_eq!(error("file:///etc/passwd"), TargetError::Scheme("file".into()));
        assert_eq!(error("http://user:pw@example.com/"), TargetError::Credentials);
        assert_eq!(error("http://localhost:80@example.com/"), TargetError::Credentials);
        assert_eq!(error("http://example.com/#x"), TargetError::Fragment);
        assert_eq!(error("http://example.com/\r\nx: y"), TargetError::Control);
        assert!(matches!(error("orders"), TargetError::NotUrl(_)));
    }

    #[test]
    fn does_not_show_the_query() {
        let target = config("https://example.com/in?key=canary").expect("fine");
        assert_eq!(target.to_string(), "https://example.com/in?…");
        assert!(!format!("{target:?}").contains("canary"));
    }
}
