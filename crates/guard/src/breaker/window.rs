//! Calls and failures of the last while, in ten slots: exact counts, forgotten a tenth at a time.

use seawall_core::Nanos;
use std::time::Duration;

const SLOTS: u64 = 10;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Which tenth since the clock's start this slot counts, plus one; 0 is never used.
    tick: u64,
    calls: u64,
    failed: u64,
}

#[derive(Debug)]
pub(super) struct Window {
    slot_ns: u64,
    slots: [Slot; SLOTS as usize],
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        let slot_ns = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX) / SLOTS;
        Self { slot_ns: slot_ns.max(1), slots: Default::default() }
    }

    pub(super) fn add(&mut self, now: Nanos, ok: bool) {
        let tick = self.tick(now);
        let slot = &mut self.slots[(tick % SLOTS) as usize];
        if slot.tick != tick {
            *slot = Slot { tick, calls: 0, failed: 0 };
        }
        slot.calls += 1;
        slot.failed += u64::from(!ok);
    }

    /// Calls and failed calls not older than the window.
    pub(super) fn totals(&self, now: Nanos) -> (u64, u64) {
        let tick = self.tick(now);
        let young = self.slots.iter().filter(|slot| slot.tick + SLOTS > tick && slot.tick <= tick);
        young.fold((0, 0), |(calls, failed), slot| (calls + slot.calls, failed + slot.failed))
    }

    pub(super) fn clear(&mut self) {
        self.slots = Default::default();
    }

    fn tick(&self, now: Nanos) -> u64 {
        now.0 / self.slot_ns + 1
    }
}
