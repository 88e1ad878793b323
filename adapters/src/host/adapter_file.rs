//! A version of an adapter as a file, `trimtab.adapter`.
//!
//! A mark, the length of the header, the header as JSON, the state in the method's own format, and the SHA-256 of all
//! before it. A file is checked whole before anything is made of it.

use super::config::AdapterConfig;
use crate::error::{Error, Result};
use crate::tpop::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const MARK: [u8; 8] = *b"TTADAPT\x01";
const FORMAT: u32 = 1;
const DIGEST: usize = 32;
const MOST_HEADER: usize = 1 << 20;
const MOST_BYTES: usize = 64 << 20;

/// What a file says of the state in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileHeader {
    pub(super) format: u32,
    pub(super) id: String,
    pub(super) method: String,
    pub(super) config: AdapterConfig,
    pub(super) weights_sha256: String,
    pub(super) version: u32,
    pub(super) created_ms: i64,
    pub(super) state_sha256: String,
}

/// A version of an adapter on its way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AdapterFile {
    pub(super) header: FileHeader,
    pub(super) state: Vec<u8>,
}

fn refused(problem: impl Into<String>) -> Error {
    Error::StateRefused { problem: problem.into() }
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

impl AdapterFile {
    /// A file of a state; format and digest in the header are set here.
    pub(super) fn new(header: FileHeader, state: Vec<u8>) -> AdapterFile {
        let state_sha256 = sha256(&state);
        AdapterFile { header: FileHeader { format: FORMAT, state_sha256, ..header }, state }
    }

    pub(super) fn write(&self) -> Result<Vec<u8>> {
        let header = serde_json::to_vec(&self.header)
            .map_err(|source| Error::Document { field: "header", source })?;
        let length = u32::try_from(header.len()).unwrap_or(u32::MAX);
        let mut bytes = MARK.to_vec();
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(&self.state);
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        Ok(bytes)
    }

    /// Reads a file, and believes nothing of it before all of it is checked.
    ///
    /// # Errors
    ///
    /// Bytes that are no such file, of another format, or damaged; a configuration that is refused.
    pub(super) fn read(bytes: &[u8]) -> Result<AdapterFile> {
        if bytes.len() > MOST_BYTES {
            return Err(refused(format!("has {} bytes, at most {MOST_BYTES}", bytes.len())));
        }
        let behind =
            bytes.strip_prefix(&MARK).ok_or_else(|| refused("is not a trimtab.adapter file"))?;
        let (content, digest) = bytes
            .split_last_chunk::<DIGEST>()
            .filter(|_| behind.len() >= DIGEST)
            .ok_or_else(|| refused("is cut short"))?;
        if Sha256::digest(content)[..] != digest[..] {
            return Err(refused("does not have the digest it ends with"));
        }
        let inside = behind.get(..behind.len() - DIGEST).unwrap_or_default();
        let (length, rest) =
            inside.split_first_chunk::<4>().ok_or_else(|| refused("is cut short"))?;
        let length = u32::from_le_bytes(*length) as usize;
        let (header, state) = rest
            .split_at_checked(length)
            .filter(|_| length <= MOST_HEADER)
            .ok_or_else(|| refused("has a header that is longer than it may be"))?;
        let header: FileHeader = serde_json::from_slice(header)
            .map_err(|error| refused(format!("has a header that is none: {error}")))?;
        if header.format != FORMAT {
            let format = header.format;
            return Err(refused(format!("has format {format}, this program reads {FORMAT}")));
        }
        if header.state_sha256 != sha256(state) || header.method != header.config.method() {
            return Err(refused("has a header that is not the state's"));
        }
        header.config.check()?;
        Ok(AdapterFile { header, state: state.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_runtime::sample::{Draw, Purpose};

    fn file() -> AdapterFile {
        let header = FileHeader {
            format: 0,
            id: "alice".into(),
            method: "rosa".into(),
            config: AdapterConfig::of_method("rosa").unwrap(),
            weights_sha256: "ab".into(),
            version: 3,
            created_ms: 5,
            state_sha256: String::new(),
        };
        AdapterFile::new(header, vec![1, 2, 3, 4])
    }

    #[test]
    fn a_file_comes_back() {
        let bytes = file().write().unwrap();
        assert_eq!(AdapterFile::read(&bytes).unwrap(), file());
    }

    #[test]
    fn every_changed_and_every_missing_byte_is_refused() {
        let bytes = file().write().unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(AdapterFile::read(&changed).is_err(), "byte {at}");
            assert!(AdapterFile::read(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn bytes_with_a_right_digest_are_still_read_strictly() {
        let sealed = |mut content: Vec<u8>| {
            let digest = Sha256::digest(&content);
            content.extend_from_slice(&digest);
            AdapterFile::read(&content)
        };
        let bytes = file().write().unwrap();
        let content = &bytes[..bytes.len() - DIGEST];
        assert!(sealed(content.to_vec()).is_ok());
        for at in 0..content.len() {
            // Whatever stands there, it is read or refused, and nothing panics.
            let draw = |position| {
                let purpose = Purpose::Named("test");
                Draw { seed: 7, choice: at as u32, purpose, attempt: 0, position }.uniform()
            };
            let mut changed = content.to_vec();
            changed[at] = (draw(0) * 256.0) as u8;
            if changed[at] != content[at] {
                assert!(sealed(changed).is_err() || at >= MARK.len() + 4, "byte {at}");
            }
            assert!(sealed(content[..at].to_vec()).is_err(), "cut at {at}");
        }
        let mut longest = content.to_vec();
        longest[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(sealed(longest).is_err());
    }
}
