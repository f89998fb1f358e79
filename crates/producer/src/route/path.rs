//! Which way records go: the state machine, and the rule for those that wait.

use seawall_core::Nanos;

/// Which way records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// To the sink.
    Direct,
    /// The sink failed a moment ago: they wait in memory.
    Buffering,
    /// The sink is gone, or memory fills: to the disk.
    Spilling,
    /// The sink is back: from the disk to the sink, beside live records of other keys.
    Replaying,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Direct, Self::Buffering, Self::Spilling, Self::Replaying];

    /// The lower-case name used in metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Buffering => "buffering",
            Self::Spilling => "spilling",
            Self::Replaying => "replaying",
        }
    }
}

/// What the disk can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disk {
    /// There is none.
    None,
    Usable,
    /// Its last write failed, or its budget is used up.
    Trouble,
}

/// What is known at one moment.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// The present sink answered last.
    pub(crate) up: bool,
    /// Every sink's breaker is open.
    pub(crate) gone: bool,
    /// Memory is filled beyond the share from which on records are spilled.
    pub(crate) pressure: bool,
    /// Something that waits was promised to be synced, and no call can be begun for it.
    pub(crate) demand: bool,
    pub(crate) disk: Disk,
    /// Records on disk, or on their way to it.
    pub(crate) backlog: u64,
}

/// What to do with records that wait and cannot be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// They stay in memory.
    Hold,
    /// To the disk.
    Spill,
}

impl Facts {
    /// For records that wait while no call may be begun.
    pub(crate) fn route(&self) -> Route {
        let wanted = self.gone || self.pressure || self.demand;
        if wanted && self.disk == Disk::Usable { Route::Spill } else { Route::Hold }
    }

    fn state(&self) -> State {
        match (self.up, self.backlog) {
            (true, 0) => State::Direct,
            (true, _) => State::Replaying,
            (false, backlog) => {
                let spilling = self.gone || self.pressure || backlog > 0;
                if spilling && self.disk == Disk::Usable { State::Spilling } else { State::Buffering }
            }
        }
    }
}

/// Remembers the state, and tells its changes.
#[derive(Debug)]
pub(crate) struct Machine {
    state: State,
    since: Nanos,
}

impl Machine {
    pub(crate) fn new(now: Nanos) -> Self {
        Self { state: State::Direct, since: now }
    }

    /// Looks at the facts; the state that was left, where it changed.
    pub(crate) fn observe(&mut self, now: Nanos, facts: &Facts) -> Option<State> {
        let state = facts.state();
        if state == self.state {
            return None;
        }
        self.since = now;
        Some(std::mem::replace(&mut self.state, state))
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn any_facts()(
            up in any::<bool>(), gone in any::<bool>(), pressure in any::<bool>(), demand in any::<bool>(),
            disk in prop_oneof![Just(Disk::None), Just(Disk::Usable), Just(Disk::Trouble)], backlog in 0_u64..3,
        ) -> Facts {
            // A sink whose last call was answered has no open breaker.
            Facts { up, gone: gone && !up, pressure, demand, disk, backlog }
        }
    }

    proptest! {
        #[test]
        fn what_the_states_say_holds(all in proptest::collection::vec(any_facts(), 1..50)) {
            let mut machine = Machine::new(Nanos(0));
            for (at, facts) in all.into_iter().enumerate() {
                let before = machine.state();
                let left = machine.observe(Nanos(at as u64), &facts);
                prop_assert_eq!(left.is_some(), machine.state() != before);
                match machine.state() {
                    State::Direct => prop_assert!(facts.up && facts.backlog == 0),
                    State::Replaying => prop_assert!(facts.up && facts.backlog > 0),
                    State::Buffering => prop_assert!(!facts.up),
                    State::Spilling => prop_assert!(!facts.up && facts.disk == Disk::Usable),
                }
                // Nothing is sent to a disk that cannot take it, and nothing waits in memory that it could.
                let route = facts.route();
                prop_assert!(route == Route::Hold || facts.disk == Disk::Usable);
                if facts.disk == Disk::Usable && (facts.gone || facts.pressure || facts.demand) {
                    prop_assert_eq!(route, Route::Spill);
                }
                if !facts.gone && !facts.pressure && !facts.demand {
                    prop_assert_eq!(route, Route::Hold);
                }
            }
        }
    }
}
