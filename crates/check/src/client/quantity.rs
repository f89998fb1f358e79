//! Values as the dialects write them.

/// What a number without a unit from here on must be nanoseconds: as milliseconds it would be eleven days.
const NANOSECONDS_FROM: f64 = 1e9;

/// Milliseconds in `45000`, `45s`, `1m30s` (Go) or, for large bare numbers, nanoseconds. `None` for anything
/// else, as a template that is filled in later.
pub(crate) fn milliseconds(text: &str) -> Option<f64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return Some(if number >= NANOSECONDS_FROM { number / 1e6 } else { number });
    }
    let (mut rest, mut sum) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match rest[..letters].trim() {
            "h" => 3_600_000.0,
            "m" | "min" => 60_000.0,
            "s" => 1_000.0,
            "ms" => 1.0,
            "us" | "µs" => 1e-3,
            "ns" => 1e-6,
            _ => return None,
        };
        sum += number * unit;
        rest = &rest[letters..];
    }
    (!text.is_empty()).then_some(sum)
}

/// Bytes in `33554432`, `32MB` (Spring: powers of 1024), `32MiB`.
pub(crate) fn bytes(text: &str) -> Option<f64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '-')).unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" | "kib" => 1024.0,
        "m" | "mb" | "mib" => 1024.0 * 1024.0,
        "g" | "gb" | "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    Some(number * unit)
}

/// On or off.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_have_units_or_not() {
        for (text, ms) in
            [("45000", 45e3), ("45s", 45e3), ("1m30s", 9e4), ("10000000000", 1e4), ("250ms", 250.0)]
        {
            assert_eq!(milliseconds(text), Some(ms), "{text}");
        }
        for text in ["", "${TIMEOUT}", "soon", "4x", "PT45S"] {
            assert_eq!(milliseconds(text), None, "{text}");
        }
        assert_eq!((bytes("32MB"), bytes("-1"), bytes("{{ .Mem }}")), (Some(33_554_432.0), Some(-1.0), None));
    }
}
