//! Two figures of the same rounds: records a second, and processor time a record.

use super::ground::Pace;
use crate::compare::{BenchError, Better, Contender, Contest, Measure};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Who is measured, in both figures.
pub(super) struct Paced {
    pub(super) name: &'static str,
    pub(super) version: String,
    /// The ratio to reach in records a second.
    pub(super) goal: Option<f64>,
    /// The ratio to reach in processor time.
    pub(super) cpu_goal: Option<f64>,
    pub(super) measure: Box<dyn FnMut() -> Result<Pace, BenchError>>,
}

impl Paced {
    /// One that measures, and a second that tells the other figure of the same measurements, in their order.
    fn split(mut self) -> (Contender, Contender) {
        let told = Rc::new(RefCell::new(VecDeque::new()));
        let noted = Rc::clone(&told);
        let rate: Measure = Box::new(move || {
            let pace = (self.measure)()?;
            noted.borrow_mut().push_back(pace.cpu);
            Ok(pace.rate)
        });
        let who = self.name;
        let cpu: Measure = Box::new(move || {
            let figure = told.borrow_mut().pop_front();
            figure.ok_or_else(|| BenchError::of(who)("no round was measured before"))
        });
        let (name, version) = (self.name, self.version);
        let mut rate = Contender::new(name, version.clone(), rate);
        let mut cpu = Contender::new(name, version, cpu);
        (rate.goal, cpu.goal) = (self.goal, self.cpu_goal);
        (rate, cpu)
    }
}

/// Both contests; they must run in this order, and with the same number of rounds.
pub(super) fn contests(name: &str, rounds: usize, ours: Paced, peers: Vec<Paced>) -> Vec<Contest> {
    let (rate, cpu) = ours.split();
    let (rates, cpus): (Vec<_>, Vec<_>) = peers.into_iter().map(Paced::split).unzip();
    let contest =
        |name: String, unit, better, ours, peers| Contest { name, unit, better, rounds, ours, peers };
    vec![
        contest(name.to_owned(), "records/s", Better::Higher, rate, rates),
        contest(format!("{name}, processor time"), "µs/record", Better::Lower, cpu, cpus),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Effort;

    fn paced(paces: Vec<(f64, f64)>) -> Paced {
        let mut paces = paces.into_iter().map(|(rate, cpu)| Pace { rate, cpu });
        let measure = Box::new(move || Ok(paces.next().unwrap()));
        Paced { name: "x", version: "1".to_owned(), goal: None, cpu_goal: Some(1.0), measure }
    }

    #[test]
    fn the_second_figure_is_of_the_same_rounds() {
        let ours = paced(vec![(1.0, 9.0), (10.0, 2.0), (20.0, 2.0), (30.0, 2.0)]);
        let peer = paced(vec![(1.0, 1.0), (10.0, 4.0), (10.0, 6.0), (10.0, 8.0)]);
        let quick = Effort { quick: true, ..Effort::default() };
        let lines: Vec<_> = contests("n", 9, ours, vec![peer])
            .into_iter()
            .map(|contest| contest.run("kafka", &quick).unwrap().remove(0))
            .collect();
        assert_eq!((lines[0].ratio, lines[0].min, lines[0].max), (2.0, 1.0, 3.0));
        assert_eq!((lines[1].ratio, lines[1].min, lines[1].max), (3.0, 2.0, 4.0));
        assert_eq!((lines[0].goal, lines[1].goal), (None, Some(1.0)));
    }
}
