//! Records by offset, without a group.

use crate::connection::Connection;
use crate::error::KafkaError;
use crate::source::Rereader;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use seawall_core::{Batch, Class, Classify, Clock, Limit, Offset, SystemClock, TopicPartition};
use std::sync::Arc;
use std::time::Duration;

/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_millis(20);

/// Reads records of any partition by offset. It joins no group and moves no position; one read at a time.
pub struct Reader {
    inner: Rereader,
    timeout: Duration,
    clock: SystemClock,
}

impl Reader {
    /// A reader of the cluster of `connection` whose reads wait for a broker at most `timeout`. No broker is
    /// asked yet.
    pub fn open(connection: &Connection, timeout: Duration) -> Self {
        // The client wants a group's name to assign anything, and never uses it.
        let inner = Rereader::of_ranges(connection.clone(), Arc::from("seawall-reader"), timeout);
        Self { inner, timeout, clock: SystemClock::new() }
    }

    /// Records of `partition` in `from..to`, at least one where there is one. An answer without records has
    /// nothing but gaps up to its `next`, which lies above `from`.
    ///
    /// # Errors
    /// [`KafkaError::Refused`], of the class `Transient` where no broker answered in time. Trouble that may pass is told at
    /// the end of that time: it may be of long ago, and have waited in the client to be heard.
    pub fn read(
        &mut self,
        partition: &TopicPartition,
        from: Offset,
        to: Offset,
        limit: Limit,
    ) -> Result<Batch, KafkaError> {
        let until = self.clock.now().plus(self.timeout);
        let (clock, inner) = (&self.clock, &mut self.inner);
        let over = || until.since(clock.now()).is_zero();
        let read = persist(over, || {
            let batch = inner.read(partition, from, to, limit)?;
            Ok((batch.next > from || from >= to).then_some(batch))
        });
        read?.ok_or_else(|| {
            let source = ClientError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
            KafkaError::refused(format!("reading {partition} from {from}"), source)
        })
    }
}

/// Tries until there is something, until it cannot come any more, or until it is `over`: then with the last trouble.
fn persist<T>(
    over: impl Fn() -> bool,
    mut attempt: impl FnMut() -> Result<Option<T>, KafkaError>,
) -> Result<Option<T>, KafkaError> {
    let mut trouble = None;
    loop {
        match attempt() {
            Ok(Some(found)) => return Ok(Some(found)),
            Ok(None) => {}
            Err(error) if error.class() == Class::Transient => {
                trouble = Some(error);
                // What fails at once would fail without end.
                std::thread::sleep(AGAIN);
            }
            Err(error) => return Err(error),
        }
        if over() {
            return trouble.map_or(Ok(None), Err);
        }
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn failure(code: RDKafkaErrorCode) -> KafkaError {
        KafkaError::refused("reading", ClientError::MessageConsumption(code))
    }

    /// What comes of these answers, of which the last goes on for ever, and how many were asked for.
    fn persists(
        answers: Vec<Result<Option<u8>, RDKafkaErrorCode>>,
    ) -> (Result<Option<u8>, KafkaError>, usize) {
        let asked = Cell::new(0);
        let found = persist(
            || asked.get() >= 4,
            || {
                let answer = answers[asked.get().min(answers.len() - 1)];
                asked.set(asked.get() + 1);
                answer.map_err(failure)
            },
        );
        (found, asked.get())
    }

    #[test]
    fn trouble_that_may_be_of_long_ago_ends_no_read() {
        use RDKafkaErrorCode as Code;
        let stale = Err(Code::BrokerTransportFailure);
        let (found, asked) = persists(vec![stale, Ok(None), Ok(Some(7))]);
        assert_eq!((found.ok(), asked), (Some(Some(7)), 3));
        let (found, asked) = persists(vec![stale, Ok(None)]);
        assert!(found.is_err_and(|error| error.to_string().contains("BrokerTransportFailure")));
        assert_eq!(asked, 4, "told at the end of the time");
        assert!(matches!(persists(vec![Ok(None)]), (Ok(None), 4)));
        let (found, asked) = persists(vec![Err(Code::TopicAuthorizationFailed), Ok(Some(7))]);
        assert!(found.is_err());
        assert_eq!(asked, 1, "it will never be better");
    }
}
