//! What a spill is given, for logs that only take bytes: records with a topic, a key and an id of their own.

use bytes::Bytes;
use seawall_core::codec::{encode, put_bytes};
use seawall_core::token::TOKEN_HEADER;
use seawall_core::{Header, Record};

/// What a record has beside its value: topic, key and id, and their lengths.
pub(super) const BESIDE_BYTES: usize = 48;

/// Records whose values are given frames. The buffers that they are encoded into are used again.
pub(super) struct Records {
    keys: Vec<Bytes>,
    values: Vec<Bytes>,
    next: u64,
    frames: Vec<Vec<u8>>,
}

impl Records {
    pub(super) fn of(values: &[Vec<u8>]) -> Self {
        Self {
            keys: (0..1_000_u64).map(|key| Bytes::copy_from_slice(&key.to_be_bytes())).collect(),
            values: values.iter().cloned().map(Bytes::from).collect(),
            next: 0,
            frames: vec![Vec::new(); values.len()],
        }
    }

    /// The next group's frames.
    pub(super) fn encoded(&mut self) -> &[Vec<u8>] {
        for (frame, (key, value)) in self.frames.iter_mut().zip(self.keys.iter().zip(&self.values)) {
            let mut record = Record::new(key.clone(), value.clone());
            let id = Bytes::from(format!("0123456789abcdef-{:x}", self.next));
            record.headers = std::iter::once(Header::new(TOKEN_HEADER, id)).collect();
            self.next += 1;
            frame.clear();
            put_bytes(b"spill", frame);
            encode(&record, frame);
        }
        &self.frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_frame_holds_its_value_and_an_id_of_its_own() {
        let values = vec![vec![7; 100], vec![8; 100]];
        let mut records = Records::of(&values);
        let first = records.encoded().to_vec();
        let second = records.encoded();
        for (frame, value) in first.iter().chain(second).zip(values.iter().cycle()) {
            assert!(frame.ends_with(value) && frame.len() > value.len() + TOKEN_HEADER.len());
            let beside = frame.len() - value.len();
            assert!(beside.abs_diff(BESIDE_BYTES) < 8, "{beside}");
        }
        assert_ne!(first, second);
    }
}
