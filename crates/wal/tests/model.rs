//! Any sequence of calls against a `Vec`, with reopening and power cuts in between.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod harness;

use harness::{NOW, open, options, read_all};
use proptest::prelude::*;
use seawall_wal::disk::SimDisk;
use seawall_wal::{Limit, Log, Options, Scan, WalError};

#[derive(Clone, Debug)]
enum Op {
    Append(Vec<u16>),
    Sync,
    Truncate(u8),
    Read { from: u8, frames: u8, bytes: u16 },
    Close,
    Drop,
    Crash,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => prop::collection::vec(prop_oneof![9 => 0..300_u16, 1 => 3000..9000_u16], 0..6).prop_map(Op::Append),
        4 => Just(Op::Sync),
        1 => any::<u8>().prop_map(Op::Truncate),
        2 => (any::<u8>(), 0..40_u8, 0..2000_u16).prop_map(|(from, frames, bytes)| Op::Read { from, frames, bytes }),
        1 => Just(Op::Close),
        1 => Just(Op::Drop),
        1 => Just(Op::Crash),
    ]
}

/// The log beside what it should hold: `frames[i]` has number `i`.
struct Pair {
    disk: SimDisk,
    options: Options,
    log: Option<Log<SimDisk>>,
    frames: Vec<Vec<u8>>,
    stamp: u8,
}

impl Pair {
    fn reopen(&mut self, at_least: usize) {
        self.log = None;
        let (log, recovery) = open(&self.disk, &self.options).unwrap();
        let next = recovery.next as usize;
        assert!(
            (at_least..=self.frames.len()).contains(&next),
            "{next} of {}, {at_least} safe",
            self.frames.len()
        );
        self.frames.truncate(next);
        let found = read_all(&log.reader(), recovery.first).unwrap();
        assert_eq!(found, self.frames[recovery.first as usize..]);
        self.log = Some(log);
    }

    fn apply(&mut self, op: Op) {
        let mut log = self.log.take().unwrap();
        match op {
            Op::Append(sizes) => {
                self.stamp = self.stamp.wrapping_add(1);
                let batch: Vec<_> = sizes.iter().map(|len| vec![self.stamp; usize::from(*len)]).collect();
                let appended = log.append(&batch, NOW).unwrap();
                assert_eq!(appended.first, self.frames.len() as u64);
                self.frames.extend(batch);
                assert_eq!((appended.next, log.next()), (self.frames.len() as u64, self.frames.len() as u64));
            }
            Op::Sync => assert_eq!(log.sync(NOW).unwrap().next, self.frames.len() as u64),
            Op::Truncate(part) => {
                let before = log.durable() * u64::from(part) / 255;
                let first = log.truncate_front(before).unwrap();
                assert!(first <= before || first == log.first());
            }
            Op::Read { from, frames, bytes } => {
                let from = log.next() * u64::from(from) / 255;
                let limit = Limit { frames: frames.into(), bytes: bytes.into() };
                match log.reader().read(from, limit) {
                    Ok(read) => {
                        assert_eq!(read.frames.is_empty(), from == log.durable());
                        for (at, frame) in read.frames.iter().enumerate() {
                            assert_eq!(frame.seq, from + at as u64);
                            assert_eq!(frame.payload, self.frames[frame.seq as usize]);
                        }
                    }
                    Err(WalError::OutOfRange { first, next, .. }) => {
                        assert_eq!((first, next), (log.first(), log.durable()));
                        assert!(from < first || from > next);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            Op::Close => {
                log.close(NOW).unwrap();
                return self.reopen(self.frames.len());
            }
            Op::Drop => {
                // The process dies, the page cache stays.
                drop(log);
                return self.reopen(self.frames.len());
            }
            Op::Crash => {
                let durable = log.durable() as usize;
                drop(log);
                self.disk.crash();
                return self.reopen(durable);
            }
        }
        self.log = Some(log);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if std::env::var_os("SEAWALL_SOAK").is_some() { 20_000 } else { 400 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_log_is_a_vec_that_survives(
        seed in any::<u64>(),
        tail_only in any::<bool>(),
        zero_ahead_bytes in 0..9000_u64,
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let scan = if tail_only { Scan::Tail } else { Scan::All };
        let options = Options { scan, zero_ahead_bytes, ..options("/log") };
        let disk = SimDisk::new(seed);
        let (log, _) = open(&disk, &options).unwrap();
        let mut pair = Pair { disk, options, log: Some(log), frames: Vec::new(), stamp: 0 };
        for op in ops {
            pair.apply(op);
        }
    }
}
