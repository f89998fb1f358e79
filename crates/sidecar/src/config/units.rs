//! Durations and sizes as people write them: `"250ms"`, `"5s"`, `"64MiB"`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// A length of time: `"250ms"`, `"5s"`, `"1m 30s"`, `"7days"`. Up to a thousand years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl Period {
    /// `ms` milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// `secs` seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let units: [(u128, &str); 7] = [
            (86_400_000_000_000, "d"),
            (3_600_000_000_000, "h"),
            (60_000_000_000, "m"),
            (1_000_000_000, "s"),
            (1_000_000, "ms"),
            (1_000, "us"),
            (1, "ns"),
        ];
        match units.iter().find(|(unit, _)| nanos >= *unit && nanos.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", nanos / unit),
            None => f.write_str("0s"),
        }
    }
}

/// What a duration looks like, for error messages.
const PERIOD_EXPECTED: &str = "a duration with its unit in quotes, like \"250ms\", \"5s\" or \"10m\"";
/// A thousand years: what lies above is a mistake, and would overflow sums of times.
const PERIOD_SECS_MAX: u64 = 1_000 * 366 * 86_400;

impl std::str::FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || PERIOD_EXPECTED.to_owned();
        if text.starts_with(['P', 'p', '-', '+']) {
            return Err(expected());
        }
        let span: jiff::Span = text.parse().map_err(|_| expected())?;
        let days = jiff::SpanRelativeTo::days_are_24_hours();
        let signed = span.to_duration(days).map_err(|_| expected())?;
        let duration = Duration::try_from(signed).map_err(|_| expected())?;
        if duration.as_secs() > PERIOD_SECS_MAX {
            return Err("a duration of at most a thousand years".to_owned());
        }
        Ok(Self(duration))
    }
}

/// A number of bytes: `"64MiB"`, `"1GB"`, or a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// `n` KiB.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// `n` MiB.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// The size as a length in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units.iter().find(|(unit, _)| self.0 >= *unit && self.0.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// What a size looks like, for error messages.
const SIZE_EXPECTED: &str = "a size with its unit in quotes, like \"64MiB\", \"500KB\" or \"1GiB\"";

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kib" | "k" => 1 << 10,
            "mib" | "m" => 1 << 20,
            "gib" | "g" => 1 << 30,
            "tib" | "t" => 1 << 40,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return Err(SIZE_EXPECTED.to_owned()),
        };
        let number: u64 = number.parse().map_err(|_| SIZE_EXPECTED.to_owned())?;
        number.checked_mul(factor).map(Self).ok_or_else(|| "a size below 2^64 bytes".to_owned())
    }
}

/// Reads what `FromStr` takes, and says what would be right otherwise.
struct FromText<T> {
    expected: &'static str,
    from_number: fn(u64) -> Option<T>,
}

impl<T: std::str::FromStr<Err = String>> Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|expected: String| E::invalid_value(Unexpected::Str(text), &expected.as_str()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        let value = u64::try_from(number).ok().and_then(self.from_number);
        value.ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self.expected))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        (self.from_number)(number)
            .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self.expected))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        de.deserialize_any(FromText { expected: PERIOD_EXPECTED, from_number: |_| None })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        de.deserialize_any(FromText { expected: SIZE_EXPECTED, from_number: |n| Some(Self(n)) })
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
        ser.collect_str(self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
        ser.collect_str(self)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A duration with its unit: \"250ms\", \"5s\", \"1m 30s\", \"7d\".",
            "pattern": "^[0-9]",
        })
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Bytes: \"64MiB\", \"500KB\", \"1GiB\", or a plain number.",
            "anyOf": [
                { "type": "string", "pattern": "^[0-9]+ *([kKmMgGtT]([iI]?[bB])?|[bB])?$" },
                { "type": "integer", "minimum": 0 },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_and_sizes_read_back_as_written() {
        for text in ["250ms", "5s", "90s", "10m", "1h", "7d", "0s"] {
            let period: Period = text.parse().expect("valid");
            assert_eq!(period.to_string().parse::<Period>(), Ok(period), "{text}");
        }
        assert_eq!("1m 30s".parse::<Period>(), Ok(Period::from_secs(90)));
        assert_eq!("64MiB".parse::<Size>(), Ok(Size::mib(64)));
        assert_eq!("1 GB".parse::<Size>(), Ok(Size(1_000_000_000)));
        assert_eq!(Size::mib(64).to_string(), "64MiB");
    }

    #[test]
    fn refuses_what_has_no_unit_or_no_end() {
        for text in ["5", "", "-5s", "PT5S", "5 lightyears", "99999999999h"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
        for text in ["", "MiB", "5 bananas", "99999999999TiB", "-1"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
