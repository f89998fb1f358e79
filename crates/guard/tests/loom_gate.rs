//! Every interleaving of the gate's word: `RUSTFLAGS="--cfg loom" cargo test -p seawall-guard --test loom_gate
//! --release` (its own target directory spares rebuilding everything afterwards).
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use seawall_guard::concurrency::word::{Line, Word};

/// The semaphore behind the word, as far as the word knows it: permits come in, a waiter or nobody takes them.
struct ModelLine(AtomicU32);

impl ModelLine {
    fn try_claim(&self) -> bool {
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1)).is_ok()
    }
}

impl Line for ModelLine {
    fn add(&self, n: u32) {
        self.0.fetch_add(n, Ordering::AcqRel);
    }

    fn take_back(&self) -> u32 {
        self.0.swap(0, Ordering::AcqRel)
    }
}

struct Gate {
    word: Word,
    line: ModelLine,
}

impl Gate {
    fn new(free: u32) -> Arc<Self> {
        Arc::new(Self { word: Word::new(free), line: ModelLine(AtomicU32::new(0)) })
    }

    fn put(&self, n: u32) {
        if self.word.put(n) {
            self.word.pump(&self.line);
        }
    }

    fn enter(&self) {
        assert!(self.word.enter(10));
        self.word.pump(&self.line);
    }

    fn leave(&self) {
        self.word.leave();
        self.word.pump(&self.line);
    }
}

/// A waiter that lines up while the last permit comes back is always served: no lost wake-up.
#[test]
fn a_returned_permit_reaches_whoever_lines_up() {
    loom::model(|| {
        let gate = Gate::new(1);
        assert_eq!(gate.word.try_take(1), 1);
        let releaser = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || gate.put(1))
        };
        gate.enter();
        releaser.join().unwrap();
        assert!(gate.line.try_claim(), "the permit lies in the line for the waiter");
        gate.leave();
        assert_eq!(gate.word.read(), (0, 0));
        gate.put(1);
        assert_eq!(gate.word.read(), (1, 0));
    });
}

/// A waiter that gives up while its permit is on the way strands nothing in the line.
#[test]
fn a_waiter_that_leaves_strands_no_permit() {
    loom::model(|| {
        let gate = Gate::new(1);
        assert_eq!(gate.word.try_take(1), 1);
        let releaser = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || gate.put(1))
        };
        gate.enter();
        gate.leave();
        releaser.join().unwrap();
        assert_eq!(gate.word.read(), (1, 0));
    });
}

/// Tokens and permits are taken together, and lowering the limit under way loses neither.
#[test]
fn paid_takes_and_a_lowered_limit_add_up() {
    loom::model(|| {
        let gate = Gate::new(2);
        gate.word.add_tokens(1, 10);
        let taker = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || u32::from(gate.word.try_take_paid(1)))
        };
        let resizer = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || gate.word.withdraw(2))
        };
        let here = u32::from(gate.word.try_take_paid(1));
        let taken = here + taker.join().unwrap();
        resizer.join().unwrap();
        assert!(taken <= 1, "one token admits one");
        assert_eq!(gate.word.take_tokens(9), 1 - taken);
        gate.put(taken);
        assert_eq!(gate.word.read(), (0, 0));
    });
}

/// A batch takes all its permits and tokens or none, whoever else takes some.
#[test]
fn a_paid_batch_is_all_or_nothing() {
    loom::model(|| {
        let gate = Gate::new(3);
        gate.word.add_tokens(2, 10);
        let taker = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || 2 * u32::from(gate.word.try_take_paid(2)))
        };
        let here = u32::from(gate.word.try_take_paid(1));
        let there = taker.join().unwrap();
        assert!(here + there == 1 || here + there == 2, "{here} + {there} of two tokens");
        assert_eq!(gate.word.take_tokens(9), 2 - here - there);
        gate.put(here + there);
        assert_eq!(gate.word.read(), (3, 0));
    });
}

/// Between a permit's return and its way into the line, a newcomer must not snatch it.
#[test]
fn a_newcomer_never_overtakes_the_line() {
    loom::model(|| {
        let gate = Gate::new(1);
        gate.word.add_tokens(2, 10);
        assert!(gate.word.try_take_paid(1));
        gate.enter();
        let releaser = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || gate.put(1))
        };
        assert!(!gate.word.try_take_paid(1));
        assert_eq!(gate.word.try_take(1), 0);
        releaser.join().unwrap();
        assert!(gate.line.try_claim());
        gate.leave();
    });
}
