//! One call, and what it writes to narrow topics: piece by piece, each answered before the next.

use super::narrow::{self, Company, Way};
use super::send::{Answer, KafkaSink};
use seawall_core::Outgoing;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// How often is looked whether the client is done with what may share a batch with the next piece.
const COMPANY_CHECK: Duration = Duration::from_millis(10);

/// The records of a call, what was said of them, and when it ends.
struct Work<'a> {
    records: &'a [Outgoing],
    answers: Vec<Option<Answer>>,
    /// Whoever waits for it waits no longer than for any other call, however many pieces it has.
    until: Option<Instant>,
}

impl Work<'_> {
    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    fn places_of(&self, topic: &Arc<str>) -> impl Iterator<Item = usize> {
        (0..self.records.len()).filter(|place| self.records[*place].topic == *topic)
    }

    fn is_refused(&self, place: usize) -> bool {
        self.answers[place].as_ref().is_some_and(narrow::is_of_batch)
    }
}

impl KafkaSink {
    /// Writes `records` and waits for all answers, in their order.
    pub(super) async fn write(&self, records: &[Outgoing]) -> Vec<Answer> {
        let until = self.patience.map(|patience| Instant::now() + patience);
        let company = self.narrow.wide_call();
        let ways = self.narrow.among(records);
        let mut work = if ways.is_empty() {
            let answers = self.write_at_once(records, company).await;
            if !answers.iter().any(narrow::is_of_batch) {
                return answers;
            }
            Work { records, answers: answers.into_iter().map(Some).collect(), until }
        } else {
            let mut work = Work { records, answers: vec![None; records.len()], until };
            let is_wide = |place: &usize| !ways.iter().any(|(topic, _)| *topic == records[*place].topic);
            let wide: Vec<usize> = (0..records.len()).filter(is_wide).collect();
            self.write_piece(&mut work, &wide, company).await;
            work
        };
        self.heed(&mut work);
        for (topic, way) in self.narrow.among(records) {
            self.write_narrow(&mut work, &topic, &way).await;
        }
        let each = work.answers.into_iter().zip(records);
        each.map(|(answer, outgoing)| answer.unwrap_or_else(|| Err(self.late(outgoing)))).collect()
    }

    /// Notes the topics that refuse batches, and takes up again what was sent there, where nothing of it was written: what
    /// was would be overtaken.
    fn heed(&self, work: &mut Work<'_>) {
        let mut heeded: Vec<&Arc<str>> = Vec::new();
        for (place, Outgoing { topic, .. }) in work.records.iter().enumerate() {
            if !work.is_refused(place) || heeded.contains(&topic) {
                continue;
            }
            heeded.push(topic);
            self.narrow.refuse(topic, self.batch_bytes);
            let all: Vec<usize> = work.places_of(topic).collect();
            if all.iter().all(|place| work.is_refused(*place)) {
                for place in all {
                    work.answers[place] = None;
                }
            }
        }
    }

    async fn write_narrow(&self, work: &mut Work<'_>, topic: &Arc<str>, way: &Arc<Way>) {
        let places: Vec<usize> =
            work.places_of(topic).filter(|place| work.answers[*place].is_none()).collect();
        let mut rest = &places[..];
        let Some(_one) = within(work.until, way.one.lock()).await else { return };
        while !rest.is_empty() && !work.is_over() {
            let (piece, later) = rest.split_at(way.piece(rest.iter().map(|place| &work.records[*place])));
            let (alone, bytes) = (self.narrow.is_alone(way), way.bytes());
            self.write_piece(work, piece, Company::on(way)).await;
            let Some(refused) = piece.iter().copied().find(|place| work.is_refused(*place)) else {
                rest = later;
                continue;
            };
            match piece {
                [place] if alone => {
                    work.answers[*place] = work.answers[*place].take().map(narrow::of_itself);
                    rest = later;
                    continue;
                }
                _ if alone => self.narrow.refuse(topic, bytes),
                // It says nothing of this piece.
                _ => self.until_alone(work, way).await,
            }
            if piece.iter().all(|place| work.is_refused(*place)) {
                for place in piece {
                    work.answers[*place] = None;
                }
                continue;
            }
            // Sent now, they would overtake what the caller has to send again.
            let refused = work.answers[refused].clone();
            for place in later {
                work.answers[*place].clone_from(&refused);
            }
            return;
        }
    }

    async fn until_alone(&self, work: &Work<'_>, way: &Way) {
        while !self.narrow.is_alone(way) && !work.is_over() {
            sleep(COMPANY_CHECK).await;
        }
    }

    async fn write_piece(&self, work: &mut Work<'_>, places: &[usize], company: Company) {
        if places.is_empty() {
            return;
        }
        let piece: Vec<Outgoing> = places.iter().map(|place| work.records[*place].clone()).collect();
        for (place, answer) in places.iter().zip(self.write_at_once(&piece, company).await) {
            work.answers[*place] = Some(answer);
        }
    }
}

async fn within<T>(until: Option<Instant>, done: impl Future<Output = T>) -> Option<T> {
    match until {
        None => Some(done.await),
        Some(until) => timeout_at(until, done).await.ok(),
    }
}
