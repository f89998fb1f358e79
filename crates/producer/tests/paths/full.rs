//! At the end of memory and disk.

use crate::stage::{Mood, outgoing, sized};
use crate::{SECOND, World, options, until};
use seawall_core::{Clock, Fault, Header, Outgoing};
use seawall_producer::{
    Event, Happening, ProducerOptions, Replicated, SendError, SpillOptions, State, Synced,
};
use seawall_testkit::runtime::live;
use seawall_wal::disk::Faults;
use seawall_wal::{Disk, DiskFile};
use std::path::Path;
use std::time::Duration;

/// Memory for 5 of the [`big`] ones, and a disk for less than 20.
fn small() -> ProducerOptions {
    let spill = SpillOptions { disk_bytes_max: 1 << 20, ..SpillOptions::new("/spill", "tests") };
    ProducerOptions {
        memory_bytes_max: 256 << 10,
        record_bytes_max: 60_000,
        batch_bytes: 60_000,
        spill: Some(spill),
        ..options()
    }
}

fn big(n: u64) -> Outgoing {
    sized("a", n, 50_000)
}

#[test]
fn at_the_end_of_memory_and_disk_a_send_waits_then_is_refused_by_name() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open(small()).unwrap();
        world.shelf.set(Mood::Down);
        let (mut synced, mut full) = (0_u64, None);
        for n in 0..60 {
            match producer.send::<Synced>(big(n)).await {
                Ok(_) => synced = n + 1,
                Err(error) => {
                    full = Some((n, error));
                    break;
                }
            }
        }
        let (refused_at, error) = full.unwrap();
        assert!(error.to_string().contains("budget is used up"), "{error}");
        assert!(synced > 5 && refused_at >= synced);
        let many = (100..120).map(|n| producer.send::<Synced>(big(n)));
        let many = futures_util::future::join_all(many).await;
        let named = |e: &Result<Synced, SendError>| matches!(e, Err(SendError::Full { cause: Some(_), .. }));
        assert!(many.iter().any(named), "{many:?}");
        // What would have room does not overtake what has none.
        let records = (130..140).map(big).chain([outgoing("a", 140)]).collect();
        let answers = producer.send_all::<Synced>(records).await;
        let refused: Vec<_> = answers.iter().skip_while(|answer| !named(answer)).collect();
        assert!(refused.len() > 1 && refused.into_iter().all(named), "{answers:?}");
        let snapshot = producer.snapshot();
        assert!(snapshot.full > 0 && snapshot.spill_trouble.is_some());
        // What is left is less than the next record takes.
        let (used, max) = (snapshot.spill_bytes, snapshot.spill_bytes_max);
        assert!(used <= max && used * 8 > max * 7, "full, and shown as {used} of {max}");
        world.shelf.set(Mood::Up);
        until(&producer, |s| s.state == State::Direct && s.spill_trouble.is_none()).await;
        for n in 0..synced {
            assert!(world.shelf.count("a", n) > 0, "{n} had a receipt");
        }
        producer.send::<Replicated>(big(200)).await.unwrap();
    });
    world.shelf.judge().unwrap();
}

#[test]
fn a_full_spill_says_so_once_though_its_progress_is_written() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open(small()).unwrap();
        world.shelf.set(Mood::Down);
        for n in 0..4 {
            producer.send::<Synced>(outgoing("b", n)).await.unwrap();
        }
        let mut n = 0;
        while producer.send::<Synced>(big(n)).await.is_ok() {
            n += 1;
        }
        // Those of `b` are delivered, one after the other, and that is written down; nothing else finds room.
        let waits = producer.send::<Synced>(big(n));
        let delivers = async {
            for done in 1..=4 {
                world.shelf.set(Mood::Alone);
                until(&producer, |s| s.replayed_records >= done).await;
                world.shelf.set(Mood::Down);
                for _ in 0..300 {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    assert!(producer.snapshot().spill_trouble.is_some());
                }
            }
        };
        let (waited, ()) = futures_util::future::join(waits, delivers).await;
        assert!(waited.is_err());
        let snapshot = producer.snapshot();
        let said = |e: &&Event| matches!(e.what, Happening::SpillTrouble { .. });
        assert_eq!(snapshot.events.iter().filter(said).count(), 1, "{:#?}", snapshot.events);
        world.shelf.set(Mood::Up);
        until(&producer, |s| s.backlog_records == 0 && s.spill_trouble.is_none()).await;
    });
    world.shelf.judge().unwrap();
}

#[test]
fn a_disk_full_of_something_else_is_named() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open(options()).unwrap();
        world.disk.set_faults(Faults { space_bytes: 1, ..Faults::default() });
        world.shelf.set(Mood::Down);
        let mut n = 0;
        let error = loop {
            let outgoing = sized("a", n, 500_000);
            match producer.send::<Synced>(outgoing).await {
                Ok(_) => n += 1,
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("no space left"), "{error}");
        world.disk.set_faults(Faults::default());
        producer.send::<Synced>(outgoing("a", n)).await.unwrap();
        let fault = Fault::from(error);
        assert_eq!(fault.class(), seawall_core::Class::Transient);
    });
}

#[test]
fn a_slow_sink_is_not_waited_for_longer_because_the_disk_is_full() {
    let mut world = World::new();
    world.shelf.latency = Duration::from_millis(600);
    live(&world.clock, async {
        let producer = world.open(options()).unwrap();
        world.disk.set_faults(Faults { space_bytes: 1, ..Faults::default() });
        world.shelf.set(Mood::Down);
        let huge = |n: u64| sized("a", n, 500_000);
        let mut n = 0;
        while producer.send::<Synced>(huge(n)).await.is_ok() {
            n += 1;
        }
        // It takes other keys alone, so that no room comes back.
        world.shelf.set(Mood::Alone);
        producer.send::<Replicated>(outgoing("b", 0)).await.unwrap();
        // One more for the disk, which is asked again and again.
        let waits = tokio::spawn({
            let producer = producer.clone();
            async move { producer.send::<Synced>(huge(n + 1)).await }
        });
        tokio::time::sleep(10 * SECOND).await;
        assert!(producer.snapshot().spill_trouble.is_some(), "the disk takes nothing");
        for n in 0..5 {
            let begun = world.clock.now();
            producer.send::<Replicated>(outgoing(&format!("k{n}"), n)).await.unwrap();
            let took = world.clock.now().since(begun);
            assert!(took < SECOND, "the sink had answered: {took:?}");
        }
        assert!(!waits.is_finished());
    });
    world.shelf.judge().unwrap();
}

fn with_headers(n: u64, headers: usize) -> Outgoing {
    let mut outgoing = outgoing("a", n);
    outgoing.record.headers = std::iter::repeat_n(Header::named("", ""), headers).collect();
    outgoing
}

#[test]
fn headers_take_room_in_memory_beside_their_bytes() {
    let world = World::new();
    live(&world.clock, async {
        let producer = world.open(ProducerOptions { spill: None, ..options() }).unwrap();
        world.shelf.set(Mood::Hang);
        // The last of them is its id.
        let one = producer.send::<Replicated>(with_headers(0, 127));
        let many = producer.send_all::<Replicated>((1..4).map(|n| with_headers(n, 127)).collect());
        let look = async {
            tokio::time::sleep(SECOND).await;
            assert!(producer.snapshot().memory_bytes >= 4 * 128 * 64, "{:#?}", producer.snapshot());
            world.shelf.set(Mood::Up);
            producer.close(Duration::ZERO).await;
        };
        let _ = tokio::join!(one, many, look);
        assert_eq!((producer.snapshot().memory_bytes, producer.snapshot().memory_records), (0, 0));
    });
}

#[test]
fn letters_of_many_empty_headers_stay_within_the_disk_s_budget() {
    let world = World::new();
    live(&world.clock, async {
        let options = ProducerOptions {
            memory_bytes_max: 128 << 20,
            record_bounds: false,
            max_block: Duration::ZERO,
            ..small()
        };
        let max = options.spill.as_ref().unwrap().disk_bytes_max;
        let producer = world.open(options).unwrap();
        world.shelf.set(Mood::Down);
        let letters = (0..20).map(|n| with_headers(n, 50_000)).collect();
        let answers = producer.send_all::<Synced>(letters).await;
        let taken = answers.iter().filter(|answer| answer.is_ok()).count();
        let dir = Path::new("/spill/log");
        let files = world.disk.list(dir).unwrap().into_iter().map(|name| dir.join(name));
        let used: u64 = files.map(|path| world.disk.open_read_only(&path).unwrap().len().unwrap()).sum();
        assert!(used <= max, "{used} bytes of {max}");
        assert!((3..20).contains(&taken), "{taken}: {answers:?}");
        world.shelf.set(Mood::Up);
        until(&producer, |s| s.backlog_records == 0).await;
    });
}
