//! A member of a group in a process of its own, so that it can be killed.

use super::ground::{Membership, start};
use crate::compare::BenchError;
use seawall_consumer::Ordering;
use seawall_core::{Delivery, Handler, Outcome};
use seawall_kafka::Connection;
use std::io::Write;
use std::time::Duration;

/// The command by which this program becomes one: `kafka-member BOOTSTRAP GROUP TOPIC`.
pub(super) const COMMAND: &str = "kafka-member";
const DRAIN: Duration = Duration::from_secs(10);

/// Runs what `args` name, until a line or the end of the standard input; `None` where it is no member.
pub(crate) fn command(args: &[String]) -> Option<Result<(), BenchError>> {
    match args {
        [command, bootstrap, group, topic] if command == COMMAND => Some(run(bootstrap, group, topic)),
        _ => None,
    }
}

fn run(bootstrap: &str, group: &str, topic: &str) -> Result<(), BenchError> {
    let runtime = tokio::runtime::Runtime::new().map_err(BenchError::io("a tokio runtime"))?;
    let done = runtime.block_on(async {
        let membership = Membership { group, topic, session: Some(super::failover::SESSION) };
        let running = start(&Connection::new([bootstrap]), membership, Ordering::default(), 100, Tells)?;
        let asked = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
        tokio::select! {
            _ = asked => {}
            // The parent waits in vain then; the drain below answers with the reason.
            _ = running.wait() => {}
        }
        let report = running.drain(DRAIN).await;
        report.commit_failed.map_or(Ok(()), |fault| Err(BenchError::of("member")(fault.to_string())))
    });
    // Not for the thread that may still wait for the standard input.
    runtime.shutdown_background();
    done
}

/// Says of which partition each record is.
struct Tells;

impl Handler for Tells {
    async fn handle(&self, delivery: &Delivery) -> Outcome {
        let mut out = std::io::stdout().lock();
        // Where nobody reads, the end of the standard input is near.
        let _ = writeln!(out, "{}", delivery.origin.partition).and_then(|()| out.flush());
        Outcome::Ack
    }
}
