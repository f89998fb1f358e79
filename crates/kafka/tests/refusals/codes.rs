//! Every code of the protocol, by the table that Kafka itself prints.

use super::stage::kafka;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::types::RDKafkaRespErr;
use seawall_core::Class;
use seawall_kafka::error::meaning;

/// Not retriable to Kafka's clients, and still worth another attempt here, each for its reason.
const AGAIN: &[(&str, &str)] = &[
    ("UNKNOWN_SERVER_ERROR", "the broker does not know either"),
    ("OFFSET_OUT_OF_RANGE", "the source goes on as `start_at` says"),
    ("INVALID_FETCH_SIZE", "it is fetched again"),
    ("BROKER_NOT_AVAILABLE", "brokers come back"),
    ("STALE_CONTROLLER_EPOCH", "the controller moves"),
    ("REBALANCE_IN_PROGRESS", "rebalances end"),
    ("MEMBER_ID_REQUIRED", "it is a step of joining"),
    ("REBOOTSTRAP_REQUIRED", "the client begins anew by itself"),
    ("OUT_OF_ORDER_SEQUENCE_NUMBER", "what needs a new producer is told as fatal by the client"),
    ("DUPLICATE_SEQUENCE_NUMBER", "it is written already"),
    ("UNKNOWN_PRODUCER_ID", "the client gets itself a new one"),
    ("OPERATION_NOT_ATTEMPTED", "another part of the request failed"),
    ("REASSIGNMENT_IN_PROGRESS", "it ends"),
    ("NO_REASSIGNMENT_IN_PROGRESS", "nobody asks for one"),
    ("STALE_BROKER_EPOCH", "between brokers"),
    ("UNKNOWN_SUBSCRIPTION_ID", "telemetry, which stops nothing"),
    ("TELEMETRY_TOO_LARGE", "telemetry, which stops nothing"),
];

/// Name, number and whether it is retriable, as `Errors` prints its table of the protocol's guide.
fn told(html: &str) -> Vec<(String, i32, bool)> {
    let rows = html.split("<tr>").skip(1);
    let cells = rows.map(|row| {
        row.split("<td>").skip(1).map(|cell| cell.split("</td>").next().unwrap().trim()).collect::<Vec<_>>()
    });
    let row = |cells: Vec<&str>| {
        Some(((*cells.first()?).to_owned(), cells.get(1)?.parse().ok()?, *cells.get(2)? == "True"))
    };
    cells.filter_map(row).collect()
}

#[test]
fn what_kafka_calls_retriable_is_tried_again_and_what_it_does_not_has_its_reason() {
    let name = "what_kafka_calls_retriable_is_tried_again_and_what_it_does_not_has_its_reason";
    let Some(kafka) = kafka(name) else { return };
    let said = kafka.tool("org.apache.kafka.common.protocol.Errors", &[]).unwrap();
    let table = told(&said.stdout);
    assert!(table.len() > 120, "{}", said.story());
    let mut wrong = Vec::new();
    for (name, number, retriable) in table.iter().filter(|(_, number, _)| *number != 0) {
        let code = RDKafkaRespErr::try_from(*number).map_or(Code::Unknown, Code::from);
        let found = meaning(code);
        // What the client has no name for is tried again: an unknown trouble must not stop a pipeline.
        let nameless = matches!(code, Code::Unknown | Code::EndAll);
        let excused = nameless || AGAIN.iter().any(|(excused, _)| excused == name);
        let wanted = if *retriable || excused { Class::Transient } else { Class::Permanent };
        if found.class != wanted {
            wrong.push(format!("{name} ({number}, {code:?}) is {:?}: {}", found.class, found.advice));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
