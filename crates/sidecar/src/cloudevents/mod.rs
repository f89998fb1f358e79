//! CloudEvents on the wire, both ways.
//!
//! A record keeps an event's attributes as headers named `ce-…` with plain values, so that the token of the
//! core (`ce-id`) is the event's id. On HTTP the values are percent-encoded as the CloudEvents HTTP binding
//! asks (space, `"`, `%` and all that is not visible ASCII), which also makes it impossible to smuggle a header
//! through a key or a value. Record headers that are no event attributes travel as `Seawall-Header-NAME`, with
//! the name encoded too: no name of a record can shadow a header that means something.

pub mod attributes;
pub mod codec;
pub mod structured;

/// The prefix of event attributes, on records and on HTTP alike.
pub const ATTRIBUTE_PREFIX: &str = "ce-";
/// The prefix under which other record headers travel on HTTP.
pub const HEADER_PREFIX: &str = "seawall-header-";
/// The content type of the payload, on records and on HTTP alike.
pub const CONTENT_TYPE: &str = "content-type";
/// Headers of trace context, which travel under their own name.
pub const TRACE_HEADERS: [&str; 3] = ["traceparent", "tracestate", "baggage"];
/// The version of CloudEvents spoken.
pub const SPEC_VERSION: &str = "1.0";
/// The attribute that carries a record's key.
pub const PARTITION_KEY: &str = "ce-partitionkey";
/// The attribute that says when it happened.
pub const TIME: &str = "ce-time";

/// The time attribute of a record without one: when it was written, if that is known.
pub fn time_of(record: &seawall_core::Record) -> Option<String> {
    let millis = Some(record.timestamp.0).filter(|millis| *millis > 0)?;
    jiff::Timestamp::from_millisecond(millis).ok().map(|time| time.to_string())
}
