//! PromQL, parsed; and what a query looks at.

use promql_parser::label::MatchOp;
use promql_parser::parser::{self, Expr, LabelModifier, VectorMatchCardinality, VectorSelector};
use std::collections::BTreeSet;

/// What stands for Grafana's variables where PromQL wants a duration or a number; those that begin others last.
const VARIABLES: &[(&str, &str)] = &[
    ("$__rate_interval_ms", "300000"),
    ("${__rate_interval_ms}", "300000"),
    ("$__interval_ms", "300000"),
    ("${__interval_ms}", "300000"),
    ("$__range_ms", "3600000"),
    ("${__range_ms}", "3600000"),
    ("$__range_s", "3600"),
    ("${__range_s}", "3600"),
    ("$__rate_interval", "5m"),
    ("${__rate_interval}", "5m"),
    ("$__interval", "5m"),
    ("${__interval}", "5m"),
    ("$__range", "1h"),
    ("${__range}", "1h"),
];

/// Parses a query, Grafana's variables filled in.
///
/// # Errors
/// What the parser says.
pub fn parse(query: &str) -> Result<Expr, String> {
    parser::parse(&filled(query))
}

/// Whether some variable outside of quotes is one that only the board can fill in.
pub(crate) fn has_variables(query: &str) -> bool {
    let (mut quote, mut escaped) = (None, false);
    for c in filled(query).chars() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(end) if c == end => quote = None,
            Some(end) => escaped = c == '\\' && end != '`',
            None if c == '$' => return true,
            None => quote = Some(c).filter(|c| matches!(c, '"' | '\'' | '`')),
        }
    }
    false
}

fn filled(query: &str) -> String {
    let mut text = query.to_owned();
    for (variable, value) in VARIABLES {
        text = text.replace(variable, value);
    }
    bare(&text)
}

/// Variables inside square brackets (`[$window]`) become a duration; inside quotes they may stay.
fn bare(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("[$") {
        let end = rest[at..].find([']', ':']).map_or(rest.len(), |end| at + end);
        out.push_str(&rest[..=at]);
        out.push_str("5m");
        rest = &rest[end..];
    }
    out + rest
}

/// A metric and the labels that a query expects of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Metrics by name, each with the labels its selector matches on.
    pub metrics: Vec<(String, BTreeSet<String>)>,
    /// Labels that aggregations and joins name, which some metric of the query must have.
    pub labels: BTreeSet<String>,
}

/// What `expr` looks at.
pub fn uses(expr: &Expr) -> Use {
    let mut found = Use::default();
    collect(expr, &mut found);
    found
}

fn collect(expr: &Expr, found: &mut Use) {
    if let Some(selector) = selector(expr) {
        let labels = selector.matchers.matchers.iter().filter(|matcher| matcher.name != "__name__");
        let labels = labels.map(|matcher| matcher.name.clone()).collect();
        found.metrics.push((metric(selector).unwrap_or_default(), labels));
    }
    let mut named = |modifier: &Option<LabelModifier>| {
        if let Some(LabelModifier::Include(labels) | LabelModifier::Exclude(labels)) = modifier {
            found.labels.extend(labels.labels.iter().cloned());
        }
    };
    match expr {
        Expr::Aggregate(aggregate) => named(&aggregate.modifier),
        Expr::Binary(binary) => {
            if let Some(modifier) = &binary.modifier {
                named(&modifier.matching);
            }
        }
        _ => {}
    }
    for child in children(expr) {
        collect(child, found);
    }
}

/// The selector that `expr` is, if it is one.
pub(crate) fn selector(expr: &Expr) -> Option<&VectorSelector> {
    match expr {
        Expr::VectorSelector(selector) => Some(selector),
        Expr::MatrixSelector(matrix) => Some(&matrix.vs),
        _ => None,
    }
}

/// The metric of a selector, by its name or by `__name__`.
pub(crate) fn metric(selector: &VectorSelector) -> Option<String> {
    let named = || {
        let mut all = selector.matchers.matchers.iter();
        all.find(|matcher| matcher.name == "__name__" && matcher.op == MatchOp::Equal)
            .map(|matcher| matcher.value.clone())
    };
    selector.name.clone().or_else(named)
}

/// What `expr` is made of.
pub(crate) fn children(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::Aggregate(aggregate) => {
            std::iter::once(&*aggregate.expr).chain(aggregate.param.as_deref()).collect()
        }
        Expr::Unary(unary) => vec![&unary.expr],
        Expr::Binary(binary) => vec![&binary.lhs, &binary.rhs],
        Expr::Paren(paren) => vec![&paren.expr],
        Expr::Subquery(subquery) => vec![&subquery.expr],
        Expr::Call(call) => call.args.args.iter().map(|arg| &**arg).collect(),
        _ => Vec::new(),
    }
}

/// Whether a join of two vectors keeps `label` of the side that is `left`.
pub(crate) fn join_keeps(binary: &parser::BinaryExpr, left: bool, label: &str) -> bool {
    let Some(modifier) = &binary.modifier else { return true };
    let one_to_one = match modifier.card {
        VectorMatchCardinality::OneToOne => true,
        // The many side keeps its labels; of the one side only those it is asked for.
        VectorMatchCardinality::ManyToOne(_) => return left || asked(&modifier.card, label),
        VectorMatchCardinality::OneToMany(_) => return !left || asked(&modifier.card, label),
        VectorMatchCardinality::ManyToMany => false,
    };
    match &modifier.matching {
        Some(LabelModifier::Include(labels)) if one_to_one => labels.labels.iter().any(|each| each == label),
        Some(LabelModifier::Exclude(labels)) if one_to_one => !labels.labels.iter().any(|each| each == label),
        _ => true,
    }
}

fn asked(card: &VectorMatchCardinality, label: &str) -> bool {
    card.labels().is_some_and(|labels| labels.labels.iter().any(|each| each == label))
}
