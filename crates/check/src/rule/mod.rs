//! One file per rule.

mod acks;
mod auto_commit;
mod buffer_memory;
mod delivery_callback;
mod group_protocol;
mod heartbeat_interval;
mod in_flight_order;
mod lag_without_partition;
mod poll_interval;
mod session_timeout;

use crate::client::Client;
use crate::error::CheckError;
use crate::finding::Finding;
use crate::promql;
use crate::query::Query;

/// Findings in the settings of a client.
pub(crate) fn of_client(client: &Client) -> Vec<Finding> {
    let rules = [
        acks::check,
        auto_commit::check,
        buffer_memory::check,
        delivery_callback::check,
        group_protocol::check,
        heartbeat_interval::check,
        in_flight_order::check,
        poll_interval::check,
        session_timeout::check,
    ];
    let found = rules.iter().filter_map(|rule| rule(client));
    found.filter(|finding| client.judges(finding.line)).collect()
}

/// Findings in a query of `file`; none where it is no PromQL before its board has filled it in.
pub(crate) fn of_query(file: &str, query: &Query) -> Result<Vec<Finding>, CheckError> {
    match promql::parse(&query.text) {
        Ok(expr) => Ok(lag_without_partition::check(query, &expr)),
        Err(_) if promql::has_variables(&query.text) => Ok(Vec::new()),
        Err(said) => Err(CheckError::Malformed {
            file: file.to_owned(),
            line: query.line,
            problem: format!("not PromQL: {said}"),
        }),
    }
}
