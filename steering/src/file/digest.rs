//! The hashes a file carries.

use crate::direction::Direction;
use sha2::{Digest, Sha256};

/// SHA-256 over directions, which must be in forward order: name, `0x00`, rank and width as u32 LE, values as f32 LE.
///
/// It covers the data and not the container, so the same vector has the same hash however it is stored.
pub fn content_sha256(directions: &[Direction]) -> String {
    let mut hash = Sha256::new();
    for direction in directions {
        hash.update(direction.site().to_string().as_bytes());
        hash.update([0]);
        // Both are below their limits, which fit 32 bits.
        hash.update((direction.rank() as u32).to_le_bytes());
        hash.update((direction.width() as u32).to_le_bytes());
        direction.values().iter().for_each(|v| hash.update(v.to_le_bytes()));
    }
    hex(&hash.finalize())
}

/// SHA-256 of some bytes, in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Whether a text is 64 lower-case hexadecimal digits.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_runtime::site::Site;

    #[test]
    fn the_content_hash_is_that_of_the_specification() {
        // From the format's page: 10 comes after 2, because order is forward and not of text.
        let two = Direction::new(Site::ResidPost(2), 1, vec![1.0, 0.0, 0.0, 0.0]).unwrap();
        let ten = Direction::new(Site::ResidPost(10), 1, vec![0.6, 0.8, 0.0, 0.0]).unwrap();
        let expected = "f911c5907a9147742cf98755e306201903176e045d2090f9004273e60cb23140";
        assert_eq!(content_sha256(&[two, ten]), expected);
    }
}
