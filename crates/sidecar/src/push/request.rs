//! The request that carries one delivery: a CloudEvent in binary mode, and what protects its effect.

use crate::cloudevents::codec::{encode_name, encode_value};
use crate::cloudevents::{
    ATTRIBUTE_PREFIX, CONTENT_TYPE, PARTITION_KEY, SPEC_VERSION, TIME, TRACE_HEADERS, time_of,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use seawall_core::Delivery;
use std::time::Duration;

const CE_ID: HeaderName = HeaderName::from_static("ce-id");
const CE_SOURCE: HeaderName = HeaderName::from_static("ce-source");
const CE_TYPE: HeaderName = HeaderName::from_static("ce-type");
const CE_SPECVERSION: HeaderName = HeaderName::from_static("ce-specversion");
const CE_TIME: HeaderName = HeaderName::from_static(TIME);
const CE_PARTITIONKEY: HeaderName = HeaderName::from_static(PARTITION_KEY);
const TOKEN: HeaderName = HeaderName::from_static("x-idempotent-token");
const TOPIC: HeaderName = HeaderName::from_static("seawall-topic");
const PARTITION: HeaderName = HeaderName::from_static("seawall-partition");
const OFFSET: HeaderName = HeaderName::from_static("seawall-offset");
const ATTEMPT: HeaderName = HeaderName::from_static("seawall-attempt");
const FENCE: HeaderName = HeaderName::from_static("seawall-fence");
const GENERATION: HeaderName = HeaderName::from_static("seawall-generation");
const DEADLINE: HeaderName = HeaderName::from_static("seawall-deadline-ms");

/// Headers that every request has, so that the map grows once.
const HEADERS_USUAL: usize = 24;
/// The type of an event whose producer named none.
const TYPE_DEFAULT: &str = "seawall.record";

/// Builds the request for `delivery`, which has `remaining` time left.
///
/// # Errors
/// Never in practice: every part is encoded. Kept as an error so that a defect here cannot panic.
pub(super) fn build(
    uri: &Uri,
    delivery: &Delivery,
    remaining: Duration,
    authorization: Option<&HeaderValue>,
) -> Result<Request<Full<Bytes>>, http::Error> {
    let mut request = Request::new(Full::new(delivery.record.value.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.clone();
    let headers = request.headers_mut();
    headers.try_reserve(HEADERS_USUAL)?;
    record_headers(headers, delivery)?;
    event_attributes(headers, delivery)?;
    let origin = &delivery.origin;
    let token = delivery.token();
    headers.try_insert(CE_ID, encode_value(token.as_bytes()))?;
    headers.try_insert(TOKEN, HeaderValue::from_maybe_shared(token.as_bytes().clone())?)?;
    headers.try_insert(TOPIC, encode_value(&Bytes::copy_from_slice(origin.topic.as_bytes())))?;
    headers.try_insert(PARTITION, origin.partition.into())?;
    headers.try_insert(OFFSET, delivery.offset.into())?;
    headers.try_insert(ATTEMPT, delivery.attempt.into())?;
    headers.try_insert(FENCE, delivery.fence.0.into())?;
    headers.try_insert(GENERATION, delivery.generation.0.into())?;
    let remaining = u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX);
    headers.try_insert(DEADLINE, remaining.into())?;
    if let Some(authorization) = authorization {
        headers.try_insert(http::header::AUTHORIZATION, authorization.clone())?;
    }
    Ok(request)
}

/// The record's own headers: event attributes, content type and trace context under their own name, all
/// others behind a prefix.
fn record_headers(headers: &mut HeaderMap, delivery: &Delivery) -> Result<(), http::Error> {
    for header in &delivery.record.headers {
        let own = keeps_its_name(header.name()).then(|| HeaderName::try_from(header.name()).ok()).flatten();
        match own {
            Some(name) => {
                headers.try_insert(name, own_value(header.name(), &header.value))?;
            }
            None => {
                if let Some(name) = encode_name(header.name()) {
                    headers.try_append(name, encode_value(&header.value))?;
                }
            }
        }
    }
    Ok(())
}

fn keeps_its_name(name: &str) -> bool {
    // An attribute name with upper case would come back folded, so that it is no attribute.
    let attribute = name.strip_prefix(ATTRIBUTE_PREFIX).is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    });
    attribute || name == CONTENT_TYPE || TRACE_HEADERS.contains(&name)
}

/// Attributes are percent-encoded by their binding; content type and trace context have a syntax of their own
/// and stay as they are where they can.
fn own_value(name: &str, value: &Bytes) -> HeaderValue {
    if name.starts_with(ATTRIBUTE_PREFIX) {
        return encode_value(value);
    }
    HeaderValue::from_maybe_shared(value.clone()).unwrap_or_else(|_| encode_value(value))
}

/// The attributes that an event must have, where the record does not bring them.
fn event_attributes(headers: &mut HeaderMap, delivery: &Delivery) -> Result<(), http::Error> {
    let record = &delivery.record;
    headers.try_insert(CE_SPECVERSION, HeaderValue::from_static(SPEC_VERSION))?;
    if !headers.contains_key(&CE_SOURCE) {
        let source = format!("/topics/{}", delivery.origin.topic);
        headers.try_insert(CE_SOURCE, encode_value(&Bytes::from(source)))?;
    }
    if !headers.contains_key(&CE_TYPE) {
        headers.try_insert(CE_TYPE, HeaderValue::from_static(TYPE_DEFAULT))?;
    }
    if !headers.contains_key(&CE_TIME)
        && let Some(time) = time_of(record)
    {
        headers.try_insert(CE_TIME, encode_value(&Bytes::from(time)))?;
    }
    if let Some(key) = &record.key {
        headers.try_insert(CE_PARTITIONKEY, encode_value(key))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_core::{Context, Fence, Generation, Header, Record, TopicPartition, WallMs};

    fn delivery(record: Record) -> Delivery {
        Delivery {
            origin: TopicPartition::new("orders", 3),
            offset: 17,
            generation: Generation(2),
            attempt: 4,
            fence: Fence(9),
            context: Context::default(),
            record,
        }
    }

    fn headers(record: Record) -> HeaderMap {
        let uri = Uri::from_static("http://127.0.0.1:3000/orders");
        let request = build(&uri, &delivery(record), Duration::from_millis(1500), None).expect("built");
        request.headers().clone()
    }

    #[test]
    fn says_what_protects_the_effect() {
        let mut record = Record::new(Bytes::from("customer 7"), "{}");
        record.timestamp = WallMs(1_700_000_000_000);
        let headers = headers(record);
        let expected = [
            ("ce-id", "orders/3/17/1700000000000"),
            ("x-idempotent-token", "orders/3/17/1700000000000"),
            ("ce-specversion", "1.0"),
            ("ce-source", "/topics/orders"),
            ("ce-type", "seawall.record"),
            ("ce-time", "2023-11-14T22:13:20Z"),
            ("ce-partitionkey", "customer%207"),
            ("seawall-topic", "orders"),
            ("seawall-partition", "3"),
            ("seawall-offset", "17"),
            ("seawall-attempt", "4"),
            ("seawall-fence", "9"),
            ("seawall-generation", "2"),
            ("seawall-deadline-ms", "1500"),
        ];
        for (name, value) in expected {
            assert_eq!(headers.get(name).and_then(|v| v.to_str().ok()), Some(value), "{name}");
        }
        assert_eq!(headers.len(), expected.len());
    }

    #[test]
    fn no_record_can_inject_or_shadow_a_header() {
        let mut record = Record::new(Bytes::from("k\r\nX-Evil: key"), "v");
        for (name, value) in [
            ("ce-id", "order-17"),
            ("ce-type", "a\r\nX-Evil: type"),
            ("content-type", "text/plain\r\nX-Evil: content"),
            ("host", "evil.example"),
            ("content-length", "0"),
            ("Seawall-Fence", "999"),
            ("x-idempotent-token", "stolen"),
            ("transfer-encoding", "chunked"),
            ("authorization", "Bearer stolen"),
            ("ce-Evil: x", "1"),
        ] {
            record.headers.push(Header::new(name, value));
        }
        let headers = headers(record);
        for name in ["x-evil", "host", "content-length", "transfer-encoding", "authorization"] {
            assert!(!headers.contains_key(name), "{name}");
        }
        assert_eq!(headers["seawall-fence"], "9");
        assert_eq!(headers["x-idempotent-token"], "order-17");
        assert_eq!(headers["ce-id"], "order-17");
        assert_eq!(headers["seawall-header-host"], "evil.example");
        assert_eq!(headers["ce-type"], "a%0D%0AX-Evil:%20type");
        assert!(headers.values().all(|v| !v.as_bytes().contains(&b'\n')));
    }
}
