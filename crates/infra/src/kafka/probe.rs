//! Asks a broker which brokers it knows: Kafka's Metadata request, version 1, without topics.
//!
//! An open port is not enough: a broker accepts connections before the controller lets it serve. In the
//! answer stand only brokers that do.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: u32 = 1 << 20;
/// Length 14, API key 3, version 1, correlation id 7, no client id, no topics.
const REQUEST: [u8; 18] = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 7, 0xff, 0xff, 0, 0, 0, 0];

/// The ids of the brokers that serve, as the broker at `port` of 127.0.0.1 knows them.
pub(super) fn serving(port: u16) -> io::Result<Vec<i32>> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.write_all(&REQUEST)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > ANSWER_BYTES_MAX {
        return Err(malformed());
    }
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer)?;
    brokers(&answer).ok_or_else(malformed)
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not an answer of Kafka")
}

/// `correlation, [id, host, port, rack?]…`, integers big-endian, strings with a 16-bit length.
fn brokers(answer: &[u8]) -> Option<Vec<i32>> {
    let mut rest = answer;
    (number(&mut rest)? == 7).then_some(())?;
    let count = number(&mut rest)?;
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(number(&mut rest)?);
        skip_string(&mut rest)?;
        number(&mut rest)?;
        skip_string(&mut rest)?;
    }
    ids.sort_unstable();
    Some(ids)
}

fn number(rest: &mut &[u8]) -> Option<i32> {
    let (head, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    Some(i32::from_be_bytes(*head))
}

fn skip_string(rest: &mut &[u8]) -> Option<()> {
    let (head, tail) = rest.split_first_chunk::<2>()?;
    // -1 stands for no string.
    let length = usize::try_from(i16::from_be_bytes(*head)).unwrap_or(0);
    *rest = tail.get(length..)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a broker of Kafka 4.4 sent it.
    const ANSWER: &[u8] = &[
        0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 1, 0, 9, b'1', b'2', b'7', b'.', b'0', b'.', b'0', b'.', b'1', 0, 0,
        0x4a, 0x94, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 0,
    ];

    #[test]
    fn a_real_answer_is_read() {
        assert_eq!(brokers(ANSWER), Some(vec![1]));
    }

    #[test]
    fn a_cut_or_foreign_answer_is_refused() {
        for end in 0..29 {
            assert_eq!(brokers(&ANSWER[..end]), None, "cut at {end}");
        }
        assert_eq!(brokers(b"HTTP/1.1 400 Bad Request"), None);
    }
}
