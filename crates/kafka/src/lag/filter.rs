//! Which groups and topics are looked at.

use crate::error::KafkaError;
use regex::Regex;

/// A regular expression that a whole name must match. The default lets all through.
#[derive(Clone, Debug, Default)]
pub struct Filter(Option<Regex>);

impl Filter {
    /// Names that `pattern` matches from their first to their last letter.
    ///
    /// # Errors
    /// [`KafkaError::Setting`] names the setting, the pattern and where it is wrong.
    pub fn new(name: &str, pattern: &str) -> Result<Self, KafkaError> {
        // The bare pattern first: a message must show what was given.
        let wrong = |error: regex::Error| {
            KafkaError::setting(name, pattern, &format!("a regular expression: {error}"))
        };
        Regex::new(pattern).map_err(wrong)?;
        Ok(Self(Some(Regex::new(&format!("^(?:{pattern})$")).map_err(wrong)?)))
    }

    /// Whether `name` is let through.
    pub fn lets(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|regex| regex.is_match(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_name_must_match() {
        let filter = Filter::new("topic", "orders|pay.*").unwrap();
        assert!(filter.lets("orders") && filter.lets("payments"));
        assert!(!filter.lets("orders-dlq") && !filter.lets("my-orders"));
        assert!(Filter::default().lets("anything"));
        assert!(Filter::new("topic", "or(ders").unwrap_err().to_string().contains("\"or(ders\""));
    }
}
