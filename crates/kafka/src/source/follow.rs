//! Reading on in the partitions that stay while others are given up.
//!
//! From the moment the group takes partitions away until they are given back the client fetches nothing, not for
//! those that stay either (librdkafka pauses the whole assignment: `rd_kafka_assignment_pause`); and a drain takes as
//! long as a handler. So after [`GRACE`] the second client reads on in those that stay. Once the others are given
//! back, the client is sent to where that has come; what it still tells from below is skipped.

use super::KafkaSource;
use super::gather::Left;
use seawall_core::{Clock, Limit};
use std::time::Duration;

/// Most drains are over by then, and need no second client.
const GRACE: Duration = Duration::from_millis(250);

impl KafkaSource {
    /// Takes what the second client has read of the partitions that stay, where others are being given up.
    pub(super) fn follow(&mut self, left: &mut Left) {
        if self.leaving.is_empty() {
            if self.giving_up_since.take().is_some() {
                self.catch_up();
            }
            return;
        }
        let now = self.clock.now();
        if now.since(*self.giving_up_since.get_or_insert(now)) < GRACE {
            return;
        }
        let partitions = self.assigned.len();
        for nth in 0..partitions {
            let place = self.turn.wrapping_add(nth) % partitions;
            let assigned = &mut self.assigned[place];
            if left.records == 0 || left.bytes == 0 {
                return;
            }
            if !assigned.is_read() || assigned.batch.is_some() {
                continue;
            }
            let limit = Limit { records: left.records, bytes: left.bytes };
            match self.rereader.follow(&assigned.tp, assigned.next, limit) {
                Ok(batch) if batch.records.is_empty() => {}
                Ok(batch) => {
                    left.take(&batch.records);
                    (assigned.next, assigned.followed) = (batch.next, true);
                    assigned.batch = Some(batch);
                }
                Err(error) => {
                    let (group, partition) = (&self.group, &assigned.tp);
                    tracing::warn!(%group, %partition, %error, "cannot be read on while others are given up");
                    self.giving_up_since = Some(now);
                }
            }
        }
    }

    /// Sends the client to where the second one has come.
    fn catch_up(&mut self) {
        for place in 0..self.assigned.len() {
            if std::mem::take(&mut self.assigned[place].followed) {
                let assigned = &self.assigned[place];
                if let Err(error) = self.seek(&assigned.tp, assigned.next) {
                    tracing::debug!(group = %self.group, %error, "what was read meanwhile is fetched again and skipped");
                }
            }
        }
    }
}
