//! The connections that are open, and what is in force for them.

use super::Toward;
use super::fault::{Fault, Kind};
use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};

/// Both ends of a connection.
#[derive(Debug)]
pub(super) struct Pair {
    client: TcpStream,
    server: TcpStream,
    /// Bytes of it were swallowed.
    torn: bool,
}

impl Pair {
    pub(super) fn new(client: &TcpStream, server: &TcpStream) -> io::Result<Self> {
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        Ok(Self { client: client.try_clone()?, server: server.try_clone()?, torn: false })
    }

    fn end(&self) {
        // Either side may have hung up before.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

/// By number, in the order in which they were opened.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: BTreeMap<u64, Pair>,
    next: u64,
}

impl Connections {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn end(&mut self, id: u64) {
        if let Some(pair) = self.open.remove(&id) {
            pair.end();
        }
    }

    /// Ends all of them and says how many there were.
    pub(super) fn end_all(&mut self) -> u64 {
        let open = std::mem::take(&mut self.open);
        open.values().for_each(Pair::end);
        open.len() as u64
    }

    fn end_torn(&mut self) {
        self.open.values().filter(|pair| pair.torn).for_each(Pair::end);
    }
}

/// What becomes of a piece that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Passed on, with this done to it.
    On(Option<Fault>),
    /// Swallowed.
    Nowhere,
    /// Its connection ends in place of it.
    End,
}

/// Everything about a proxy that changes.
#[derive(Debug)]
pub(super) struct State {
    pub(super) fault: Option<Fault>,
    pub(super) upstream: Option<SocketAddr>,
    pub(super) connections: Connections,
    pub(super) hits: BTreeMap<Kind, u64>,
    pub(super) rng: fastrand::Rng,
    pub(super) closed: bool,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            fault: None,
            upstream: None,
            connections: Connections::default(),
            hits: BTreeMap::new(),
            rng: fastrand::Rng::with_seed(seed),
            closed: false,
        }
    }

    pub(super) fn hit(&mut self, kind: Kind) {
        *self.hits.entry(kind).or_default() += 1;
    }

    pub(super) fn inject(&mut self, fault: Fault) {
        if matches!(fault, Fault::Cut | Fault::Refuse) {
            let ended = self.connections.end_all();
            *self.hits.entry(fault.kind()).or_default() += ended;
        }
        if fault != Fault::Cut {
            self.heal();
            self.fault = Some(fault);
        }
    }

    pub(super) fn heal(&mut self) {
        self.fault = None;
        self.connections.end_torn();
    }

    /// Enters a connection; `None` where none is to be.
    pub(super) fn begin(&mut self, pair: Pair) -> Option<u64> {
        if self.closed || self.fault == Some(Fault::Refuse) {
            pair.end();
            return None;
        }
        let id = self.connections.next;
        self.connections.next += 1;
        self.connections.open.insert(id, pair);
        Some(id)
    }

    /// What becomes of a piece of connection `id`. Decided and marked under one lock, so that whoever heals
    /// knows all connections that are torn.
    pub(super) fn way(&mut self, id: u64, toward: Toward) -> Way {
        let Some(fault) = self.fault else { return Way::On(None) };
        if fault.swallows(toward) {
            self.hit(fault.kind());
            if let Some(pair) = self.connections.open.get_mut(&id) {
                pair.torn = true;
            }
            return Way::Nowhere;
        }
        match fault {
            Fault::LoseAnswer if toward == Toward::Client => {
                self.hit(Kind::LoseAnswer);
                Way::End
            }
            Fault::Delay { .. } | Fault::Throttle { .. } | Fault::Slice { .. } => {
                self.hit(fault.kind());
                Way::On(Some(fault))
            }
            _ => Way::On(None),
        }
    }
}
