//! The binary form of extractors and states: little-endian fields behind a mark, a digest at the end.

use super::error::TpopError;
use trimtab_runtime::fingerprint::Fingerprint;

/// 32 bytes of SHA-256.
pub type TpopDigest = [u8; 32];

const DIGEST: usize = 32;
/// Where the digest's domain begins, apart from all other fingerprints.
const DOMAIN: &str = "trimtab.tpop.bytes";

fn sealed(content: &[u8]) -> TpopDigest {
    *Fingerprint::builder(DOMAIN).bytes(content).finish().as_bytes()
}

pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Fields one after another.
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn new(mark: &[u8; 8]) -> Writer {
        Writer { bytes: mark.to_vec() }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn digest(&mut self, digest: &TpopDigest) {
        self.bytes.extend_from_slice(digest);
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub(super) fn number(&mut self, number: u64) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn signed(&mut self, number: i64) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn float(&mut self, float: f64) {
        self.bytes.extend_from_slice(&float.to_le_bytes());
    }

    pub(super) fn floats(&mut self, floats: &[f64]) {
        self.number(floats.len() as u64);
        floats.iter().for_each(|float| self.float(*float));
    }

    pub(super) fn singles(&mut self, floats: &[f32]) {
        self.number(floats.len() as u64);
        floats.iter().for_each(|float| self.bytes.extend_from_slice(&float.to_le_bytes()));
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let digest = sealed(&self.bytes);
        self.bytes.extend_from_slice(&digest);
        self.bytes
    }
}

/// Reads what [`Writer`] wrote. Lengths are checked before anything is allocated.
pub(super) struct Reader<'a> {
    what: &'static str,
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn open(
        what: &'static str,
        mark: &[u8; 8],
        bytes: &'a [u8],
    ) -> Result<Self, TpopError> {
        let refuse = |problem: &str| TpopError::Unreadable { what, problem: problem.to_owned() };
        let end = bytes.len().checked_sub(DIGEST).ok_or_else(|| refuse("too short"))?;
        let (content, digest) = bytes.split_at(end);
        let Some(left) = content.strip_prefix(mark) else {
            return Err(refuse("another format or a newer version"));
        };
        if digest != sealed(content) {
            return Err(refuse("its digest is another"));
        }
        Ok(Reader { what, left })
    }

    pub(super) fn refuse(&self, problem: impl Into<String>) -> TpopError {
        TpopError::Unreadable { what: self.what, problem: problem.into() }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], TpopError> {
        let Some((taken, left)) = self.left.split_at_checked(count) else {
            return Err(self.refuse("it ends too early"));
        };
        self.left = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TpopError> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| self.refuse("it ends too early"))
    }

    /// How many values of `size` bytes follow.
    fn count(&mut self, size: usize) -> Result<usize, TpopError> {
        let count = self.number()?;
        let fits = usize::try_from(count).ok().filter(|n| *n <= self.left.len() / size);
        fits.ok_or_else(|| self.refuse("a list is longer than the file"))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], TpopError> {
        let count = self.count(1)?;
        self.take(count)
    }

    pub(super) fn digest(&mut self) -> Result<TpopDigest, TpopError> {
        self.array()
    }

    pub(super) fn byte(&mut self) -> Result<u8, TpopError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn number(&mut self) -> Result<u64, TpopError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn signed(&mut self) -> Result<i64, TpopError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    pub(super) fn float(&mut self) -> Result<f64, TpopError> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    pub(super) fn floats(&mut self) -> Result<Vec<f64>, TpopError> {
        (0..self.count(8)?).map(|_| self.float()).collect()
    }

    pub(super) fn singles(&mut self) -> Result<Vec<f32>, TpopError> {
        (0..self.count(4)?).map(|_| Ok(f32::from_le_bytes(self.array()?))).collect()
    }

    pub(super) fn end(self) -> Result<(), TpopError> {
        if self.left.is_empty() { Ok(()) } else { Err(self.refuse("something follows its end")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: &[u8; 8] = b"tt-test1";

    #[test]
    fn what_was_written_is_read() {
        let mut writer = Writer::new(MARK);
        writer.number(7);
        writer.singles(&[1.5, f32::MIN]);
        writer.floats(&[0.1]);
        writer.bytes(b"ab");
        let bytes = writer.finish();
        let mut reader = Reader::open("a", MARK, &bytes).unwrap();
        assert_eq!(reader.number().unwrap(), 7);
        assert_eq!(reader.singles().unwrap(), [1.5, f32::MIN]);
        assert_eq!(reader.floats().unwrap(), [0.1]);
        assert_eq!(reader.bytes().unwrap(), b"ab");
        assert!(reader.end().is_ok());
    }

    #[test]
    fn damage_and_endless_lists_are_refused() {
        let mut writer = Writer::new(MARK);
        writer.number(u64::MAX);
        let bytes = writer.finish();
        assert!(Reader::open("a", MARK, &bytes).unwrap().floats().is_err());
        assert!(Reader::open("a", b"tt-test2", &bytes).is_err());
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(Reader::open("a", MARK, &damaged).is_err(), "blind at {at}");
            assert!(Reader::open("a", MARK, &bytes[..at]).is_err());
        }
    }
}
