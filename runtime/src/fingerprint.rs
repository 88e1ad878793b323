//! 256-bit fingerprints of what changes an output.
//!
//! Fields are hashed with their length in front, so that `("ab", "c")` and `("a", "bc")` differ.

use sha2::{Digest as _, Sha256};
use std::fmt;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Starts hashing under a domain name that keeps kinds of fingerprint apart.
    pub fn builder(domain: &str) -> FingerprintBuilder {
        FingerprintBuilder(Sha256::new()).text(domain)
    }

    /// The digest's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight bytes as a number: a keyed random draw, or a bucket, never an identity.
    pub fn to_u64(self) -> u64 {
        let mut head = [0u8; 8];
        head.copy_from_slice(&self.0[..8]);
        u64::from_le_bytes(head)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Hashes fields one after another.
#[derive(Clone)]
pub struct FingerprintBuilder(Sha256);

impl FingerprintBuilder {
    /// Adds raw bytes.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a text.
    pub fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// Adds a number.
    pub fn number(self, n: u64) -> Self {
        self.bytes(&n.to_le_bytes())
    }

    /// Adds floats by their bits.
    pub fn floats(mut self, values: &[f32]) -> Self {
        self.0.update((values.len() as u64).to_le_bytes());
        for v in values {
            self.0.update(v.to_le_bytes());
        }
        self
    }

    /// Adds token ids.
    pub fn tokens(mut self, tokens: &[u32]) -> Self {
        self.0.update((tokens.len() as u64).to_le_bytes());
        for t in tokens {
            self.0.update(t.to_le_bytes());
        }
        self
    }

    /// Adds another fingerprint.
    pub fn nested(self, other: &Fingerprint) -> Self {
        self.bytes(&other.0)
    }

    /// Ends hashing.
    pub fn finish(self) -> Fingerprint {
        Fingerprint(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_borders_count() {
        let a = Fingerprint::builder("t").text("ab").text("c").finish();
        let b = Fingerprint::builder("t").text("a").text("bc").finish();
        assert_ne!(a, b);
        assert_eq!(a.to_string().len(), 64);
    }
}
