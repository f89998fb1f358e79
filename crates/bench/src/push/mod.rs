//! HTTP push: records out of the embedded log to a service, against proxies that forward the same requests.
//!
//! The service echoes and runs in a process of its own, as do the proxies. Ours reads its records from the
//! log; a proxy is fed by as many connections as ours keeps, with the same headers and bodies, by a client
//! made of the same parts (hyper).

mod load;
mod ours;
pub(crate) mod serve;

use crate::asked::Asked;
use crate::compare::{BenchError, Better, Contender, Contest, Effort};
use crate::go;
use crate::versions;
use serve::Served;
use std::process::Command;

const RECORDS: u64 = 20_000;
const BODY_BYTES: usize = 512;
/// Requests in flight, and connections.
const IN_FLIGHT: u32 = 64;

/// The push contests.
///
/// # Errors
/// When a process cannot be started.
pub(crate) fn contests(effort: &Effort) -> Result<Vec<Contest>, BenchError> {
    let records = effort.scaled(RECORDS);
    let echo = Served::start(&["serve-echo"])?;
    let target = format!("http://{}", echo.address);
    let mut peers = vec![reverse_proxy(effort, records, &target)?];
    peers.extend(axum_reqwest(records, &target)?);
    Ok(vec![Contest {
        name: format!("push of {BODY_BYTES} B, {IN_FLIGHT} in flight"),
        unit: "records/s",
        rounds: 9,
        better: Better::Higher,
        ours: ours::push(effort, records, &target, echo)?,
        peers,
    }])
}

/// Go's own.
fn reverse_proxy(effort: &Effort, records: u64, target: &str) -> Result<Contender, BenchError> {
    let mut peer = Asked::start(Command::new(go::build(&effort.dir, "go")?).args(["proxy", target]))?;
    let address = peer.hear()?;
    let load = load::Load::new(&address, records)?;
    let mut alive = Some(peer);
    Ok(Contender::new("Go httputil.ReverseProxy", go::version(), move || {
        // Kept here so that the process lives as long as its measure.
        let _ = alive.as_mut();
        load.run()
    })
    .goal(2.0))
}

/// What a Rust team would write first.
#[cfg(feature = "peers")]
fn axum_reqwest(records: u64, target: &str) -> Result<Vec<Contender>, BenchError> {
    let served = Served::start(&["serve-proxy", target])?;
    let load = load::Load::new(&served.address, records)?;
    let version = format!("{} + {}", versions::of_crate("axum"), versions::of_crate("reqwest"));
    let contender = Contender::new("axum + reqwest proxy", version, move || {
        let _ = &served;
        load.run()
    });
    Ok(vec![contender.goal(1.5)])
}

#[cfg(not(feature = "peers"))]
#[expect(clippy::unnecessary_wraps, reason = "the same signature as with the peers")]
fn axum_reqwest(_: u64, _: &str) -> Result<Vec<Contender>, BenchError> {
    let _ = versions::of_crate("axum");
    Ok(Vec::new())
}
