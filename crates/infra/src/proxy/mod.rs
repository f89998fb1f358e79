//! A TCP proxy that does to connections what networks do, on command.
//!
//! It stands here and not in the testkit because it must use nothing of the product: tests of every level
//! want it, and brokers must be told its address before they start
//! ([`KafkaOptions::proxied`](crate::KafkaOptions::proxied)). It knows no protocol, only bytes.
//!
//! A connection of which a fault has swallowed bytes can't be mended: it is ended when the fault is.

mod connections;
mod fault;
mod pump;
mod script;

pub use fault::{Fault, Kind, Toward};
pub use script::{Script, Step};

use connections::State;
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A proxy on a port of 127.0.0.1. Dropping it ends its connections.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What its threads see.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
}

impl Shared {
    /// A poisoned lock holds a whole state: each change is one statement.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FaultProxy {
    /// Listens on a free port; refuses connections until [`FaultProxy::pass_to`]. What faults leave to chance is
    /// drawn from `seed`.
    ///
    /// # Errors
    ///
    /// No port, or no thread.
    pub fn listen(seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { state: Mutex::new(State::new(seed)) });
        let accepting = Arc::clone(&shared);
        thread::Builder::new().name("fault-proxy".to_owned()).spawn(move || accept(&listener, &accepting))?;
        Ok(Self { address, shared })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where new connections are passed on to.
    pub fn pass_to(&self, upstream: SocketAddr) {
        self.shared.state().upstream = Some(upstream);
    }

    /// Puts `fault` in force in place of the one before.
    pub fn inject(&self, fault: Fault) {
        self.shared.state().inject(fault);
    }

    /// Ends the fault in force.
    pub fn heal(&self) {
        self.shared.state().heal();
    }

    /// How often a fault of each kind has done something to a connection: those that never did say nothing of
    /// whoever was to survive them.
    pub fn hits(&self) -> BTreeMap<Kind, u64> {
        self.shared.state().hits.clone()
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.shared.state().connections.len()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.closed = true;
        state.connections.end_all();
        drop(state);
        // Wakes the accepting thread; where that fails it is gone already.
        let _ = TcpStream::connect_timeout(&self.address, CONNECT_WITHIN);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        let upstream = {
            let mut state = shared.state();
            if state.closed {
                return;
            }
            match state.fault {
                Some(Fault::Refuse) => {
                    state.hit(Kind::Refuse);
                    None
                }
                _ => state.upstream,
            }
        };
        let (Ok(client), Some(upstream)) = (client, upstream) else { continue };
        let shared = Arc::clone(shared);
        // Without a thread the client sees its connection end.
        let _ = thread::Builder::new()
            .name("fault-proxy-pump".to_owned())
            .spawn(move || serve(client, upstream, &shared));
    }
}

/// Passes one connection on until it ends. A server that can't be reached looks like one that hangs up.
fn serve(client: TcpStream, upstream: SocketAddr, shared: &Arc<Shared>) {
    let Ok(server) = TcpStream::connect_timeout(&upstream, CONNECT_WITHIN) else { return };
    let Ok(pair) = connections::Pair::new(&client, &server) else { return };
    let Some(id) = shared.state().begin(pair) else { return };
    if let (Ok(from_server), Ok(to_client)) = (server.try_clone(), client.try_clone()) {
        let back = Arc::clone(shared);
        let answers = thread::Builder::new()
            .name("fault-proxy-pump".to_owned())
            .spawn(move || pump::pump(&back, id, Toward::Client, from_server, to_client));
        if let Ok(answers) = answers {
            pump::pump(shared, id, Toward::Server, client, server);
            let _ = answers.join();
        }
    }
    shared.state().connections.end(id);
}
