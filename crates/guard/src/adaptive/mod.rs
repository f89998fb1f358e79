//! A concurrency limit that follows the latency.
//!
//! Below its knee a service answers as fast as ever, however many calls are in flight; above it the calls
//! queue, and the latency grows with them. So the ratio of the latency without a queue (the baseline) to the
//! latency now, the *gradient*, tells how much of what is in flight is only queued. Every window of samples
//! the limit moves towards `limit × gradient + √limit`: the first term sheds the queue, the second probes
//! upwards. (The gradient and the head-room are those of Netflix's concurrency-limits, which has them from
//! TCP Vegas.)
//!
//! Two things are done otherwise than there. A baseline averaged over the long run drifts up under sustained
//! overload and takes the limit along; here it only falls, and every `probe_every` windows the limit is
//! halved for one window to measure it anew (Envoy's gradient controller does likewise). And answers that say
//! "overloaded" are believed in proportion, as DCTCP believes its marks (Alizadeh et al., SIGCOMM 2010, section
//! 3.1): α, an average over round trips of the share of such answers, cuts the limit by `α × (1 - decrease)` once
//! per round trip that had any, and takes away the head-room as it comes near [`BORNE`]. A cut of the same size for
//! every round trip with an answer of that kind, as in TCP and in Vector's adaptive request concurrency, sinks to
//! the minimum under a few per cent of refusals that have nothing to do with the load: the more is in flight, the
//! surer is one of them.

use crate::guard::GuardError;
use seawall_core::Nanos;
use std::time::Duration;

/// From this share of overload answers on the limit no longer grows; below it they are borne as chance.
pub const BORNE: f64 = 0.1;

/// The weight of the last round trip in α. DCTCP takes 1/16 against packet marks in thousands; here a round trip has
/// tens of answers, and a service that refuses everything must be believed within a few.
const ROUND_WEIGHT: f64 = 0.25;

/// The bounds and the temper of an adaptive limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveOptions {
    /// Never below, at least 1.
    pub min: u32,
    /// Never above; at least `min`, at most the static concurrency limit.
    pub max: u32,
    /// Where it starts, `min` to `max`.
    pub initial: u32,
    /// How far the latency may rise above the baseline before the limit falls, as a factor: 1 to 10.
    pub tolerance: f64,
    /// How fast it moves towards its goal each window: above 0, at most 1.
    pub smoothing: f64,
    /// The factor of a cut when every answer of a round trip says "overloaded", and less of a cut when fewer do: 0.1
    /// to 0.99.
    pub decrease: f64,
    /// Samples in a window, 1 to 10,000.
    pub window_samples: u32,
    /// Windows between two measurements of the baseline, 10 to 1,000,000.
    pub probe_every: u32,
}

impl Default for AdaptiveOptions {
    fn default() -> Self {
        Self {
            min: 1,
            max: 500,
            initial: 20,
            tolerance: 1.5,
            smoothing: 0.2,
            decrease: 0.9,
            window_samples: 20,
            probe_every: 500,
        }
    }
}

impl AdaptiveOptions {
    /// Checks the bounds, given the static concurrency limit.
    ///
    /// # Errors
    /// [`GuardError`] naming the field.
    pub fn check(&self, concurrency: u32) -> Result<(), GuardError> {
        GuardError::unless(self.min >= 1, "adaptive.min", self.min, "at least 1")?;
        GuardError::unless(
            (self.min..=concurrency).contains(&self.max),
            "adaptive.max",
            self.max,
            format_args!("between adaptive.min ({}) and concurrency.limit ({concurrency})", self.min),
        )?;
        GuardError::unless(
            (self.min..=self.max).contains(&self.initial),
            "adaptive.initial",
            self.initial,
            format_args!("between adaptive.min ({}) and adaptive.max ({})", self.min, self.max),
        )?;
        let holds = (1.0..=10.0).contains(&self.tolerance);
        GuardError::unless(holds, "adaptive.tolerance", self.tolerance, "between 1 and 10")?;
        let holds = self.smoothing > 0.0 && self.smoothing <= 1.0;
        GuardError::unless(holds, "adaptive.smoothing", self.smoothing, "above 0, at most 1")?;
        let holds = (0.1..=0.99).contains(&self.decrease);
        GuardError::unless(holds, "adaptive.decrease", self.decrease, "between 0.1 and 0.99")?;
        let holds = (1..=10_000).contains(&self.window_samples);
        GuardError::unless(holds, "adaptive.window_samples", self.window_samples, "between 1 and 10000")?;
        let holds = (10..=1_000_000).contains(&self.probe_every);
        GuardError::unless(holds, "adaptive.probe_every", self.probe_every, "between 10 and 1000000")
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    samples: u32,
    sum_ns: f64,
    in_flight_max: u32,
}

/// Answers of one round trip.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    answers: u32,
    overloaded: u32,
    ends: Nanos,
}

/// Measuring the baseline at half the limit. What was in flight before still carries the old queue.
#[derive(Clone, Copy, Debug)]
struct Probe {
    discard: u32,
}

/// The limit as a state machine. Pure: time is a parameter, and it does no more than compute.
#[derive(Debug)]
pub struct Adaptive {
    options: AdaptiveOptions,
    limit: f64,
    baseline_ns: Option<f64>,
    window: Window,
    windows: u32,
    probe: Option<Probe>,
    round: Round,
    /// The share of overload answers, averaged over round trips. Starts at 1: the first ones are believed.
    overload: f64,
}

impl Adaptive {
    /// A limit at its start. `concurrency` is the static limit.
    ///
    /// # Errors
    /// As [`AdaptiveOptions::check`].
    pub fn new(options: AdaptiveOptions, concurrency: u32) -> Result<Self, GuardError> {
        options.check(concurrency)?;
        Ok(Self {
            options,
            limit: f64::from(options.initial),
            baseline_ns: None,
            window: Window::default(),
            windows: 0,
            probe: None,
            round: Round::default(),
            overload: 1.0,
        })
    }

    /// The limit in force, always within `min` and `max`.
    pub fn limit(&self) -> u32 {
        let limit = if self.probe.is_some() { self.limit / 2.0 } else { self.limit };
        (limit as u32).clamp(self.options.min, self.options.max)
    }

    /// The bounds and the temper in force.
    pub fn options(&self) -> AdaptiveOptions {
        self.options
    }

    /// The latency without a queue, as far as it is known.
    pub fn baseline(&self) -> Option<Duration> {
        self.baseline_ns.map(|ns| Duration::from_nanos(ns as u64))
    }

    /// A call has ended at `now` after `rtt`, with `in_flight` calls out (itself included), and its answer did
    /// or did not say that the service is overloaded. The limit in force follows from [`Adaptive::limit`].
    pub fn on_sample(&mut self, now: Nanos, rtt: Duration, in_flight: u32, overloaded: bool) {
        self.round.answers += 1;
        self.round.overloaded += u32::from(overloaded);
        if now >= self.round.ends {
            self.end_round(now, rtt);
        }
        if overloaded {
            return;
        }
        if let Some(probe) = &mut self.probe
            && probe.discard > 0
        {
            probe.discard -= 1;
            return;
        }
        self.window.samples += 1;
        self.window.sum_ns += rtt.as_nanos() as f64;
        self.window.in_flight_max = self.window.in_flight_max.max(in_flight);
        if self.window.samples >= self.options.window_samples {
            self.end_window(in_flight);
        }
    }

    /// Other bounds from now on; what was learnt stays.
    ///
    /// # Errors
    /// As [`AdaptiveOptions::check`]; nothing changes then.
    pub fn reconfigure(&mut self, options: AdaptiveOptions, concurrency: u32) -> Result<(), GuardError> {
        options.check(concurrency)?;
        self.options = options;
        self.limit = self.limit.clamp(f64::from(options.min), f64::from(options.max));
        Ok(())
    }

    fn end_round(&mut self, now: Nanos, rtt: Duration) {
        // The answers to what is in flight already will say the same; they are no new news.
        let round_trip = self.baseline_ns.map_or(rtt, |ns| Duration::from_nanos(ns as u64).max(rtt));
        let ended =
            std::mem::replace(&mut self.round, Round { ends: now.plus(round_trip), ..Round::default() });
        let share = f64::from(ended.overloaded) / f64::from(ended.answers.max(1));
        self.overload += ROUND_WEIGHT * (share - self.overload);
        if ended.overloaded > 0 {
            self.move_to(self.limit * (1.0 - self.overload * (1.0 - self.options.decrease)));
        }
    }

    fn end_window(&mut self, in_flight: u32) {
        let window = std::mem::take(&mut self.window);
        let latency = (window.sum_ns / f64::from(window.samples)).max(1.0);
        if self.probe.take().is_some() {
            self.baseline_ns = Some(latency);
            return;
        }
        let baseline = self.baseline_ns.map_or(latency, |known| known.min(latency));
        self.baseline_ns = Some(baseline);
        let gradient = (self.options.tolerance * baseline / latency).clamp(0.5, 1.0);
        let head_room = self.limit.sqrt() * (1.0 - self.overload / BORNE).max(0.0);
        let goal = self.limit * gradient + head_room;
        // A limit nobody reaches must not grow: it would protect nothing when the load comes.
        if goal <= self.limit || window.in_flight_max >= self.limit() / 2 {
            self.move_to(self.limit + self.options.smoothing * (goal - self.limit));
        }
        self.windows += 1;
        if self.windows >= self.options.probe_every {
            self.windows = 0;
            self.probe = Some(Probe { discard: in_flight });
        }
    }

    fn move_to(&mut self, limit: f64) {
        self.limit = limit.clamp(f64::from(self.options.min), f64::from(self.options.max));
    }
}
