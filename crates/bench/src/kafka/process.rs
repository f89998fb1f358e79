//! What this process has cost.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Processor time of all threads of this process so far.
pub(crate) fn cpu() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(spent.tv_sec as u64, spent.tv_nsec as u32)
}
