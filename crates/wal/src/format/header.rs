//! The header of a segment.

use super::VERSION;
use crate::error::Damage;
use seawall_core::WallMs;

/// The highest position that a segment may begin at.
pub(super) const FIRST_MAX: u64 = i64::MAX as u64;

/// Where the first mark stands: one page, so that frames start aligned.
pub(crate) const HEADER_BYTES: u64 = 4096;

const MAGIC: [u8; 8] = *b"SEAWALWL";
const USED: usize = 64;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) id: u64,
    pub(crate) salt: u64,
    pub(crate) epoch: u64,
    pub(crate) first: u64,
    pub(crate) created: WallMs,
    pub(crate) capacity: u64,
}

impl Header {
    /// The header's page.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for field in [self.id, self.salt, self.epoch, self.first] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&self.created.0.to_le_bytes());
        out.extend_from_slice(&self.capacity.to_le_bytes());
        let crc = checksum(&out[start..]);
        out[start + 12..start + 16].copy_from_slice(&crc.to_le_bytes());
        out.resize(start + HEADER_BYTES as usize, 0);
    }

    /// Reads a header from the start of `page`.
    pub(crate) fn decode(page: &[u8]) -> Result<Self, Damage> {
        let page: &[u8; USED] = page.first_chunk().ok_or(Damage::Header)?;
        if page[..8] != MAGIC || u32_at(page, 12) != checksum(page) {
            return Err(Damage::Header);
        }
        match u32_at(page, 8) {
            VERSION => {}
            other => return Err(Damage::Version(other)),
        }
        // No log gets there, and what is counted from it must not overflow.
        if u64_at(page, 40) > FIRST_MAX {
            return Err(Damage::Header);
        }
        Ok(Self {
            id: u64_at(page, 16),
            salt: u64_at(page, 24),
            epoch: u64_at(page, 32),
            first: u64_at(page, 40),
            created: WallMs(u64_at(page, 48) as i64),
            capacity: u64_at(page, 56),
        })
    }
}

fn checksum(page: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&page[..12]), &page[16..USED])
}

/// Little-endian at `at`; zero beyond the end, which no caller reaches.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b))
}

/// Little-endian at `at`; zero beyond the end, which no caller reaches.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_that_no_log_reaches_is_damage() {
        let page = |first| {
            let header = Header { id: 7, salt: 1, epoch: 2, first, created: WallMs(4), capacity: 5 };
            let mut page = Vec::new();
            header.encode(&mut page);
            page
        };
        assert!(Header::decode(&page(FIRST_MAX)).is_ok());
        assert_eq!(Header::decode(&page(FIRST_MAX + 1)), Err(Damage::Header));
    }

    #[test]
    fn every_flipped_byte_of_the_used_part_is_noticed() {
        let header = Header { id: 7, salt: 1, epoch: 2, first: 3, created: WallMs(4), capacity: 5 };
        let mut page = Vec::new();
        header.encode(&mut page);
        assert_eq!(Header::decode(&page), Ok(header));
        for at in 0..USED {
            for bit in 0..8 {
                let mut page = page.clone();
                page[at] ^= 1 << bit;
                assert_eq!(Header::decode(&page), Err(Damage::Header), "byte {at} bit {bit}");
            }
        }
    }
}
