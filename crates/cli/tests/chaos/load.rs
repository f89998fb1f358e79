//! What is written: for each key one record after the other, each with a token of its own.

use super::TOPIC;
use bytes::Bytes;
use seawall_core::token::TOKEN_HEADER;
use seawall_core::{Header, Outgoing, Record, Sink};
use seawall_kafka::{Connection, KafkaSink, SinkOptions};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

const KEYS: usize = 48;
const PAUSE: Duration = Duration::from_millis(60);

/// What the producer knows of its records.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Tokens of the records with a receipt.
    pub(crate) acked: BTreeSet<String>,
    /// Of those that may be written or not.
    pub(crate) unknown: BTreeSet<String>,
}

pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Written>>,
}

pub(crate) fn start(bootstrap: String) -> Load {
    let options = SinkOptions { delivery_timeout: Duration::from_mins(4), ..SinkOptions::default() };
    let mut connection = Connection::new(bootstrap.split(','));
    connection.properties.insert("topic.metadata.refresh.interval.ms".to_owned(), "2000".to_owned());
    connection.properties.insert("socket.timeout.ms".to_owned(), "3000".to_owned());
    let sink = Arc::new(KafkaSink::open(&connection, &options).unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    // One task for each key, so that a partition that is away holds up only its own.
    let tasks = (0..KEYS).map(|key| tokio::spawn(write(key, Arc::clone(&sink), Arc::clone(&stop)))).collect();
    Load { stop, tasks }
}

async fn write(key: usize, sink: Arc<KafkaSink>, stop: Arc<AtomicBool>) -> Written {
    let mut written = Written::default();
    for round in 0_u64.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let (token, record) = record(key, round);
        let receipt = sink.send(vec![record]).await.remove(0);
        if receipt.is_ok() {
            written.acked.insert(token)
        } else {
            written.unknown.insert(token)
        };
        tokio::time::sleep(PAUSE).await;
    }
    written
}

fn record(key: usize, round: u64) -> (String, Outgoing) {
    let (key, token) = (format!("key-{key}"), format!("key-{key}-{round}"));
    let mut record = Record::new(Some(Bytes::from(key)), vec![b'x'; 200]);
    record.headers.push(Header::new(TOKEN_HEADER, token.clone()));
    (token, Outgoing { topic: TOPIC.into(), partition: None, record })
}

impl Load {
    pub(crate) async fn stop(self) -> Written {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Written::default();
        for task in self.tasks {
            let mut written = task.await.unwrap();
            all.acked.append(&mut written.acked);
            all.unknown.append(&mut written.unknown);
        }
        all
    }
}
