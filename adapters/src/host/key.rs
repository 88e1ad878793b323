//! The name of an adapter.

use crate::error::{Error, Result};

/// Bytes of the longest id.
const MOST_LETTERS: usize = 64;

/// An adapter of an owner. The same id of another owner is another adapter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AdapterKey {
    owner: String,
    id: String,
}

impl AdapterKey {
    /// A checked name.
    ///
    /// # Errors
    ///
    /// An id that is not `[a-z0-9][a-z0-9_-]{0,63}`.
    pub fn new(owner: impl Into<String>, id: impl Into<String>) -> Result<AdapterKey> {
        let (owner, id) = (owner.into(), id.into());
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let fits = id.starts_with(plain)
            && id.len() <= MOST_LETTERS
            && id.chars().all(|c| plain(c) || c == '-' || c == '_');
        if !fits {
            let problem = format!(
                "is {id:?}; lower-case letters, digits, - and _, at most {MOST_LETTERS}, and a letter or digit first"
            );
            return Err(Error::invalid("adapter", problem));
        }
        Ok(AdapterKey { owner, id })
    }

    /// Whose it is: the label of a key.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_the_url() {
        assert!(AdapterKey::new("key", "alice-2_b").is_ok());
        for bad in ["", "-a", "_a", "Alice", "a/b", "a b", "a\n", "é", &"a".repeat(65)] {
            assert!(AdapterKey::new("key", bad).is_err(), "{bad}");
        }
    }
}
