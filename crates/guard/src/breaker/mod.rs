//! Stops calling what keeps failing, and finds out by few probes when it is back.
//!
//! Closed, every call passes and its result enters a rolling window. When the window holds enough calls and
//! too many of them failed, the breaker opens: nothing passes for `open_for`, jittered so that a fleet does
//! not come back in step. Then it is half-open: a few probes pass; one failure opens it again, as many
//! successes as there are probes close it. (The pattern is from M. Nygard, *Release It!*.)
//!
//! A result belongs to the state its call was admitted in: each change of state starts a new epoch, and a
//! [`Pass`] of an older one is ignored. Without that, the slow failures of the outage would open the breaker
//! again right after the probes closed it. A probe that ends without a result gives its place back.

mod window;

use crate::guard::GuardError;
use fastrand::Rng;
use seawall_core::Nanos;
use std::time::Duration;
use window::Window;

/// When to open, for how long, and how to come back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerOptions {
    /// Opens at this share of failed calls, above 0, at most 1.
    pub failure_ratio: f64,
    /// Calls the window must hold before the ratio means anything; at least 1.
    pub calls_min: u32,
    /// The rolling window, 10 ms to 1 h; it forgets in tenths.
    pub window: Duration,
    /// How long it stays open before it probes, 1 ms to 1 h.
    pub open_for: Duration,
    /// The share of `open_for` that is random on top, 0 to 1.
    pub jitter: f64,
    /// Probes let through while half-open, 1 to 1,000; all must succeed to close.
    pub probes: u32,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self {
            failure_ratio: 0.5,
            calls_min: 20,
            window: Duration::from_secs(10),
            open_for: Duration::from_secs(5),
            jitter: 0.2,
            probes: 3,
        }
    }
}

impl BreakerOptions {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`GuardError`] naming the field.
    pub fn check(&self) -> Result<(), GuardError> {
        let hour = Duration::from_hours(1);
        let ratio = self.failure_ratio;
        GuardError::unless(
            ratio > 0.0 && ratio <= 1.0,
            "breaker.failure_ratio",
            ratio,
            "above 0, at most 1",
        )?;
        GuardError::unless(self.calls_min >= 1, "breaker.calls_min", self.calls_min, "at least 1")?;
        let holds = (Duration::from_millis(10)..=hour).contains(&self.window);
        GuardError::unless(holds, "breaker.window", format!("{:?}", self.window), "between 10 ms and 1 h")?;
        let holds = (Duration::from_millis(1)..=hour).contains(&self.open_for);
        GuardError::unless(
            holds,
            "breaker.open_for",
            format!("{:?}", self.open_for),
            "between 1 ms and 1 h",
        )?;
        GuardError::unless(
            (0.0..=1.0).contains(&self.jitter),
            "breaker.jitter",
            self.jitter,
            "between 0 and 1",
        )?;
        GuardError::unless(
            (1..=1000).contains(&self.probes),
            "breaker.probes",
            self.probes,
            "between 1 and 1000",
        )
    }
}

/// Where the breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Everything passes.
    Closed,
    /// Nothing passes.
    Open,
    /// Probes pass.
    HalfOpen,
}

impl BreakerState {
    /// The lower-case name used in metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Leave to call, to be given back with the result or abandoned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "a probe's pass that is never given back blocks the breaker half-open"]
pub struct Pass {
    pub(crate) epoch: u64,
    pub(crate) probe: bool,
}

impl Pass {
    /// Whether it decides about closing the breaker.
    pub fn is_probe(self) -> bool {
        self.probe
    }
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    Open { since: Nanos, until: Nanos },
    HalfOpen { out: u32, succeeded: u32 },
}

/// The state machine. Pure: time and randomness are parameters.
#[derive(Debug)]
pub struct Breaker {
    options: BreakerOptions,
    phase: Phase,
    epoch: u64,
    window: Window,
    ratio_at_open: f64,
    opens: u64,
    rng: Rng,
}

impl Breaker {
    /// A closed breaker.
    ///
    /// # Errors
    /// As [`BreakerOptions::check`].
    pub fn new(options: BreakerOptions, seed: u64) -> Result<Self, GuardError> {
        options.check()?;
        Ok(Self {
            options,
            phase: Phase::Closed,
            epoch: 1,
            window: Window::new(options.window),
            ratio_at_open: 0.0,
            opens: 0,
            rng: Rng::with_seed(seed),
        })
    }

    /// Leave for one call.
    ///
    /// # Errors
    /// How long until it makes sense to ask again; while probes are out ([`Breaker::open_until`] is `None` then) that
    /// is only a guess, since the breaker changes with their results.
    pub fn allow(&mut self, now: Nanos) -> Result<Pass, Duration> {
        if let Phase::Open { until, .. } = self.phase {
            if now < until {
                return Err(until.since(now));
            }
            self.enter(Phase::HalfOpen { out: 0, succeeded: 0 });
        }
        match &mut self.phase {
            Phase::HalfOpen { out, succeeded } => {
                if *out + *succeeded >= self.options.probes {
                    return Err(self.options.open_for);
                }
                *out += 1;
                Ok(Pass { epoch: self.epoch, probe: true })
            }
            Phase::Closed | Phase::Open { .. } => Ok(Pass { epoch: self.epoch, probe: false }),
        }
    }

    /// The result of a call that was allowed.
    pub fn on_result(&mut self, now: Nanos, pass: Pass, ok: bool) {
        if pass.epoch != self.epoch {
            return;
        }
        match &mut self.phase {
            Phase::Closed => {
                self.window.add(now, ok);
                let (calls, failed) = self.window.totals(now);
                if !ok
                    && calls >= u64::from(self.options.calls_min)
                    && failed as f64 >= self.options.failure_ratio * calls as f64
                {
                    self.ratio_at_open = failed as f64 / calls as f64;
                    self.open(now);
                }
            }
            Phase::HalfOpen { out, succeeded } => {
                *out = out.saturating_sub(1);
                if !ok {
                    self.open(now);
                    return;
                }
                *succeeded += 1;
                if *succeeded >= self.options.probes {
                    self.close();
                }
            }
            Phase::Open { .. } => {}
        }
    }

    /// A call that was allowed ended without saying anything of the service.
    pub fn on_abandoned(&mut self, pass: Pass) {
        if pass.epoch != self.epoch {
            return;
        }
        if let Phase::HalfOpen { out, .. } = &mut self.phase {
            *out = out.saturating_sub(1);
        }
    }

    /// Where it stands at `now`: an open breaker whose time is over is half-open.
    pub fn state(&self, now: Nanos) -> BreakerState {
        match self.phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { until, .. } if now < until => BreakerState::Open,
            Phase::Open { .. } | Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Until when nothing passes, while it is open.
    pub fn open_until(&self) -> Option<Nanos> {
        match self.phase {
            Phase::Open { until, .. } => Some(until),
            Phase::Closed | Phase::HalfOpen { .. } => None,
        }
    }

    /// The share of failed calls in the window; while not closed, the share that opened it.
    pub fn failure_ratio(&self, now: Nanos) -> f64 {
        if !matches!(self.phase, Phase::Closed) {
            return self.ratio_at_open;
        }
        let (calls, failed) = self.window.totals(now);
        if calls == 0 { 0.0 } else { failed as f64 / calls as f64 }
    }

    /// How often it has opened.
    pub fn opens(&self) -> u64 {
        self.opens
    }

    /// Grows with each change of state.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Other limits from now on; the state stays, the window starts anew when its length changes. Where it is open, a
    /// new `open_for` counts from when it opened; where it is half-open, and as many probes as are asked for now have
    /// succeeded, it closes.
    ///
    /// # Errors
    /// As [`BreakerOptions::check`]; nothing changes then.
    pub fn reconfigure(&mut self, options: BreakerOptions) -> Result<(), GuardError> {
        options.check()?;
        if options.window != self.options.window {
            self.window = Window::new(options.window);
        }
        match &mut self.phase {
            Phase::Open { since, until } if options.open_for != self.options.open_for => {
                // Keeps the share that was drawn as jitter.
                let scale = options.open_for.as_secs_f64() / self.options.open_for.as_secs_f64();
                *until = since.plus(until.since(*since).mul_f64(scale));
            }
            // No probe would be let out any more, and none come back to close it.
            Phase::HalfOpen { succeeded, .. } if *succeeded >= options.probes => self.close(),
            Phase::Closed | Phase::Open { .. } | Phase::HalfOpen { .. } => {}
        }
        self.options = options;
        Ok(())
    }

    fn open(&mut self, now: Nanos) {
        let jitter = 1.0 + self.options.jitter * self.rng.f64();
        self.opens += 1;
        let until = now.plus(self.options.open_for.mul_f64(jitter));
        self.enter(Phase::Open { since: now, until });
    }

    fn close(&mut self) {
        self.window.clear();
        self.enter(Phase::Closed);
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.epoch += 1;
    }
}
