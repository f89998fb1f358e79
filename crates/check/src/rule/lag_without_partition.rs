use crate::finding::Finding;
use crate::promql::{children, join_keeps, metric, selector};
use crate::query::Query;
use promql_parser::parser::{Expr, LabelModifier};

const RULE: &str = "prometheus/lag-without-partition";
const LABEL: &str = "partition";

/// Lag whose partition is lost: by an aggregation, a join, or a metric that is a sum already.
pub(super) fn check(query: &Query, expr: &Expr) -> Vec<Finding> {
    let mut found = Vec::new();
    follow(expr, query.line, &mut found);
    found
}

/// The lag metric that `expr` still shows by partition.
fn follow(expr: &Expr, line: usize, found: &mut Vec<Finding>) -> Option<String> {
    if let Some(name) = selector(expr).and_then(metric) {
        return lag(&name, line, found);
    }
    let (lost, name) = match expr {
        Expr::Binary(binary) => {
            let left = follow(&binary.lhs, line, found);
            let right = follow(&binary.rhs, line, found);
            // `and` and `unless` only filter by their right side; `or` adds it.
            let adds = !binary.op.is_set_operator() || binary.op.to_string() == "or";
            let (name, kept) = match (left, right.filter(|_| adds)) {
                (Some(name), _) => (name, join_keeps(binary, true, LABEL)),
                (None, Some(name)) => (name, join_keeps(binary, false, LABEL)),
                (None, None) => return None,
            };
            ((!kept).then(|| "a join".to_owned()), Some(name))
        }
        Expr::Aggregate(aggregate) => {
            let name = follow(&aggregate.expr, line, found);
            (name.is_some().then(|| dropped(aggregate)).flatten(), name)
        }
        Expr::Call(call) => {
            let below: Vec<_> = children(expr).into_iter().map(|each| follow(each, line, found)).collect();
            let name = below.into_iter().flatten().next();
            // The second argument of label_replace and label_join is what they write.
            let written = match call.args.args.get(1).map(|arg| &**arg) {
                Some(Expr::StringLiteral(text)) => text.val == LABEL,
                _ => false,
            };
            let by = match call.func.name {
                "label_replace" | "label_join" if written => Some(format!("`{}`", call.func.name)),
                "scalar" => Some("`scalar`".to_owned()),
                _ => None,
            };
            // Whether there is any lag at all is no lag.
            let name = name.filter(|_| !call.func.name.starts_with("absent"));
            (by, name)
        }
        _ => (None, children(expr).into_iter().find_map(|each| follow(each, line, found))),
    };
    let name = name?;
    let Some(by) = lost else { return Some(name) };
    found.push(finding(line, format!("{by} drops the partition of `{name}`")));
    None
}

/// A metric of lag by its name; one that is summed by its exporter is a finding itself.
fn lag(name: &str, line: usize, found: &mut Vec<Finding>) -> Option<String> {
    let words: Vec<&str> = name.split([':', '_']).collect();
    let is = words.contains(&"lag") && (words.contains(&"kafka") || words.contains(&"burrow"));
    if !is || name.starts_with("kafka_consumer_lag_sample") {
        return None;
    }
    if words.last().is_some_and(|last| matches!(*last, "sum" | "avg" | "total")) {
        found.push(finding(line, format!("`{name}` is summed over partitions by its exporter")));
        return None;
    }
    Some(name.to_owned())
}

/// How an aggregation loses the partition; `None` where it keeps it, or where it only counts partitions.
fn dropped(aggregate: &promql_parser::parser::AggregateExpr) -> Option<String> {
    let op = aggregate.op.to_string();
    if matches!(op.as_str(), "count" | "group" | "topk" | "bottomk" | "limitk" | "limit_ratio") {
        return None;
    }
    let has = |labels: &promql_parser::label::Labels| labels.labels.iter().any(|each| each == LABEL);
    let kept = match &aggregate.modifier {
        None => false,
        Some(LabelModifier::Include(labels)) => has(labels),
        Some(LabelModifier::Exclude(labels)) => !has(labels),
    };
    (!kept).then(|| format!("`{op}`"))
}

fn finding(line: usize, what: String) -> Finding {
    Finding::new(
        RULE,
        line,
        what,
        "one partition that is stuck vanishes among those that flow: the sum or mean of a hundred partitions \
         hardly moves while one customer's records wait for ever",
        "keep the label: `max by (group, topic, partition) (…)`, and let the alert name the partition",
    )
}
