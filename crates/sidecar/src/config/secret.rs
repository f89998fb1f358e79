//! Secrets come from a file or the environment, never from the config itself, and are never shown.

use secrecy::{ExposeSecret, SecretString};
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq;

/// The shortest bearer token accepted, in bytes: shorter ones can be guessed.
pub const TOKEN_BYTES_MIN: usize = 16;
/// The longest, so that it fits a header.
pub(super) const TOKEN_BYTES_MAX: usize = 4096;

/// Why a secret cannot be had. Names where it should be, never what it is.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("{field}: cannot read the file {}", path.display())]
    Read {
        /// The field that names it.
        field: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The variable is not set.
    #[error("{field}: the environment variable {name} is not set or not UTF-8")]
    Missing {
        /// The field that names it.
        field: String,
        /// The variable.
        name: String,
    },
    /// There is nothing in it.
    #[error("{field}: the secret is empty")]
    Empty {
        /// The field that names its place.
        field: String,
    },
    /// The token could not be sent in a header, or could be guessed.
    #[error(
        "{field}: the token has {bytes} bytes; it needs {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} visible ASCII \
         characters on one line"
    )]
    Unfit {
        /// The field that names it.
        field: String,
        /// Its length.
        bytes: usize,
    },
}

/// A bearer token. Printing shows nothing of it; comparing takes the same time wherever it differs.
#[derive(Clone, Debug)]
pub struct BearerToken(SecretString);

impl BearerToken {
    /// Reads the token that `file` or the variable `env` holds; `None` where neither is named. `field` is the
    /// table they stand in, for errors.
    ///
    /// # Errors
    /// [`SecretError`] when it cannot be read or is unfit.
    pub fn load(field: &str, file: Option<&Path>, env: Option<&str>) -> Result<Option<Self>, SecretError> {
        if let Some(path) = file {
            let field = format!("{field}.token_file");
            let text = std::fs::read_to_string(path).map_err(|source| SecretError::Read {
                field: field.clone(),
                path: path.to_owned(),
                source,
            })?;
            return Self::new(&field, text.lines().next().unwrap_or_default()).map(Some);
        }
        let Some(name) = env else { return Ok(None) };
        let field = format!("{field}.token_env");
        let text = std::env::var(name)
            .map_err(|_| SecretError::Missing { field: field.clone(), name: name.to_owned() })?;
        Self::new(&field, &text).map(Some)
    }

    /// Takes `text`, without the white space around it.
    ///
    /// # Errors
    /// [`SecretError::Unfit`] when too short, too long or not visible ASCII.
    pub fn new(field: &str, text: &str) -> Result<Self, SecretError> {
        let text = text.trim();
        let fits = (TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&text.len());
        if !fits || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(SecretError::Unfit { field: field.to_owned(), bytes: text.len() });
        }
        Ok(Self(SecretString::from(text)))
    }

    /// Whether `presented` is this token, in time that does not depend on where they differ.
    pub fn matches(&self, presented: &[u8]) -> bool {
        self.0.expose_secret().as_bytes().ct_eq(presented).into()
    }

    /// The `Authorization` header that carries it, marked as sensitive.
    pub fn header(&self) -> Option<http::HeaderValue> {
        let mut value = http::HeaderValue::try_from(format!("Bearer {}", self.0.expose_secret())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_never_shows_itself() {
        let canary = "canary-0123456789abcdef";
        let token = BearerToken::new("admin", canary).expect("fit");
        assert!(!format!("{token:?}").contains("canary"));
        assert!(!format!("{:?}", token.header()).contains("canary"));
        assert!(token.matches(canary.as_bytes()));
        assert!(!token.matches(b"canary-0123456789abcdeF"));
        assert!(!token.matches(b""));
    }

    #[test]
    fn refuses_unfit_tokens_without_showing_them() {
        for text in ["short", "has a space in the middle", "new\nline-0123456789", "ümlaut-0123456789"] {
            let error = BearerToken::new("admin.token_file", text).expect_err("unfit");
            assert!(!error.to_string().contains(text), "{error}");
        }
    }
}
