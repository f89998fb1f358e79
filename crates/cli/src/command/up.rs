//! `seawall up`: the quickstart.

use crate::exit::{Failure, Kind, Outcome};
use crate::output;
use crate::sample::{Misbehaviour, load, service};
use crate::serve::{self, Listeners};
use seawall_core::Fault;
use seawall_sidecar::config::{self, Config};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The topic and the pipeline of the quickstart.
const ORDERS: &str = "orders";

/// Start everything on this machine: an embedded log, a pipeline `orders`, a sample service that misbehaves, a
/// small load, and the dashboard.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    listeners: Listeners,
    /// Where the log is kept.
    #[arg(long, value_name = "DIR", default_value = "seawall-data")]
    data: PathBuf,
    /// Post nothing: wait for `curl`.
    #[arg(long)]
    no_load: bool,
    /// Orders that the load posts a second.
    #[arg(long, value_name = "N", default_value_t = 150, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Share of requests that the sample service answers 200 to 400 ms late.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = share)]
    slow: f64,
    /// Share that it answers with 500.
    #[arg(long, value_name = "SHARE", default_value_t = 0.03, value_parser = share)]
    fail: f64,
    /// Share on which its worker dies: the connection closes without an answer.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, value_parser = share)]
    panic: f64,
    /// Share that it answers with 503 and `Retry-After`.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, value_parser = share)]
    overload: f64,
    /// Share that it rejects with 422: these become dead letters.
    #[arg(long, value_name = "SHARE", default_value_t = 0.002, value_parser = share)]
    reject: f64,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("{text:?}: expected a share from 0 to 1, as in 0.05")),
    }
}

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Outcome {
    serve::to_the_end(up(arguments))
}

async fn up(arguments: Arguments) -> Outcome {
    let misbehaviour = Misbehaviour {
        slow: arguments.slow,
        fail: arguments.fail,
        panic: arguments.panic,
        overload: arguments.overload,
        reject: arguments.reject,
    };
    let service = service::start(misbehaviour)
        .await
        .map_err(|e| Failure::environment(format_args!("no port for the sample service: {e}")))?;
    let config = configuration(&arguments, service)?;
    let (sidecar, signals) = serve::start(config, arguments.listeners, None).await?;
    output::note(format_args!("dashboard: http://{}/", sidecar.admin_addr()));
    output::note(format_args!(
        "try: curl -i http://{}/v1/topics/{ORDERS}/records -H 'seawall-key: customer-7' -d '{{\"order\": 17}}'",
        sidecar.ingest_addr()
    ));
    if !arguments.no_load {
        tokio::spawn(load::run(sidecar.ingest_addr(), ORDERS.to_owned(), arguments.rate));
    }
    serve::until_stopped(sidecar, signals).await
}

fn configuration(arguments: &Arguments, service: SocketAddr) -> Result<Config, Failure> {
    let text = format!(
        r#"
[[topic]]
name = "{ORDERS}"
partitions = 8
retention_bytes = "256MiB"

[[pipeline]]
name = "{ORDERS}"
topics = ["{ORDERS}"]
ordering = "key"

[pipeline.push]
url = "http://{service}/orders"
timeout = "5s"

[pipeline.guard]
mode = "wait"
rate = 5000
concurrency = 64

[pipeline.guard.adaptive]
min = 16
max = 64

[pipeline.retry]
attempts = 8
"#
    );
    let mut config = config::parse(&text, "the quickstart's own configuration")
        .map_err(|e| Failure::new(Kind::Bug, Fault::from(e)))?;
    config.data.dir.clone_from(&arguments.data);
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn its_configuration_is_valid_and_keeps_the_data_where_it_is_told() {
        let arguments = Only::parse_from(["up", "--data", "elsewhere"]).arguments;
        let config = configuration(&arguments, ([127, 0, 0, 1], 1).into()).unwrap();
        assert_eq!(config.data.dir, PathBuf::from("elsewhere"));
        assert_eq!(config.pipeline[0].name, ORDERS);
    }

    #[test]
    fn a_share_is_between_nothing_and_all() {
        assert!(share("1.5").is_err() && share("x").is_err() && share("NaN").is_err());
        assert_eq!(share("0.25"), Ok(0.25));
    }
}
