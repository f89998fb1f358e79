//! Which sink takes the next call: the most preferred that is not gone; a better one is taken back slowly.
//!
//! Over to the next when the breaker of the present one has opened, at once. Back only after the better one was
//! left alone for `failback_after` and then closed its breaker by probes; one failed probe, and it is left
//! alone again. A call is a probe: its records stay in memory or on disk until it is answered.

use super::link::Link;
use seawall_core::Nanos;
use seawall_guard::breaker::Pass;
use seawall_guard::{Backoff, BreakerOptions, BreakerState, GuardError};
use std::time::Duration;

/// Leave to call a sink, to be given back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    pub(crate) sink: usize,
    pub(crate) started: Nanos,
    pass: Pass,
    probe: bool,
}

/// The present sink changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Switch {
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// What became of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Result {
    /// The sink took some of it, or refused it for good: it is there.
    pub(crate) ok: bool,
    pub(crate) retry_after: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct Selector {
    links: Vec<Link>,
    active: usize,
    failback_after: Duration,
    failback_at: Nanos,
    /// A call to a better sink than the present one is on its way.
    probing: bool,
    /// The next call is the present sink's.
    pass_over: bool,
}

impl Selector {
    pub(crate) fn new(
        sinks: usize,
        breaker: BreakerOptions,
        backoff: Backoff,
        failback_after: Duration,
        seed: u64,
    ) -> std::result::Result<Self, GuardError> {
        let links = (0..sinks as u64).map(|nth| Link::new(breaker, backoff, seed.wrapping_add(nth)));
        let links = links.collect::<std::result::Result<_, _>>()?;
        Ok(Self { links, active: 0, failback_after, failback_at: Nanos(0), probing: false, pass_over: false })
    }

    /// Leave for one call, with the change it brings, or when to ask again.
    pub(crate) fn pick(&mut self, now: Nanos) -> std::result::Result<(Grant, Option<Switch>), Nanos> {
        if !std::mem::take(&mut self.pass_over) && !self.probing && now >= self.failback_at {
            for sink in 0..self.active {
                if let Ok(pass) = self.links[sink].allow(now) {
                    self.probing = true;
                    return Ok((Grant { sink, started: now, pass, probe: true }, None));
                }
            }
        }
        let mut earliest = Nanos(u64::MAX);
        for sink in self.active..self.links.len() {
            match self.links[sink].allow(now) {
                Ok(pass) => {
                    let switch = (sink != self.active).then_some(Switch { from: self.active, to: sink });
                    if switch.is_some() {
                        self.active = sink;
                        self.failback_at = now.plus(self.failback_after);
                    }
                    return Ok((Grant { sink, started: now, pass, probe: false }, switch));
                }
                Err(at) => earliest = earliest.min(at),
            }
            // A sink that only backs off is still the one: over to the next is for one that is gone.
            if self.links[sink].state(now) == BreakerState::Closed {
                break;
            }
        }
        if self.active > 0 && !self.probing {
            earliest = earliest.min(self.failback_at.max(now));
        }
        // Never at once again: what was asked just now was refused.
        Err(earliest.max(now.plus(Duration::from_millis(1))))
    }

    /// Takes a grant back with what became of the call.
    pub(crate) fn on_result(&mut self, now: Nanos, grant: Grant, result: Result) -> Option<Switch> {
        let link = &mut self.links[grant.sink];
        link.on_result(now, grant.pass, grant.started, result.ok, result.retry_after);
        let closed = link.state(now) == BreakerState::Closed;
        if !grant.probe {
            return None;
        }
        self.probing = false;
        if grant.sink >= self.active {
            return None;
        }
        if !result.ok {
            self.failback_at = now.plus(self.failback_after);
            return None;
        }
        if !closed {
            return None;
        }
        let switch = Switch { from: self.active, to: grant.sink };
        self.active = grant.sink;
        Some(switch)
    }

    /// Takes a grant back unused.
    pub(crate) fn on_abandoned(&mut self, grant: Grant) {
        self.links[grant.sink].on_abandoned(grant.pass);
        if grant.probe {
            self.probing = false;
        }
    }

    /// Takes a grant back whose call failed for what it carried, or so it seems: that closes no breaker and opens none. Where
    /// it asked a better sink than the present one, the next call does not.
    pub(crate) fn on_unclear(&mut self, grant: Grant) {
        self.pass_over = grant.probe;
        self.on_abandoned(grant);
    }

    /// The present sink.
    pub(crate) fn active(&self) -> usize {
        self.active
    }

    /// `sink` took something after `at`.
    pub(crate) fn answered_after(&self, sink: usize, at: Nanos) -> bool {
        self.links[sink].answered_after(at)
    }

    /// The present sink answered last.
    pub(crate) fn is_up(&self, now: Nanos) -> bool {
        self.links[self.active].is_up(now)
    }

    /// Every sink from the present one on is gone.
    pub(crate) fn is_gone(&self, now: Nanos) -> bool {
        let gone = |link: &Link| link.state(now) != BreakerState::Closed && !link.is_up(now);
        self.links[self.active..].iter().all(gone)
    }

    pub(crate) fn breaker(&self, sink: usize, now: Nanos) -> BreakerState {
        self.links[sink].state(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FAILBACK: Duration = Duration::from_secs(30);

    fn selector(sinks: usize) -> Selector {
        let breaker = BreakerOptions {
            calls_min: 3,
            open_for: Duration::from_secs(1),
            probes: 2,
            ..BreakerOptions::default()
        };
        Selector::new(sinks, breaker, Backoff::default(), FAILBACK, 1).unwrap()
    }

    fn report(selector: &mut Selector, now: Nanos, grant: Grant, ok: bool) -> Option<Switch> {
        selector.on_result(now, grant, Result { ok, retry_after: None })
    }

    /// Calls as soon as may be until `now`; each answered by `up`.
    fn run(selector: &mut Selector, now: &mut Nanos, until: Nanos, up: [bool; 2]) -> Vec<Switch> {
        let mut switches = Vec::new();
        while *now < until {
            match selector.pick(*now) {
                Ok((grant, switch)) => {
                    switches.extend(switch);
                    *now = now.plus(Duration::from_millis(10));
                    switches.extend(report(selector, *now, grant, up[grant.sink]));
                }
                Err(at) => *now = at,
            }
        }
        switches
    }

    #[test]
    fn over_at_once_and_back_only_after_a_quiet_time_and_good_probes() {
        let (mut s, mut now) = (selector(2), Nanos(0));
        let second = |s: u64| Nanos(s * 1_000_000_000);
        assert_eq!(run(&mut s, &mut now, second(5), [false, true]), [Switch { from: 0, to: 1 }]);
        // Back up, but it was gone a moment ago.
        assert_eq!(run(&mut s, &mut now, second(20), [true, true]), []);
        assert_eq!(run(&mut s, &mut now, second(60), [true, true]), [Switch { from: 1, to: 0 }]);
        assert_eq!(s.active(), 0);
    }

    #[test]
    fn a_flapping_sink_is_not_followed() {
        let (mut s, mut now) = (selector(2), Nanos(0));
        let mut switches = 0;
        for n in 0..120_u64 {
            let up = [n % 2 == 0, true];
            switches += run(&mut s, &mut now, Nanos((n + 1) * 2_000_000_000), up).len();
        }
        assert!(switches <= 18, "{switches} switches in four minutes of flapping");
    }

    proptest! {
        #[test]
        fn grants_respect_backoff_and_always_come_again(
            steps in proptest::collection::vec((any::<bool>(), any::<bool>(), 0_u64..3_000), 1..200),
            sinks in 1_usize..4,
        ) {
            let (mut s, mut now) = (selector(sinks), Nanos(0));
            let mut out: Vec<Grant> = Vec::new();
            for (call, ok, ms) in steps {
                now = now.plus(Duration::from_millis(ms));
                if call || out.is_empty() {
                    match s.pick(now) {
                        Ok((grant, _)) => out.push(grant),
                        Err(at) => prop_assert!(at > now),
                    }
                } else {
                    let grant = out.remove(0);
                    report(&mut s, now, grant, ok);
                }
                prop_assert!(s.active() < sinks);
            }
            for grant in out {
                s.on_abandoned(grant);
            }
            // Liveness: whatever happened, healthy sinks are called again, and the best one in the end.
            let until = now.plus(Duration::from_mins(10));
            while now < until {
                match s.pick(now) {
                    Ok((grant, _)) => {
                        now = now.plus(Duration::from_millis(500));
                        report(&mut s, now, grant, true);
                    }
                    Err(at) => now = at,
                }
            }
            prop_assert_eq!(s.active(), 0);
            prop_assert!(s.is_up(now));
        }
    }
}
