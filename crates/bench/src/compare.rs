//! Taking turns: ours and a peer are measured right after each other, and only such two figures are divided.
//!
//! Whatever else the machine does in that second, it does to both; who goes first changes with the round.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// A file or a program.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// What is measured answered with an error.
    #[error("{who}: {source}")]
    Contender {
        /// Who.
        who: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is measured did not do its work, so its figure would mean nothing.
    #[error("{who} did {done} of {asked}: no figure")]
    Incomplete {
        /// Who.
        who: String,
        /// What was done.
        done: u64,
        /// What was to be done.
        asked: u64,
    },
}

impl BenchError {
    /// For a file or program.
    pub(crate) fn io(what: impl fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.to_string();
        move |source| Self::Io { what, source }
    }

    /// For an error of `who`.
    pub(crate) fn of<E: Into<Box<dyn std::error::Error + Send + Sync>>>(who: &str) -> impl FnOnce(E) -> Self {
        let who = who.to_owned();
        move |source| Self::Contender { who, source: source.into() }
    }
}

/// How much to do, and where.
#[derive(Clone, Debug)]
pub(crate) struct Effort {
    /// A fifth of the work and few rounds: to see that it runs.
    pub(crate) quick: bool,
    /// Where files are written: on the disk that is to be measured.
    pub(crate) dir: PathBuf,
}

impl Default for Effort {
    fn default() -> Self {
        let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        Self { quick: false, dir: here.join("../../target/bench-data") }
    }
}

impl Effort {
    /// `full`, or a fifth of it.
    pub(crate) fn scaled(&self, full: u64) -> u64 {
        if self.quick { (full / 5).max(1) } else { full }
    }

    fn rounds(&self, full: usize) -> usize {
        if self.quick { 3 } else { full }
    }
}

/// Which figures are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    /// Records per second.
    Higher,
    /// Nanoseconds per record.
    Lower,
}

/// A measurement of one round.
pub(crate) type Measure = Box<dyn FnMut() -> Result<f64, BenchError>>;

/// Who is measured.
pub(crate) struct Contender {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// The ratio to reach against it, where one is demanded.
    pub(crate) goal: Option<f64>,
    /// A figure that follows from our last one (a limit, a budget): nothing is measured anew beside it.
    pub(crate) derived: bool,
    /// One round.
    pub(crate) measure: Measure,
}

impl Contender {
    /// A contender without a goal.
    pub(crate) fn new(
        name: impl Into<String>,
        version: impl Into<String>,
        measure: impl FnMut() -> Result<f64, BenchError> + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            goal: None,
            derived: false,
            measure: Box::new(measure),
        }
    }

    /// A limit or a budget, asked after ours was measured.
    pub(crate) fn limit(
        name: impl Into<String>,
        version: impl Into<String>,
        figure: impl FnMut() -> Result<f64, BenchError> + 'static,
    ) -> Self {
        Self { derived: true, ..Self::new(name, version, figure) }
    }

    /// The same, with the ratio that is demanded against it.
    #[must_use]
    pub(crate) fn goal(mut self, ratio: f64) -> Self {
        self.goal = Some(ratio);
        self
    }
}

/// Ours against peers in one figure.
pub(crate) struct Contest {
    /// What is compared.
    pub(crate) name: String,
    /// Of the figures.
    pub(crate) unit: &'static str,
    /// Which figures are good.
    pub(crate) better: Better,
    /// How many rounds, unless quick.
    pub(crate) rounds: usize,
    /// Ours.
    pub(crate) ours: Contender,
    /// The others.
    pub(crate) peers: Vec<Contender>,
}

/// The outcome against one peer.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// The part.
    pub(crate) part: String,
    /// The contest and whom it is against.
    pub(crate) name: String,
    /// The peer's name alone.
    pub(crate) peer_name: String,
    /// Our median figure.
    pub(crate) ours: f64,
    /// The peer's median figure.
    pub(crate) peer: f64,
    /// The peer's version.
    pub(crate) peer_version: String,
    /// Of both figures.
    pub(crate) unit: &'static str,
    /// The median over the rounds; above 1 we are better.
    pub(crate) ratio: f64,
    /// How many rounds.
    pub(crate) runs: usize,
    /// The smallest ratio of a round.
    pub(crate) min: f64,
    /// The largest.
    pub(crate) max: f64,
    /// What was demanded.
    pub(crate) goal: Option<f64>,
}

impl Contest {
    /// Runs every round and divides.
    ///
    /// # Errors
    /// The first that a contender meets.
    pub(crate) fn run(mut self, part: &str, effort: &Effort) -> Result<Vec<Line>, BenchError> {
        let rounds = effort.rounds(self.rounds);
        // The first touches pages, files and caches; it is thrown away.
        self.round(0)?;
        let mut figures: Vec<Vec<Pair>> = Vec::with_capacity(rounds);
        for number in 0..rounds {
            figures.push(self.round(number)?);
        }
        let lines = self.peers.iter().enumerate().map(|(at, peer)| {
            let pairs: Vec<Pair> = figures.iter().map(|round| round[at]).collect();
            let ratios: Vec<f64> = pairs.iter().map(|pair| pair.ratio(self.better)).collect();
            Line {
                part: part.to_owned(),
                name: format!("{}: {} against {}", self.name, self.ours.name, peer.name),
                peer_name: peer.name.clone(),
                ours: median(pairs.iter().map(|pair| pair.ours)),
                peer: median(pairs.iter().map(|pair| pair.theirs)),
                peer_version: peer.version.clone(),
                unit: self.unit,
                ratio: median(ratios.iter().copied()),
                runs: rounds,
                min: ratios.iter().copied().fold(f64::INFINITY, f64::min),
                max: ratios.iter().copied().fold(0.0, f64::max),
                goal: peer.goal,
            }
        });
        Ok(lines.collect())
    }

    /// Each peer beside a figure of ours.
    fn round(&mut self, number: usize) -> Result<Vec<Pair>, BenchError> {
        let mut last = None;
        let mut pairs = Vec::with_capacity(self.peers.len());
        for peer in &mut self.peers {
            let pair = if peer.derived {
                let ours = match last {
                    Some(ours) => ours,
                    None => (self.ours.measure)()?,
                };
                Pair { ours, theirs: (peer.measure)()? }
            } else if number.is_multiple_of(2) {
                let ours = (self.ours.measure)()?;
                Pair { ours, theirs: (peer.measure)()? }
            } else {
                let theirs = (peer.measure)()?;
                Pair { ours: (self.ours.measure)()?, theirs }
            };
            last = Some(pair.ours);
            pairs.push(pair);
        }
        Ok(pairs)
    }
}

/// Two figures that may be divided.
#[derive(Clone, Copy, Debug)]
struct Pair {
    ours: f64,
    theirs: f64,
}

impl Pair {
    fn ratio(self, better: Better) -> f64 {
        match better {
            Better::Higher => self.ours / self.theirs,
            Better::Lower => self.theirs / self.ours,
        }
    }
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.collect();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// How long `work` takes.
#[expect(clippy::disallowed_methods, reason = "a bench measures the machine's own time")]
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let out = work();
    (out, started.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(name: &str, mut figures: Vec<f64>) -> Contender {
        figures.reverse();
        Contender::new(name, "1", move || Ok(figures.pop().unwrap()))
    }

    #[test]
    fn ratios_are_of_one_round_and_above_one_is_ours() {
        let quick = Effort { quick: true, ..Effort::default() };
        let contest = |better| Contest {
            name: "x".to_owned(),
            unit: "u",
            rounds: 11,
            better,
            // The first figure of each is the round that is thrown away.
            ours: fixed("ours", vec![9.0, 10.0, 20.0, 40.0]),
            peers: vec![fixed("peer", vec![1.0, 5.0, 20.0, 10.0])],
        };
        let line = contest(Better::Higher).run("p", &quick).unwrap().remove(0);
        assert_eq!((line.ratio, line.min, line.max, line.ours, line.peer), (2.0, 1.0, 4.0, 20.0, 10.0));
        let line = contest(Better::Lower).run("p", &quick).unwrap().remove(0);
        assert_eq!((line.ratio, line.min, line.max), (0.5, 0.25, 1.0));
    }

    #[test]
    fn a_limit_is_asked_after_ours_and_costs_no_further_figure() {
        let quick = Effort { quick: true, ..Effort::default() };
        let ours = fixed("ours", vec![9.0, 10.0, 20.0, 40.0]);
        let limit = Contender::limit("limit", "-", || Ok(20.0));
        let contest = Contest {
            name: "x".to_owned(),
            unit: "u",
            rounds: 3,
            better: Better::Higher,
            ours,
            peers: vec![limit],
        };
        let line = contest.run("p", &quick).unwrap().remove(0);
        assert_eq!((line.ratio, line.min, line.max), (1.0, 0.5, 2.0));
    }

    #[test]
    fn the_median_of_an_even_count_lies_between() {
        assert!((median([4.0, 1.0, 3.0, 2.0].into_iter()) - 2.5).abs() < 1e-9);
    }
}
