//! One way of one connection.

use super::connections::Way;
use super::{Fault, Shared, Toward};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const PIECE: usize = 64 << 10;
/// A throttled piece is passed in steps of this long, so that the end of a throttle is soon felt.
const STEP: Duration = Duration::from_millis(50);

/// Passes bytes on until either side ends, then hands that end on.
pub(super) fn pump(shared: &Arc<Shared>, id: u64, toward: Toward, mut from: TcpStream, mut to: TcpStream) {
    let mut piece = vec![0; PIECE];
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        let way = shared.state().way(id, toward);
        let passed = match way {
            Way::Nowhere => Ok(()),
            Way::On(fault) => pass(shared, fault, &piece[..read], &mut to),
            Way::End => {
                shared.state().connections.end(id);
                break;
            }
        };
        if passed.is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

fn pass(shared: &Shared, fault: Option<Fault>, mut piece: &[u8], to: &mut TcpStream) -> io::Result<()> {
    match fault {
        Some(Fault::Delay { least, more }) => {
            let more = shared.state().rng.u64(0..=more.as_micros() as u64);
            thread::sleep(least + Duration::from_micros(more));
            to.write_all(piece)
        }
        Some(Fault::Throttle { bytes_per_second }) => {
            let step = (bytes_per_second as usize / 20).max(1);
            while !piece.is_empty() && shared.state().fault == fault {
                let (now, later) = piece.split_at(step.min(piece.len()));
                to.write_all(now)?;
                piece = later;
                thread::sleep(STEP);
            }
            to.write_all(piece)
        }
        Some(Fault::Slice { bytes_max }) => {
            while !piece.is_empty() && shared.state().fault == fault {
                let most = piece.len().min(usize::from(bytes_max.max(1)));
                let (now, later) = piece.split_at(shared.state().rng.usize(1..=most));
                to.write_all(now)?;
                piece = later;
                thread::sleep(Duration::from_millis(1));
            }
            to.write_all(piece)
        }
        _ => to.write_all(piece),
    }
}
