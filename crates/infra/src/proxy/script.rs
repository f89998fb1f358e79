//! Faults one after the other, drawn from a seed.

use super::{Fault, FaultProxy, Kind};
use std::thread;
use std::time::Duration;

/// A quiet while, then a fault that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// How long nothing is wrong before it.
    pub quiet: Duration,
    /// What is wrong then.
    pub fault: Fault,
    /// For how long.
    pub lasts: Duration,
}

/// What a proxy goes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script(pub Vec<Step>);

impl Script {
    /// `rounds` times every kind of fault in an order drawn from `seed`; each lasts for at most `longest`, and at
    /// most as long a quiet while lies before it.
    pub fn random(seed: u64, rounds: usize, longest: Duration) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut steps = Vec::new();
        let longest = (longest.as_millis() as u64).max(2);
        for _ in 0..rounds {
            let mut kinds = Kind::ALL;
            rng.shuffle(&mut kinds);
            for kind in kinds {
                let mut some = || Duration::from_millis(rng.u64(longest / 4..=longest));
                let (quiet, lasts) = (some(), some());
                steps.push(Step { quiet, fault: kind.draw(&mut rng), lasts });
            }
        }
        Self(steps)
    }

    /// Does all of it to `proxy`, and leaves it healed; `go_on` is asked before each step.
    pub fn play(&self, proxy: &FaultProxy, go_on: impl Fn() -> bool) {
        for step in &self.0 {
            if !go_on() {
                break;
            }
            thread::sleep(step.quiet);
            proxy.inject(step.fault);
            thread::sleep(step.lasts);
            proxy.heal();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_all_and_no_kind_is_left_out() {
        let longest = Duration::from_secs(2);
        let script = Script::random(7, 3, longest);
        assert_eq!(script, Script::random(7, 3, longest));
        assert_ne!(script, Script::random(8, 3, longest));
        for kind in Kind::ALL {
            let times = script.0.iter().filter(|step| step.fault.kind() == kind).count();
            assert_eq!(times, 3, "{kind}");
        }
        assert!(script.0.iter().all(|step| step.quiet <= longest && step.lasts <= longest));
    }
}
