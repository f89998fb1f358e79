//! Header names and values that any bytes survive.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, percent_encode};

/// What the CloudEvents HTTP binding encodes besides all that is not ASCII.
const VALUE: AsciiSet = CONTROLS.add(b' ').add(b'"').add(b'%');
/// What cannot stand in a header name, and upper case, which HTTP would fold.
const NAME: AsciiSet = upper_case(percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.'));

const fn upper_case(mut set: AsciiSet) -> AsciiSet {
    let mut byte = b'A';
    while byte <= b'Z' {
        set = set.add(byte);
        byte += 1;
    }
    set
}

/// `value` as a header value. Shares the bytes where nothing needs encoding.
pub fn encode_value(value: &Bytes) -> HeaderValue {
    let plain = value.iter().all(|b| matches!(b, 0x21 | 0x23 | 0x24 | 0x26..=0x7e));
    let bytes = if plain { value.clone() } else { Bytes::from(percent_encode(value, &VALUE).to_string()) };
    // Visible ASCII by construction, so that the fallback is never taken.
    HeaderValue::from_maybe_shared(bytes).unwrap_or(HeaderValue::from_static(""))
}

/// The bytes that a header value stands for. Percent signs that encode nothing stand for themselves.
pub fn decode_value(value: &[u8]) -> Bytes {
    if value.contains(&b'%') {
        Bytes::from(percent_decode(value).collect::<Vec<u8>>())
    } else {
        Bytes::copy_from_slice(value)
    }
}

/// The HTTP name of a record header that is no event attribute.
pub fn encode_name(name: &str) -> Option<HeaderName> {
    let encoded = format!("{}{}", super::HEADER_PREFIX, percent_encode(name.as_bytes(), &NAME));
    HeaderName::try_from(encoded).ok()
}

/// The record header that the HTTP name `encoded` (without its prefix) stands for.
pub fn decode_name(encoded: &str) -> Option<String> {
    let name = percent_decode(encoded.as_bytes()).decode_utf8().ok()?.into_owned();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_value_survives_and_splits_nothing() {
        let values: [&[u8]; 6] =
            [b"plain", b"a b", b"a\r\nX-Evil: 1", b"100%", "ä\"ö".as_bytes(), &[0, 255, 127, 9]];
        for value in values {
            let header = encode_value(&Bytes::copy_from_slice(value));
            assert!(header.as_bytes().iter().all(u8::is_ascii_graphic), "{header:?}");
            assert_eq!(decode_value(header.as_bytes()), value);
        }
    }

    #[test]
    fn any_name_survives_and_shadows_nothing() {
        for name in ["Host", "content-length", "x\r\ny", "Ünï", "a:b", "seawall-fence", "A_b.c-d"] {
            let header = encode_name(name).expect("encodable");
            let rest = header.as_str().strip_prefix("seawall-header-").expect("prefixed");
            assert_eq!(decode_name(rest).as_deref(), Some(name));
        }
    }
}
