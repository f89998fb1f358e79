//! One life of a simulated process: a runtime of its own, single-threaded, with paused time.
//!
//! Everything that runs is a task of this runtime, so dropping it is the death of the process at whatever
//! awaits its tasks happened to be. Nothing in it depends on the machine: no thread, no socket, no real
//! time, no random choice of a branch. The same seed therefore gives the same events, which the tests
//! check by hash.

use crate::clock::SimClock;

/// Runs `life` to its end, then drops everything it left running.
///
/// # Panics
/// Where the machine cannot give a runtime; it needs no threads and no file descriptors.
pub fn live<F: Future>(clock: &SimClock, life: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O asks nothing of the machine");
    let output = runtime.block_on(async {
        clock.attach();
        let output = life.await;
        // Within, where time is paused: outside, the clock would read the machine's.
        clock.detach();
        output
    });
    drop(runtime);
    output
}
