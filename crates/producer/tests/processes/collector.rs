//! A sink over TCP: a client in the child, a server in the test that writes down what it took, in order.

use crate::stage::{self, Mood, Shelf};
use seawall_core::token::TOKEN_HEADER;
use seawall_core::{Class, Durability, Fault, Outgoing, Receipt, Sink, TopicPartition};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The client: one connection for each call.
pub(crate) struct TcpSink(pub(crate) SocketAddr);

impl TcpSink {
    async fn call(&self, records: &[Outgoing]) -> std::io::Result<()> {
        let mut request = Vec::new();
        for outgoing in records {
            let (key, n) = stage::named(outgoing);
            let id = outgoing.record.headers.get_str(TOKEN_HEADER).unwrap();
            request.extend(format!("{key} {n} {id}\n").into_bytes());
        }
        let mut stream = tokio::net::TcpStream::connect(self.0).await?;
        stream.write_all(&(request.len() as u32).to_be_bytes()).await?;
        stream.write_all(&request).await?;
        let mut answer = [0];
        stream.read_exact(&mut answer).await.map(|_| ())
    }
}

impl Sink for TcpSink {
    async fn send(&self, records: Vec<Outgoing>) -> Vec<Result<Receipt, Fault>> {
        let answer =
            self.call(&records).await.map_err(|error| Fault::new(Class::Transient, error.to_string()));
        let receipt = |outgoing: &Outgoing| Receipt {
            partition: TopicPartition::new(outgoing.topic.clone(), 0),
            offset: 0,
            durability: Durability::Replicated,
        };
        records.iter().map(|outgoing| answer.clone().map(|()| receipt(outgoing))).collect()
    }
}

/// The server. It lives as long as the test's process.
pub(crate) struct Collector {
    pub(crate) at: SocketAddr,
    pub(crate) shelf: Shelf,
    open: Arc<AtomicUsize>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let collector =
            Self { at: listener.local_addr().unwrap(), shelf: Shelf::new(), open: Arc::default() };
        let (shelf, open) = (collector.shelf.clone(), Arc::clone(&collector.open));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, shelf, open) = (stream.unwrap(), shelf.clone(), Arc::clone(&open));
                open.fetch_add(1, SeqCst);
                thread::spawn(move || {
                    // A child that dies in the middle of a request is what this is for.
                    let _ = serve(stream, &shelf);
                    open.fetch_sub(1, SeqCst);
                });
            }
        });
        collector
    }

    /// Waits until nothing of a dead child is on its way any more.
    pub(crate) fn settle(&self) {
        // Connections are accepted in order: once this one is answered, those before it are being served.
        let mut fence = TcpStream::connect(self.at).unwrap();
        fence.write_all(&0_u32.to_be_bytes()).unwrap();
        fence.read_exact(&mut [0]).unwrap();
        drop(fence);
        for _ in 0..30_000 {
            if self.open.load(SeqCst) == 0 {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("{} connections of a dead process are still open", self.open.load(SeqCst));
    }
}

fn serve(mut stream: TcpStream, shelf: &Shelf) -> std::io::Result<()> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut request = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut request)?;
    let text =
        String::from_utf8(request).map_err(|error| std::io::Error::new(ErrorKind::InvalidData, error))?;
    let mood = if text.is_empty() { Mood::Up } else { shelf.mood() };
    if matches!(mood, Mood::Up | Mood::AckLost) {
        shelf.put(text.lines().map(|line| {
            let mut words = line.split(' ');
            let mut word = || words.next().unwrap().to_owned();
            (word(), word().parse().unwrap(), word())
        }));
    }
    match mood {
        Mood::Up => stream.write_all(&[1]),
        // Until the client goes away.
        Mood::Hang => stream.read(&mut [0]).map(|_| ()),
        _ => Ok(()),
    }
}
