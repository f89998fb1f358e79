//! Writing to narrow topics: piece by piece, each answered before the next.

use super::narrow::{self, Way};
use super::send::{Answer, KafkaSink};
use seawall_core::Outgoing;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

impl KafkaSink {
    /// The same where topics of `ways` are among them, each of which is written to by one call at a time.
    pub(super) async fn write_in_pieces(
        &self,
        records: &[Outgoing],
        ways: &[(Arc<str>, Arc<Way>)],
    ) -> Vec<Answer> {
        let mut answers: Vec<Option<Answer>> = vec![None; records.len()];
        let of = |topic: &Arc<str>| ways.iter().position(|(narrow, _)| narrow == topic);
        let places = |way: Option<usize>| -> Vec<usize> {
            (0..records.len()).filter(|place| of(&records[*place].topic) == way).collect()
        };
        let wide = places(None);
        self.write_piece(records, &wide, &mut answers).await;
        for place in wide {
            self.narrow.heed(&records[place..=place], answers[place].as_slice(), self.batch_bytes);
        }
        // Whoever waits for this call waits no longer than for any other one, however many pieces it has.
        let until = self.patience.map(|patience| Instant::now() + patience);
        for (nth, (_, way)) in ways.iter().enumerate() {
            let places = places(Some(nth));
            let mut rest = &places[..];
            let Some(_one) = within(until, way.one.lock()).await else { continue };
            while !rest.is_empty() && until.is_none_or(|until| Instant::now() < until) {
                let bytes = way.bytes();
                let (piece, later) = rest.split_at(way.piece(rest.iter().map(|place| &records[*place])));
                self.write_piece(records, piece, &mut answers).await;
                let refused =
                    piece.iter().find_map(|place| answers[*place].clone().filter(narrow::is_of_batch));
                let Some(refused) = refused else {
                    rest = later;
                    continue;
                };
                if let [place] = piece
                    && self.narrow.is_alone(way)
                {
                    answers[*place] = Some(narrow::of_itself(refused));
                    rest = later;
                    continue;
                }
                self.narrow.heed(&records[piece[0]..=piece[0]], std::slice::from_ref(&refused), bytes);
                // Sent now, they would overtake what has to be sent again.
                for place in later {
                    answers[*place] = Some(refused.clone());
                }
                break;
            }
        }
        let each = answers.into_iter().zip(records);
        each.map(|(answer, outgoing)| answer.unwrap_or_else(|| Err(self.late(outgoing)))).collect()
    }

    async fn write_piece(&self, records: &[Outgoing], places: &[usize], answers: &mut [Option<Answer>]) {
        if places.is_empty() {
            return;
        }
        let piece: Vec<Outgoing> = places.iter().map(|place| records[*place].clone()).collect();
        for (place, answer) in places.iter().zip(self.write_at_once(&piece).await) {
            answers[*place] = Some(answer);
        }
    }
}

async fn within<T>(until: Option<Instant>, done: impl Future<Output = T>) -> Option<T> {
    match until {
        None => Some(done.await),
        Some(until) => timeout_at(until, done).await.ok(),
    }
}
