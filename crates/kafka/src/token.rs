//! SASL OAUTHBEARER (RFC 7628): the token of a cluster, which another program keeps fresh in a file.
//!
//! That is how a projected service account token of Kubernetes, Vault's agent or a cloud's own helper hand one over.
//! The client asks for a token when it starts and once four fifths of its life are over, and the file is read again
//! each time; where that fails it asks again every ten seconds.
//!
//! A JWT (RFC 7519) tells its end as `exp` and its user as `sub`; the brokers check its signature, nobody here does.
//! A token of another kind is read again after [`UNKNOWN_LIFE`].

use crate::error::KafkaError;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rdkafka::client::OAuthToken;
use seawall_core::WallMs;
use serde::Deserialize;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The setting that names the file, as for Kafka's own clients: `file:///var/run/secrets/kafka/token`.
pub const TOKEN_URL: &str = "sasl.oauthbearer.token.endpoint.url";
/// What the setting must be.
pub const TOKEN_URL_WANT: &str = "the URL of a file that holds the token, like \
     file:///var/run/secrets/kafka/token: this client fetches none over HTTP, so let another program keep the file";
/// How long a token is used that does not say when it ends.
const UNKNOWN_LIFE: Duration = Duration::from_mins(5);
/// The longest token; brokers take far less.
const BYTES_MAX: u64 = 64 << 10;

/// Why there is no token. Names the file, never what is in it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the token in {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// What is in the file is no token.
    #[error(
        "{} holds {bytes} bytes that are no token: it must be one line of up to {BYTES_MAX} visible ASCII \
         characters, and nothing else",
        path.display()
    )]
    Unfit {
        /// The file.
        path: PathBuf,
        /// How many bytes it has, as far as it was read.
        bytes: usize,
    },
    /// The token is over: what should keep the file fresh does not.
    #[error("the token in {} ended {} s ago: see to the program that writes it", path.display(), since.as_secs())]
    Expired {
        /// The file.
        path: PathBuf,
        /// How long ago.
        since: Duration,
    },
}

/// Where a cluster's token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenFile {
    path: PathBuf,
}

/// What is read of a JWT.
#[derive(Deserialize)]
struct Claims {
    exp: Option<f64>,
    sub: Option<String>,
}

impl TokenFile {
    /// The file that `url`, the value of [`TOKEN_URL`], means.
    pub(crate) fn at(url: &str) -> Result<Self, KafkaError> {
        let path = url.strip_prefix("file://").map(Path::new).filter(|path| path.is_absolute());
        let path = path.ok_or_else(|| KafkaError::setting(TOKEN_URL, url, TOKEN_URL_WANT))?;
        Ok(Self { path: path.to_owned() })
    }

    /// The token as it stands in the file `now`.
    pub(crate) fn read(&self, now: WallMs) -> Result<OAuthToken, TokenError> {
        let mut bytes = Vec::new();
        File::open(&self.path)
            .and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(|source| TokenError::Read { path: self.path.clone(), source: Arc::new(source) })?;
        let token = bytes.trim_ascii();
        let fits = !token.is_empty() && bytes.len() as u64 <= BYTES_MAX;
        let token = Some(token).filter(|token| fits && token.iter().all(u8::is_ascii_graphic));
        let token = token.and_then(|token| std::str::from_utf8(token).ok());
        let token = token.ok_or_else(|| TokenError::Unfit { path: self.path.clone(), bytes: bytes.len() })?;
        let claims = claims(token);
        let exp_ms = claims.as_ref().and_then(|claims| claims.exp).map(|seconds| (seconds * 1000.0) as i64);
        let lifetime_ms = exp_ms.unwrap_or(now.0.saturating_add(UNKNOWN_LIFE.as_millis() as i64));
        if lifetime_ms <= now.0 {
            let since = Duration::from_millis(now.0.abs_diff(lifetime_ms));
            return Err(TokenError::Expired { path: self.path.clone(), since });
        }
        // Only for the client's own words; the broker takes the user from the token.
        let principal_name = claims.and_then(|claims| claims.sub).unwrap_or_default().replace('\0', "");
        Ok(OAuthToken { token: token.to_owned(), principal_name, lifetime_ms })
    }
}

/// The claims of a JWT in its compact form; `None` where it is something else.
fn claims(token: &str) -> Option<Claims> {
    let [_, payload, _] = token.split('.').collect::<Vec<_>>()[..] else { return None };
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const NOW: WallMs = WallMs(1_000_000);

    fn jwt(claims: &str) -> String {
        format!("eyJhbGciOiJub25lIn0.{}.", BASE64_URL_SAFE_NO_PAD.encode(claims))
    }

    fn read(text: &[u8]) -> Result<OAuthToken, TokenError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text).unwrap();
        TokenFile::at(&format!("file://{}", file.path().display())).unwrap().read(NOW)
    }

    #[test]
    fn a_jwt_tells_its_end_and_its_user() {
        let text = jwt(r#"{"sub":"alice","exp":1001,"aud":["kafka"]}"#);
        let token = read(format!("{text}\n").as_bytes()).unwrap();
        assert_eq!((token.lifetime_ms, &*token.principal_name, token.token), (1_001_000, "alice", text));
        let fraction = read(jwt(r#"{"exp":1000.5}"#).as_bytes()).unwrap();
        assert_eq!((fraction.lifetime_ms, &*fraction.principal_name), (1_000_500, ""));
    }

    #[test]
    fn a_token_without_an_end_is_read_again() {
        for text in ["opaque-0123456789", "a.b", "a.b.c", &jwt(r#"{"sub":"x"}"#)] {
            assert_eq!(read(text.as_bytes()).unwrap().lifetime_ms, NOW.0 + 300_000, "{text}");
        }
    }

    #[test]
    fn what_is_no_token_or_over_is_named_and_not_shown() {
        let long = "c".repeat(BYTES_MAX as usize + 1);
        for text in ["", " \n", "canary one", "canary\ncanary", "canar\u{fc}", "canary\0", &long] {
            let Err(error) = read(text.as_bytes()) else { panic!("{text:?} passes") };
            assert!(matches!(error, TokenError::Unfit { .. }), "{error}");
            assert!(!format!("{error:?}").contains("canar"), "{error:?}");
        }
        let Err(error) = read(jwt(r#"{"sub":"canary","exp":940}"#).as_bytes()) else { panic!("it is over") };
        assert!(error.to_string().contains("ended 60 s ago"), "{error}");
        assert!(read(jwt(r#"{"exp":1000}"#).as_bytes()).is_err(), "its end is no part of its life");
    }

    #[test]
    fn the_file_is_named_by_a_url() {
        for wrong in ["", "token", "/token", "file://token", "file:/token", "https://idp/token"] {
            let said = TokenFile::at(wrong).unwrap_err().to_string();
            assert!(said.contains(TOKEN_URL) && said.contains("file:///var"), "{said}");
        }
        let missing = TokenFile::at("file:///no/such/token").unwrap().read(NOW);
        assert!(matches!(missing, Err(TokenError::Read { path, .. }) if path.ends_with("such/token")));
    }
}
