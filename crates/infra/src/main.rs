//! A developer's servers: `cargo xtask infra kafka` starts this, and Ctrl-C takes them down.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool speaks on its streams")]

use seawall_infra::{KafkaCluster, KafkaError, KafkaOptions};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::process::ExitCode;

const USAGE: &str =
    "usage: cargo xtask infra kafka [--brokers 1|3] [--tls] [--sasl] [--acls] [--set NAME=VALUE]…";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let options = match parse(&args) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match serve(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("infra kafka: {error}");
            ExitCode::from(if matches!(error, KafkaError::Options { .. }) { 2 } else { 4 })
        }
    }
}

fn parse(args: &[String]) -> Result<KafkaOptions, String> {
    let mut options = KafkaOptions::default();
    let mut rest = args.iter();
    match rest.next().map(String::as_str) {
        Some("kafka") => {}
        other => return Err(format!("no server `{}`: there is kafka", other.unwrap_or_default())),
    }
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--brokers" => {
                let value = rest.next().ok_or("--brokers needs a number: 1 or 3")?;
                options.brokers =
                    value.parse().map_err(|_| format!("--brokers {value}: it must be 1 or 3"))?;
            }
            "--set" => {
                let value = rest.next().ok_or("--set needs NAME=VALUE")?;
                let (name, value) =
                    value.split_once('=').ok_or_else(|| format!("--set {value}: it must be NAME=VALUE"))?;
                options.settings.push((name.to_owned(), value.to_owned()));
            }
            "--tls" => options.tls = true,
            "--sasl" => options.sasl = true,
            "--acls" => options.acls = true,
            other => return Err(format!("no option `{other}`")),
        }
    }
    Ok(options)
}

fn serve(options: KafkaOptions) -> Result<(), KafkaError> {
    // Before the brokers start, so that a Ctrl-C meanwhile is not lost. It ends the wait below.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|source| KafkaError::Io { what: "signals".to_owned(), source })?;
    eprintln!("starting Kafka (the first time it is fetched with Maven)");
    let cluster = KafkaCluster::start(options)?;
    println!("bootstrap.servers={}", cluster.bootstrap());
    for (how, address) in [
        ("tls", cluster.bootstrap_tls()),
        ("sasl", cluster.bootstrap_sasl()),
        ("sasl over tls", cluster.bootstrap_sasl_tls()),
    ] {
        if !address.is_empty() {
            println!("{how}: bootstrap.servers={address}");
        }
    }
    if !cluster.bootstrap_tls().is_empty() {
        println!("tls: ssl.ca.location={}", cluster.ca_path().display());
    }
    if !cluster.bootstrap_sasl().is_empty() {
        println!(
            "sasl: sasl.mechanism=PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, or OAUTHBEARER (unsigned tokens)"
        );
        for user in cluster.users() {
            println!("sasl: sasl.username={} sasl.password={}", user.name, user.password);
        }
    }
    eprintln!("logs and data: {} (gone afterwards). Ctrl-C takes it down.", cluster.folder().display());
    signals.forever().next();
    eprintln!("taking Kafka down");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &str) -> Result<KafkaOptions, String> {
        parse(&args.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read() {
        let options = parsed("kafka --brokers 3 --tls --sasl --set a.b=c=d").unwrap();
        assert_eq!((options.brokers, options.tls, options.sasl, options.acls), (3, true, true, false));
        assert_eq!(options.settings, [("a.b".to_owned(), "c=d".to_owned())]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(parsed("").unwrap_err().contains("there is kafka"));
        assert!(parsed("kafka --brokers many").unwrap_err().contains("--brokers many"));
        assert!(parsed("kafka --loud").unwrap_err().contains("`--loud`"));
        assert!(parsed("kafka --set a").unwrap_err().contains("NAME=VALUE"));
    }
}
