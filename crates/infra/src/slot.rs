//! A slot: a run of ports and a folder that one cluster has for itself while it lives.
//!
//! Ports below the kernel's ephemeral range, so that no outgoing connection takes one while its broker is down;
//! reserved among our own processes by a file lock, which ends with the process. The locks lie in the machine's
//! folder for temporary files, since ports are the machine's: two checkouts that test at once would otherwise take
//! the same ones between the look and the start. What a killed process left in the folder is removed by the slot's
//! next owner.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

const PORT_FIRST: u16 = 20_000;
const SLOTS: u16 = 500;
/// 3 brokers of up to 6 listeners need 18.
const PORTS: u16 = 20;

/// The reservation; given back on drop.
#[derive(Debug)]
pub(crate) struct Slot {
    folder: PathBuf,
    port_first: u16,
    _lock: File,
}

impl Slot {
    /// The first free slot; `None` where all are taken.
    pub(crate) fn reserve(slots: &Path) -> io::Result<Option<Self>> {
        Self::reserve_where(slots, &std::env::temp_dir().join("seawall-infra-ports"), free)
    }

    fn reserve_where(slots: &Path, locks: &Path, free: impl Fn(u16) -> bool) -> io::Result<Option<Self>> {
        fs::create_dir_all(slots)?;
        fs::create_dir_all(locks)?;
        for slot in 0..SLOTS {
            let port_first = PORT_FIRST + slot * PORTS;
            // One that belongs to another user is as good as taken.
            let Ok(lock) = File::create(locks.join(format!("{port_first}.lock"))) else { continue };
            if lock.try_lock().is_err() || !(port_first..port_first + PORTS).all(&free) {
                continue;
            }
            let folder = slots.join(port_first.to_string());
            if folder.exists() && fs::remove_dir_all(&folder).is_err() {
                continue;
            }
            fs::create_dir(&folder)?;
            return Ok(Some(Self { folder, port_first, _lock: lock }));
        }
        Ok(None)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn port(&self, nth: u16) -> u16 {
        debug_assert!(nth < PORTS, "a slot has {PORTS} ports");
        self.port_first + nth
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // What stays is removed by the next owner.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_one_owner_and_the_next_one_finds_it_empty() {
        let slots = crate::cache::folder().join(format!("slot-test-{}", std::process::id()));
        let first = Slot::reserve_where(&slots, &slots, |_| true).unwrap().unwrap();
        let second = Slot::reserve_where(&slots, &slots, |_| true).unwrap().unwrap();
        assert_ne!(first.port(0), second.port(0));
        let (folder, left) = (first.folder().to_owned(), first.folder().join("left"));
        drop(first);
        assert!(!folder.exists());
        // As a killed process leaves it.
        fs::create_dir(&folder).unwrap();
        fs::write(&left, "").unwrap();
        let third = Slot::reserve_where(&slots, &slots, |_| true).unwrap().unwrap();
        assert!(third.folder().is_dir() && !left.exists());
        drop((second, third));
        fs::remove_dir_all(&slots).unwrap();
    }

    #[test]
    fn a_slot_with_a_port_in_use_is_passed_over() {
        let slots = crate::cache::folder().join(format!("slot-test-port-{}", std::process::id()));
        let taken = PORT_FIRST + PORTS - 1;
        let slot = Slot::reserve_where(&slots, &slots, |port| port != taken).unwrap().unwrap();
        assert_eq!(slot.port(0), PORT_FIRST + PORTS);
        assert!(Slot::reserve_where(&slots, &slots, |_| false).unwrap().is_none());
        drop(slot);
        fs::remove_dir_all(&slots).unwrap();
    }

    #[test]
    fn a_bound_port_is_not_free() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!free(held.local_addr().unwrap().port()));
    }
}
