//! Tokens as 128 bits.
//!
//! A million remembered tokens as text would take some hundred megabytes; as 128 bits of a keyed SHA-256 they
//! take sixteen. Two tokens with the same 128 bits would be taken for one, and the second effect would
//! be skipped. The chance that any two of n do is below n² ÷ 2^129: for a thousand million remembered tokens
//! about 1.5 × 10^-21. Finding such a pair on purpose takes some 2^64 hashes and the key, which is drawn when
//! the store is made and never leaves its directory.

use seawall_core::Token;
use sha2::{Digest, Sha256};

/// The key: 256 bits, drawn once for the life of a directory.
pub(super) type Secret = [u8; 32];

/// A token's 128 bits.
pub(super) type Key = u128;

/// Hashes tokens under one key.
#[derive(Clone)]
pub(super) struct Keyer {
    /// SHA-256 after its first block, which the key fills: most tokens then cost one block.
    begun: Sha256,
}

impl Keyer {
    pub(super) fn new(secret: &Secret) -> Self {
        let mut block = [0; 64];
        block[..32].copy_from_slice(secret);
        Self { begun: Sha256::new_with_prefix(block) }
    }

    pub(super) fn key(&self, token: &Token) -> Key {
        let digest = self.begun.clone().chain_update(token.as_bytes()).finalize();
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        Key::from_le_bytes(half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_and_the_token_both_matter() {
        let token = |name: &'static str| Token::new(name).unwrap();
        let (one, two) = (Keyer::new(&[1; 32]), Keyer::new(&[2; 32]));
        assert_eq!(one.key(&token("a")), Keyer::new(&[1; 32]).key(&token("a")), "the same after a restart");
        assert_ne!(one.key(&token("a")), two.key(&token("a")));
        assert_ne!(one.key(&token("a")), one.key(&token("b")));
    }
}
