//! The fault proxy in front of a server that echoes, each fault by what its client sees.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "a throttle is a matter of time")]

use seawall_infra::{Fault, FaultProxy, Kind, Toward};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// What "nothing comes" is believed after.
const SILENCE: Duration = Duration::from_millis(300);

struct Stage {
    proxy: FaultProxy,
    /// Bytes that have reached the server.
    arrived: Arc<AtomicU64>,
}

fn stage() -> Stage {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = FaultProxy::listen(1).unwrap();
    proxy.pass_to(listener.local_addr().unwrap());
    let arrived = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&arrived);
    thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, count) = (client.unwrap(), Arc::clone(&count));
            thread::spawn(move || {
                let mut bytes = [0; 4_096];
                while let Ok(read @ 1..) = client.read(&mut bytes) {
                    count.fetch_add(read as u64, Ordering::SeqCst);
                    if client.write_all(&bytes[..read]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    Stage { proxy, arrived }
}

impl Stage {
    fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.proxy.address()).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    }

    fn until_arrived(&self, bytes: u64) {
        let since = Instant::now();
        while self.arrived.load(Ordering::SeqCst) < bytes {
            assert!(since.elapsed() < PATIENCE, "only {:?} bytes arrived", self.arrived);
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn hit(&self, kind: Kind) -> bool {
        self.proxy.hits().get(&kind).is_some_and(|hits| *hits > 0)
    }
}

fn echoes(client: &mut TcpStream, bytes: &[u8]) {
    client.write_all(bytes).unwrap();
    let mut said = vec![0; bytes.len()];
    client.read_exact(&mut said).unwrap();
    assert_eq!(said, bytes);
}

fn is_silent(client: &mut TcpStream) {
    client.set_read_timeout(Some(SILENCE)).unwrap();
    let error = client.read(&mut [0; 1]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    client.set_read_timeout(Some(PATIENCE)).unwrap();
}

fn has_ended(client: &mut TcpStream) {
    match client.read(&mut [0; 1]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("it goes on: {other:?}"),
    }
}

#[test]
fn without_a_fault_bytes_pass_both_ways_and_so_does_the_end() {
    let stage = stage();
    let mut client = stage.connect();
    echoes(&mut client, &vec![7; 1 << 20]);
    client.shutdown(std::net::Shutdown::Write).unwrap();
    has_ended(&mut client);
    assert!(stage.proxy.hits().is_empty(), "{:?}", stage.proxy.hits());
}

#[test]
fn cut_ends_what_is_open_and_lets_new_ones_in() {
    let stage = stage();
    let mut client = stage.connect();
    echoes(&mut client, b"before");
    stage.proxy.inject(Fault::Cut);
    has_ended(&mut client);
    echoes(&mut stage.connect(), b"after");
    assert!(stage.hit(Kind::Cut));
}

#[test]
fn refuse_ends_what_is_open_and_what_comes() {
    let stage = stage();
    let mut client = stage.connect();
    echoes(&mut client, b"before");
    stage.proxy.inject(Fault::Refuse);
    has_ended(&mut client);
    has_ended(&mut stage.connect());
    stage.proxy.heal();
    echoes(&mut stage.connect(), b"after");
    assert!(stage.hit(Kind::Refuse));
}

#[test]
fn a_black_hole_takes_all_and_gives_nothing_and_its_end_ends_what_it_took_from() {
    let stage = stage();
    let (mut open, mut idle) = (stage.connect(), stage.connect());
    echoes(&mut open, b"before");
    echoes(&mut idle, b"before");
    stage.proxy.inject(Fault::BlackHole);
    let mut new = stage.connect();
    for client in [&mut open, &mut new] {
        client.write_all(b"swallowed").unwrap();
        is_silent(client);
    }
    assert_eq!(stage.arrived.load(Ordering::SeqCst), 12);
    stage.proxy.heal();
    has_ended(&mut open);
    has_ended(&mut new);
    echoes(&mut idle, b"untouched");
    assert!(stage.hit(Kind::BlackHole));
}

#[test]
fn a_one_way_drop_lets_the_other_way_through() {
    let stage = stage();
    let mut client = stage.connect();
    echoes(&mut client, b"before");
    stage.proxy.inject(Fault::Drop(Toward::Client));
    client.write_all(b"heard").unwrap();
    stage.until_arrived(11);
    is_silent(&mut client);
    stage.proxy.inject(Fault::Drop(Toward::Server));
    has_ended(&mut client);
    let mut client = stage.connect();
    client.write_all(b"unheard").unwrap();
    is_silent(&mut client);
    assert_eq!(stage.arrived.load(Ordering::SeqCst), 11);
    assert!(stage.hit(Kind::DropAnswers) && stage.hit(Kind::DropRequests));
}

#[test]
fn a_lost_answer_is_that_of_a_request_that_arrived() {
    let stage = stage();
    let mut client = stage.connect();
    stage.proxy.inject(Fault::LoseAnswer);
    client.write_all(b"apply this").unwrap();
    has_ended(&mut client);
    assert_eq!(stage.arrived.load(Ordering::SeqCst), 10);
    assert!(stage.hit(Kind::LoseAnswer));
}

#[test]
fn delay_throttle_and_slice_change_the_pace_and_no_byte() {
    let stage = stage();
    let mut client = stage.connect();
    let bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let delay = Duration::from_millis(120);
    stage.proxy.inject(Fault::Delay { least: delay, more: Duration::from_millis(1) });
    let since = Instant::now();
    echoes(&mut client, b"once each way");
    // A sleep lasts at least as long as it says, whatever the load.
    assert!(since.elapsed() >= 2 * delay);
    stage.proxy.inject(Fault::Throttle { bytes_per_second: 40_000 });
    let since = Instant::now();
    echoes(&mut client, &bytes);
    assert!(since.elapsed() >= Duration::from_millis(200));
    stage.proxy.inject(Fault::Slice { bytes_max: 100 });
    echoes(&mut client, &bytes);
    for kind in [Kind::Delay, Kind::Throttle, Kind::Slice] {
        assert!(stage.hit(kind), "{kind}");
    }
}

#[test]
fn a_server_that_is_away_looks_like_one_that_hangs_up_and_a_dropped_proxy_is_gone() {
    let stage = stage();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = FaultProxy::listen(1).unwrap();
    let address = proxy.address();
    // Nothing to pass to yet; then somewhere where nobody is.
    has_ended(&mut TcpStream::connect(address).unwrap());
    proxy.pass_to(nobody);
    has_ended(&mut TcpStream::connect(address).unwrap());
    drop(proxy);
    let since = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(since.elapsed() < PATIENCE, "it still listens");
        thread::sleep(Duration::from_millis(10));
    }
    let mut client = stage.connect();
    echoes(&mut client, b"before");
    drop(stage);
    has_ended(&mut client);
}
