use super::*;
use http::HeaderName;

const NOW: WallMs = WallMs(1_700_000_000_000);

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        (HeaderName::try_from(*name).expect("a name"), value.parse().expect("a value"))
    };
    pairs.iter().map(pair).collect()
}

fn one(pairs: &[(&str, &str)], body: &'static str) -> Result<(Record, Token), Problem> {
    let intake = read(&headers(pairs), None, Bytes::from_static(body.as_bytes()), NOW)?;
    assert!(!intake.batch);
    intake.records.into_iter().next().expect("one record")
}

fn get<'a>(record: &'a Record, name: &str) -> &'a str {
    record.headers.get_str(name).unwrap_or_default()
}

#[test]
fn binary_mode_keeps_the_attributes() {
    let (record, token) = one(
        &[
            ("ce-specversion", "1.0"),
            ("ce-id", "order-17"),
            ("ce-source", "/shop"),
            ("ce-type", "placed"),
            ("ce-time", "2026-01-31T12:00:00+01:00"),
            ("ce-partitionkey", "customer%207"),
            ("ce-region", "d%C3%BCsseldorf"),
            ("content-type", "application/json"),
            ("traceparent", "00-1"),
            ("seawall-header-my%2Dname", "a%0Ab"),
            ("user-agent", "curl"),
        ],
        "{}",
    )
    .expect("fine");
    assert_eq!(token.as_str(), "order-17");
    assert_eq!(record.key.as_deref(), Some(&b"customer 7"[..]));
    assert_eq!((&record.value[..], record.timestamp), (&b"{}"[..], NOW));
    for (name, value) in [
        ("ce-id", "order-17"),
        ("ce-source", "/shop"),
        ("ce-type", "placed"),
        ("ce-region", "düsseldorf"),
        ("content-type", "application/json"),
        ("traceparent", "00-1"),
        ("my-name", "a\nb"),
    ] {
        assert_eq!(get(&record, name), value, "{name}");
    }
    assert!(record.headers.get("user-agent").is_none() && record.headers.get("ce-partitionkey").is_none());
}

#[test]
fn structured_mode_keeps_the_payload_to_the_digit() {
    let event = r#"{"specversion":"1.0","id":"a","source":"/s","type":"t","partitionkey":"k","retries":3,"ok":true,
        "data":{"price": 18446744073709551616.10}}"#;
    let (record, token) =
        one(&[("content-type", "application/cloudevents+json; charset=utf-8")], event).expect("fine");
    assert_eq!(record.value, r#"{"price": 18446744073709551616.10}"#);
    assert_eq!((token.as_str(), get(&record, "ce-retries"), get(&record, "ce-ok")), ("a", "3", "true"));
    assert_eq!(record.key.as_deref(), Some(&b"k"[..]));
    let text = r#"{"specversion":"1.0","id":"a","source":"/s","type":"t","datacontenttype":"text/plain","data":"hi"}"#;
    let (record, _) = one(&[("content-type", "application/cloudevents+json")], text).expect("fine");
    assert_eq!((&record.value[..], get(&record, "content-type")), (&b"hi"[..], "text/plain"));
    let binary = r#"{"specversion":"1.0","id":"a","source":"/s","type":"t","data_base64":"/wA="}"#;
    let (record, _) = one(&[("content-type", "application/cloudevents+json")], binary).expect("fine");
    assert_eq!(record.value, &[0xff, 0][..]);
}

#[test]
fn a_batch_tells_each_event_its_own_mistake() {
    let events =
        r#"[{"specversion":"1.0","id":"a","source":"/s","type":"t"},{"specversion":"1.0","id":"b"},7]"#;
    let content = headers(&[("content-type", "application/cloudevents-batch+json")]);
    let intake = read(&content, Some("k"), Bytes::from_static(events.as_bytes()), NOW).expect("a batch");
    assert!(intake.batch);
    let statuses: Vec<u16> =
        intake.records.iter().map(|r| r.as_ref().map_or_else(|p| p.status().as_u16(), |_| 201)).collect();
    assert_eq!(statuses, [201, 400, 400]);
    for empty in ["[]", "{}", "nonsense"] {
        assert!(read(&content, None, Bytes::from_static(empty.as_bytes()), NOW).is_err(), "{empty}");
    }
}

#[test]
fn lines_are_payloads_or_whole_records() {
    let content = headers(&[("content-type", "application/x-ndjson")]);
    let intake =
        read(&content, Some("k"), Bytes::from_static(b"{\"a\":1}\r\n\n{\"b\":2}"), NOW).expect("lines");
    let values: Vec<Bytes> =
        intake.records.iter().map(|r| r.as_ref().expect("fine").0.value.clone()).collect();
    assert_eq!(values, ["{\"a\":1}", "{\"b\":2}"]);
    let content = headers(&[("content-type", line::CONTENT_TYPE)]);
    let intake = read(&content, None, Bytes::from_static(b"{\"key\":\"k\",\"value\":\"v\"}\n{}\n"), NOW)
        .expect("lines");
    assert!(intake.records[0].is_ok() && intake.records[1].is_err());
}

#[test]
fn a_plain_body_gets_a_token_and_maybe_a_key() {
    let (record, token) = one(&[("seawall-key", "c%207")], "hello").expect("fine");
    assert_eq!((record.key.as_deref(), &record.value[..]), (Some(&b"c 7"[..]), &b"hello"[..]));
    assert_eq!(get(&record, "ce-id"), token.as_str());
    assert_ne!(one(&[], "hello").expect("fine").1, token, "ids are generated, not derived");
    let (_, token) =
        one(&[("ce-id", "mine")], "hello").expect("an id alone makes no event, but is the token");
    assert_eq!(token.as_str(), "mine");
}

#[test]
fn mistakes_are_named() {
    let event = [("ce-specversion", "1.0"), ("ce-id", "a"), ("ce-source", "/s"), ("ce-type", "t")];
    let but = |name: &'static str, value: &'static str| {
        let mut pairs: Vec<(&str, &str)> = event.iter().copied().filter(|(n, _)| *n != name).collect();
        if !value.is_empty() {
            pairs.push((name, value));
        }
        one(&pairs, "x").expect_err(name)
    };
    let says = |problem: Problem, text: &str| {
        assert_eq!(problem.status(), 400);
        assert!(problem.detail().contains(text), "{} / {text}", problem.detail());
    };
    says(but("ce-id", ""), "id is missing");
    says(but("ce-source", ""), "source is missing");
    says(but("ce-type", ""), "type is missing");
    says(but("ce-specversion", "0.3"), "\"1.0\" is spoken here");
    says(but("ce-time", "yesterday"), "RFC 3339");
    says(but("ce-id", "a%0D%0Ab"), "control character");
    says(but("ce-id", "a%20b"), "idempotency token");
    says(but("ce-subject", "a%0D%0AX-Evil:%201"), "control character");
    says(but("ce-my_name", "x"), "no attribute name");
    says(but("seawall-key", "a%0D%0Ab"), "control character");
    says(but("seawall-header-seawall-dlq-error", "made up"), "Seawall's own");
    says(but("content-type", "application/cloudevents+avro"), "not spoken");
    says(read(&headers(&[]), Some("a\r\nb"), Bytes::new(), NOW).expect_err("CRLF"), "control character");
    says(read(&headers(&[]), Some(""), Bytes::new(), NOW).expect_err("empty"), "0 bytes");
    says(read(&headers(&[("seawall-key", "a")]), Some("b"), Bytes::new(), NOW).expect_err("two"), "keep one");
    says(but("ce-partitionkey", "a%00"), "control character");
    let long = "k".repeat(seawall_core::record::KEY_BYTES_MAX + 1);
    says(read(&headers(&[]), Some(&long), Bytes::new(), NOW).expect_err("long"), "16385 bytes");
    for event in [
        r#"{"specversion":"1.0","id":"a","source":"/s","type":"t","data":1,"data_base64":""}"#,
        r#"{"specversion":"1.0","id":"a","source":"/s","type":"t","x":{}}"#,
        r#"{"specversion":"1.0","id":"a","source":"/s","type":"t","x":1.5}"#,
        r#"{"specversion":"1.0","id":5.5,"source":"/s","type":"t"}"#,
        r#"{"specversion":"1.0","id":"","source":"/s","type":"t"}"#,
        r#"{"specversion":1,"id":"a","source":"/s","type":"t"}"#,
        r#"{"specversion":"1.0","id":"a","source":"","type":"t"}"#,
        r#"{"specversion":"1.0","id":"a","source":"/s","type":"t","data_base64":"%"}"#,
        "[]",
    ] {
        let content = headers(&[("content-type", "application/cloudevents+json")]);
        let problem =
            read(&content, None, Bytes::from_static(event.as_bytes()), NOW).map(|_| ()).expect_err(event);
        assert_eq!(problem.status(), 400, "{event}");
    }
}

#[test]
fn too_much_is_too_large() {
    let content = headers(&[("content-type", "application/x-ndjson")]);
    let lines = Bytes::from("1\n".repeat(BATCH_RECORDS_MAX + 1));
    assert_eq!(read(&content, None, lines, NOW).expect_err("too many").status(), 413);
    let value = Bytes::from(vec![0; seawall_core::record::VALUE_BYTES_MAX + 1]);
    let intake = read(&headers(&[]), None, value, NOW);
    assert_eq!(intake.map(|_| ()).expect_err("too large").status(), 413);
}
