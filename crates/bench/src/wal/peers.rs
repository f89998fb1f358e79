//! Logs and stores that others use, each set to sync before it answers, and as fast as its own options allow.

use super::{Durably, FRAME_BYTES, Load, SEGMENT_BYTES, contender};
use crate::compare::{BenchError, Contender};
use crate::versions;
use protobuf::well_known_types::BytesValue;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// A write-ahead log of segments; one entry a group, a chunk for each frame.
pub(super) fn okaywal(load: Load, dir: &Path) -> Result<Contender, BenchError> {
    let bytes = u32::try_from(SEGMENT_BYTES).unwrap_or(u32::MAX);
    let log = okaywal::Configuration::default_for(dir.join("log"))
        .preallocate_bytes(bytes)
        .checkpoint_after_bytes(SEGMENT_BYTES / 4 * 3)
        // With what a record has beside its value.
        .buffer_bytes(load.per_sync * (FRAME_BYTES + 192))
        .open(okaywal::LogVoid)
        .map_err(BenchError::io("okaywal"))?;
    let callers = vec![OkayWal(log); load.callers];
    Ok(contender("okaywal", versions::of_crate("okaywal"), load, callers).goal(1.0))
}

#[derive(Clone)]
struct OkayWal(okaywal::WriteAheadLog);

impl Durably for OkayWal {
    fn write(&mut self, frames: &[Vec<u8>]) -> Result<(), BenchError> {
        let mut entry = self.0.begin_entry().map_err(BenchError::io("okaywal"))?;
        for frame in frames {
            entry.write_chunk(frame).map_err(BenchError::io("okaywal"))?;
        }
        entry.commit().map(drop).map_err(BenchError::io("okaywal"))
    }
}

/// TiKV's log engine, recycling its files, without compression (the bytes are random).
pub(super) fn raft_engine(load: Load, dir: &Path) -> Result<Contender, BenchError> {
    let config = raft_engine::Config {
        dir: dir.join("log").to_string_lossy().into_owned(),
        batch_compression_threshold: raft_engine::ReadableSize(0),
        target_file_size: raft_engine::ReadableSize(SEGMENT_BYTES),
        purge_threshold: raft_engine::ReadableSize(2 * SEGMENT_BYTES),
        enable_log_recycle: true,
        ..raft_engine::Config::default()
    };
    let engine = raft_engine::Engine::open(config).map_err(BenchError::of("raft-engine"))?;
    let version = versions::of_crate("raft-engine");
    let engine = Arc::new(engine);
    let caller = |region| RaftEngine { engine: Arc::clone(&engine), region, next: 1 };
    let callers = (1..=load.callers as u64).map(caller).collect();
    Ok(contender("raft-engine", version, load, callers).goal(1.0))
}

/// Each caller has a region of its own, as TiKV's have.
struct RaftEngine {
    engine: Arc<raft_engine::Engine>,
    region: u64,
    next: u64,
}

/// An entry is bytes whose first eight are its number.
struct Numbered;

impl raft_engine::MessageExt for Numbered {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        entry.get_value().first_chunk().map_or(0, |number| u64::from_le_bytes(*number))
    }
}

impl Durably for RaftEngine {
    fn write(&mut self, frames: &[Vec<u8>]) -> Result<(), BenchError> {
        let mut batch = raft_engine::LogBatch::with_capacity(frames.len());
        let mut entries = Vec::with_capacity(frames.len());
        for frame in frames {
            let mut bytes = frame.clone();
            bytes[..8].copy_from_slice(&self.next.to_le_bytes());
            let mut entry = BytesValue::new();
            entry.set_value(bytes);
            entries.push(entry);
            self.next += 1;
        }
        batch.add_entries::<Numbered>(self.region, &entries).map_err(BenchError::of("raft-engine"))?;
        self.engine.write(&mut batch, true).map(drop).map_err(BenchError::of("raft-engine"))
    }

    fn tidy(&mut self) -> Result<(), BenchError> {
        self.engine.compact_to(self.region, self.next.saturating_sub(1_024));
        self.engine.purge_expired_files().map(drop).map_err(BenchError::of("raft-engine"))
    }
}

/// An LSM store: its journal is what syncs.
pub(super) fn fjall(load: Load, dir: &Path) -> Result<Contender, BenchError> {
    let database = fjall::Database::builder(dir.join("db")).open().map_err(BenchError::of("fjall"))?;
    let keyspace = database
        .keyspace("frames", fjall::KeyspaceCreateOptions::default)
        .map_err(BenchError::of("fjall"))?;
    let log = Fjall { database, keyspace, next: 0 };
    Ok(contender("fjall", versions::of_crate("fjall"), load, vec![log]).goal(1.0))
}

struct Fjall {
    database: fjall::Database,
    keyspace: fjall::Keyspace,
    next: u64,
}

impl Durably for Fjall {
    fn write(&mut self, frames: &[Vec<u8>]) -> Result<(), BenchError> {
        let mut batch = self.database.batch().durability(Some(fjall::PersistMode::SyncData));
        for frame in frames {
            batch.insert(&self.keyspace, self.next.to_be_bytes(), frame.as_slice());
            self.next += 1;
        }
        batch.commit().map_err(BenchError::of("fjall"))
    }
}

/// SQLite with its write-ahead log, full synchronous: a transaction for each group.
pub(super) fn sqlite(load: Load, dir: &Path) -> Result<Contender, BenchError> {
    let who = "sqlite";
    let connection = rusqlite::Connection::open(dir.join("db")).map_err(BenchError::of(who))?;
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE frame (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL);",
        )
        .map_err(BenchError::of(who))?;
    let version = format!("{} (SQLite {})", versions::of_crate("rusqlite"), rusqlite::version());
    let callers = vec![Sqlite(Arc::new(Mutex::new(connection))); load.callers];
    Ok(contender("rusqlite, WAL, synchronous FULL", version, load, callers).goal(1.0))
}

/// It has one writer at a time.
#[derive(Clone)]
struct Sqlite(Arc<Mutex<rusqlite::Connection>>);

impl Sqlite {
    fn insert(&mut self, frames: &[Vec<u8>]) -> rusqlite::Result<()> {
        let mut connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO frame (bytes) VALUES (?1)")?;
            for frame in frames {
                insert.execute([frame])?;
            }
        }
        transaction.commit()
    }
}

impl Durably for Sqlite {
    fn write(&mut self, frames: &[Vec<u8>]) -> Result<(), BenchError> {
        self.insert(frames).map_err(BenchError::of("sqlite"))
    }
}
