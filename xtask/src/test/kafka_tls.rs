//! The `kafka-tls` part: TLS and SCRAM over OpenSSL, which the default build of the Kafka client leaves out.
//!
//! The client compiled with OpenSSL is another build of it and of all that stands on it, some minutes of a CI run
//! that has few to spare; so this part runs by name and with `--soak`, in a target folder of its own.

use super::tally::Tally;
use super::{Run, crates};
use crate::error::ChoreError;
use crate::infra;
use crate::workspace;

pub(super) fn run(run: &Run) -> Result<Tally, ChoreError> {
    let mut tally = Tally::default();
    if let Err(why) = infra::openssl() {
        tally.skip("kafka-tls", why);
        return Ok(tally);
    }
    let target = workspace::root().join("target").join("kafka-tls");
    let target = target.to_string_lossy();
    let environment = [("CARGO_TARGET_DIR", &*target), ("CARGO_PROFILE_DEV_DEBUG", "0")];
    let tests = ["security".to_owned(), "refusals".to_owned()];
    for member in workspace::members()?.iter().filter(|member| member.part == "kafka") {
        tally.add(crates::run_tests(run, member, &tests, &["--features", "tls"], &environment)?);
    }
    Ok(tally)
}
