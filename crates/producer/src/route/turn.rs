//! Live records and replayed ones share the calls of a lane.

use seawall_core::Nanos;
use std::time::Duration;

/// Counts are halved here, so that an hour of one kind is not paid back with an hour of the other.
const MEMORY_BYTES: u64 = 32 << 20;

/// Whose turn it is, by bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn {
    live: u64,
    replayed: u64,
}

impl Turn {
    /// Where both wait: whether the replay is next, to have `share` of the bytes.
    pub(crate) fn is_replays(&self, share: f64) -> bool {
        (self.replayed as f64) * (1.0 - share) < (self.live as f64) * share
    }

    /// Both waited, and this is what was sent.
    pub(crate) fn count(&mut self, replayed: bool, bytes: usize) {
        *if replayed { &mut self.replayed } else { &mut self.live } += bytes as u64;
        if self.live + self.replayed > MEMORY_BYTES {
            (self.live, self.replayed) = (self.live / 2, self.replayed / 2);
        }
    }
}

/// Keeps the replay under a rate: each batch pays for the time until the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pacer {
    bytes_per_second: Option<u64>,
    next: Nanos,
}

impl Pacer {
    pub(crate) fn new(bytes_per_second: Option<u64>) -> Self {
        Self { bytes_per_second, next: Nanos(0) }
    }

    /// When the next batch may go.
    pub(crate) fn next(&self) -> Nanos {
        self.next
    }

    /// How long so many bytes take at least.
    pub(crate) fn time(&self, bytes: u64) -> Duration {
        self.bytes_per_second
            .map_or(Duration::ZERO, |rate| Duration::from_secs_f64(bytes as f64 / rate as f64))
    }

    pub(crate) fn spend(&mut self, now: Nanos, bytes: usize) {
        self.next = self.next.max(now).plus(self.time(bytes as u64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_kept_whatever_the_batches_sizes() {
        let (mut turn, mut sent) = (Turn::default(), [0_u64; 2]);
        for n in 0..10_000_usize {
            let replayed = turn.is_replays(0.25);
            let bytes = if replayed { 700 + n % 900 } else { 50_000 };
            turn.count(replayed, bytes);
            sent[usize::from(replayed)] += bytes as u64;
        }
        let share = sent[1] as f64 / (sent[0] + sent[1]) as f64;
        assert!((0.24..0.26).contains(&share), "{share}");
    }

    #[test]
    fn a_rate_is_kept() {
        let mut pacer = Pacer::new(Some(1_000_000));
        let mut now = Nanos(0);
        for _ in 0..100 {
            now = now.max(pacer.next());
            pacer.spend(now, 50_000);
        }
        assert_eq!(pacer.next().since(Nanos(0)).as_millis(), 5_000);
    }
}
