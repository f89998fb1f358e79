//! Clusters, and everything that names one.

use super::super::cluster::{Cluster, LOG, Member};
use super::super::nearest;
use super::super::settings::Config;
use super::super::units::Period;
use super::Complaints;
use seawall_core::Fault;
use seawall_kafka::connection::{check_setting, is_secret, needs_token, owned};
use seawall_kafka::token::{TOKEN_URL, TOKEN_URL_WANT};
use std::collections::BTreeMap;
use std::time::Duration;

/// The most copies of a partition that are worth having, and more than any cluster has.
const REPLICATION_MAX: u16 = 32;
/// The longest time that a broker waits for a member with any settings, in librdkafka's own bound.
const SESSION_MAX: Period = Period(Duration::from_hours(1));
/// librdkafka's bound on `max.poll.interval.ms`.
const POLL_INTERVAL_MAX: Period = Period(Duration::from_hours(24));

pub(super) fn check(config: &Config, out: &mut Complaints) {
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, one) in config.cluster.iter().enumerate() {
        let path = format!("cluster[{at}]");
        cluster(&path, one, out);
        if let Some(first) = names.insert(&one.name, at) {
            let problem = format!("cluster[{first}] has that name already");
            out.add(&path, "name", problem, "give each cluster a name of its own");
        }
    }
    let known = |path: &str, field: &str, name: &str, out: &mut Complaints| {
        if name != LOG && !names.contains_key(name) {
            let there = names.keys().copied().chain([LOG]);
            let fix = match nearest(name, there.clone()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!(
                    "describe it in a [[cluster]]; there are: {}",
                    there.collect::<Vec<_>>().join(", ")
                ),
            };
            out.add(path, field, "no cluster has that name", fix);
        }
    };
    known("ingest", "sink", &config.ingest.sink, out);
    for (at, name) in config.producer.iter().flat_map(|producer| producer.fail_over.iter().enumerate()) {
        known("producer", &format!("fail_over[{at}]"), name, out);
    }
    for (at, topic) in config.topic.iter().enumerate() {
        let path = format!("topic[{at}]");
        match (&topic.cluster, topic.replication) {
            (Some(cluster), _) if cluster == LOG => {
                out.add(&path, "cluster", "the embedded log is no cluster", "leave it out");
            }
            (Some(cluster), _) => known(&path, "cluster", cluster, out),
            (None, Some(_)) => {
                let problem = "the embedded log keeps one copy, on this machine";
                out.add(&path, "replication", problem, "leave it out, or name the topic's cluster");
            }
            (None, None) => {}
        }
        if let Some(copies) = topic.replication {
            out.range(&path, "replication", copies, 1, REPLICATION_MAX);
        }
    }
    for (at, pipeline) in config.pipeline.iter().enumerate() {
        let path = format!("pipeline[{at}]");
        known(&path, "source", &pipeline.source, out);
        let Some(member) = &pipeline.member else { continue };
        if pipeline.source == LOG {
            let problem = "the embedded log's groups have no such settings";
            out.add(&path, "member", problem, "leave it out, or let source name a cluster");
        }
        self::member(&format!("{path}.member"), member, out);
    }
}

fn cluster(path: &str, cluster: &Cluster, out: &mut Complaints) {
    out.name(path, "name", &cluster.name);
    if cluster.name == LOG {
        let problem = "that name means the embedded log";
        out.add(path, "name", problem, "choose another, like \"kafka\"");
    }
    if cluster.bootstrap.is_empty() {
        out.add(
            path,
            "bootstrap",
            "no broker is named",
            "name some, like [\"kafka-1:9092\", \"kafka-2:9092\"]",
        );
    }
    for (at, address) in cluster.bootstrap.iter().enumerate() {
        if !is_address(address) {
            let fix = "a broker is named as \"host:port\", like \"kafka-1:9092\"";
            out.add(path, &format!("bootstrap[{at}]"), "this is no address of a broker", fix);
        }
    }
    for (name, value) in &cluster.properties {
        let field = format!("properties.{name}");
        if is_secret(name) {
            let fix = format!("write \"{name}\" = {{ file = \"…\" }} or {{ env = \"…\" }} under secrets");
            out.add(path, &field, "a secret does not stand in the config", fix);
        } else {
            setting(path, &field, name, &value.to_string(), out);
        }
    }
    let asks = cluster.properties.iter().find(|(name, value)| needs_token(name, &value.to_string()));
    if let Some((name, _)) = asks
        && !cluster.properties.contains_key(TOKEN_URL)
    {
        let fix = format!("add \"{TOKEN_URL}\": {TOKEN_URL_WANT}");
        out.add(path, &format!("properties.{name}"), "nothing says where its token is", fix);
    }
    for name in cluster.secrets.keys() {
        let field = format!("secrets.{name}");
        if cluster.properties.contains_key(name) {
            out.add(path, &field, "properties holds it as well", "keep one of the two");
        } else if owned(name).is_some() {
            setting(path, &field, name, "", out);
        }
    }
}

fn setting(path: &str, field: &str, name: &str, value: &str, out: &mut Complaints) {
    if let Some(instead) = owned(name) {
        out.add(path, field, "Seawall sets this itself", format!("leave it out: {instead}"));
    } else if name == TOKEN_URL && check_setting(name, value).is_err() {
        out.add(path, field, "this names no file", format!("it is {TOKEN_URL_WANT}"));
    } else if let Err(error) = check_setting(name, value) {
        let fix = "librdkafka's CONFIGURATION.md lists the settings and their values";
        out.add(path, field, Fault::from(error).to_string(), fix);
    }
}

/// `host:port`, without a scheme.
fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let plain = host.starts_with('[') && host.ends_with(']') || !host.contains([':', '/', '[', ']']);
    let visible = host.chars().all(|c| c.is_ascii_graphic() && c != ',');
    !host.is_empty() && plain && visible && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn member(path: &str, member: &Member, out: &mut Complaints) {
    if let Some(id) = &member.instance_id {
        out.name(path, "instance_id", id);
    }
    out.name(path, "client_id", &member.client_id);
    out.range(path, "session_timeout", member.session_timeout, Period::from_secs(1), SESSION_MAX);
    out.range(path, "poll_interval_max", member.poll_interval_max, Period::from_secs(1), POLL_INTERVAL_MAX);
    if member.poll_interval_max < member.session_timeout {
        let problem = format!("it is shorter than session_timeout = {}", member.session_timeout);
        out.add(path, "poll_interval_max", problem, "it is at least as long");
    }
}

#[cfg(test)]
mod tests {
    use super::is_address;

    #[test]
    fn a_broker_is_named_by_host_and_port() {
        for good in ["localhost:9092", "10.0.0.1:1", "[::1]:9092", "b-1.kafka.example:9094"] {
            assert!(is_address(good), "{good}");
        }
        for bad in ["", "localhost", ":9092", "a:0", "a:99999", "kafka://a:1", "a:1,b:1", "::1:9092", "a b:1"]
        {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
