//! A state as bytes: what a store keeps and a file carries.
//!
//! Little endian. A header says format, block, width, rank, seed, version and model; the parameters follow; the digest of all
//! before it ends the bytes. What differs in any of them is refused by name.

use super::params::BlockKind;
use super::state::{BlockState, FinalOffset, LastMlpLora, RosaState};
use crate::error::{Error, Result};
use trimtab_runtime::fingerprint::Fingerprint;

const MAGIC: [u8; 8] = *b"TTROSA\0\0";
const FORMAT: u32 = 1;
/// Magic, format, block, width, rank, seed, version, model.
const HEADER: usize = 8 + 4 + 4 + 4 + 4 + 8 + 8 + 32;
const DIGEST: usize = 32;
/// Of `rosa.rank`: the inner map is made again from its seed, which takes time.
const MOST_RANK: usize = 16;

fn refused(problem: impl Into<String>) -> Error {
    Error::StateRefused { problem: problem.into() }
}

fn digest(content: &[u8]) -> Fingerprint {
    Fingerprint::builder("trimtab.rosa.state").bytes(content).finish()
}

/// Takes numbers off the front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) =
            self.0.split_first_chunk::<N>().ok_or_else(|| refused("is cut short"))?;
        self.0 = rest;
        Ok(*head)
    }

    fn u32(&mut self) -> Result<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn size(&mut self) -> Result<usize> {
        self.u32().map(|n| n as usize)
    }

    fn u64(&mut self) -> Result<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn floats(&mut self, count: usize) -> Result<Vec<f32>> {
        (0..count).map(|_| self.bytes().map(f32::from_le_bytes)).collect()
    }
}

/// The header's numbers that say how the parameters lie.
struct Shape {
    kind: BlockKind,
    width: usize,
    rank: usize,
    seed: u64,
}

impl Shape {
    fn of(block: &BlockState) -> Shape {
        let (kind, values) = (block.kind(), block.values().len());
        match block {
            BlockState::FinalOffset(_) => Shape { kind, width: values, rank: 0, seed: 0 },
            BlockState::LastMlpLora(lora) => {
                let rank = lora.rank();
                Shape { kind, width: values / rank.max(1), rank, seed: lora.seed() }
            }
        }
    }

    fn code(&self) -> u32 {
        match self.kind {
            BlockKind::FinalOffset => 0,
            BlockKind::LastMlpLora => 1,
        }
    }

    fn read(reader: &mut Reader) -> Result<Shape> {
        let kind = match reader.u32()? {
            0 => BlockKind::FinalOffset,
            1 => BlockKind::LastMlpLora,
            other => return Err(refused(format!("has block {other}, which is not known"))),
        };
        Ok(Shape { kind, width: reader.size()?, rank: reader.size()?, seed: reader.u64()? })
    }

    fn values(&self) -> Option<usize> {
        match self.kind {
            BlockKind::FinalOffset => Some(self.width),
            BlockKind::LastMlpLora => self.width.checked_mul(self.rank),
        }
    }

    fn block(&self, values: Vec<f32>) -> Result<BlockState> {
        match self.kind {
            BlockKind::FinalOffset => Ok(BlockState::FinalOffset(FinalOffset { delta: values })),
            BlockKind::LastMlpLora => {
                let lora = LastMlpLora::untaught(self.width, self.rank, self.seed);
                let lora = lora.map_err(|error| refused(error.to_string()))?;
                BlockState::LastMlpLora(lora).with(values)
            }
        }
    }
}

impl RosaState {
    /// The state as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (shape, values) = (Shape::of(&self.block), self.block.values());
        let mut bytes = Vec::with_capacity(HEADER + 4 * values.len() + DIGEST);
        bytes.extend_from_slice(&MAGIC);
        for number in [FORMAT, shape.code(), shape.width as u32, shape.rank as u32] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&shape.seed.to_le_bytes());
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&self.model);
        values.iter().for_each(|x| bytes.extend_from_slice(&x.to_le_bytes()));
        let digest = digest(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        bytes
    }

    /// A state from bytes, for the model with this width and digest.
    ///
    /// # Errors
    ///
    /// Bytes that are no state, of another format, damaged, not finite, or of another model.
    pub fn decode(bytes: &[u8], width: usize, model: &[u8; 32]) -> Result<RosaState> {
        RosaState::decode_where(bytes, |shape, found| found == model && shape.width == width)
    }

    /// A state from bytes, for whatever model it was learnt on: where no model is at hand.
    ///
    /// # Errors
    ///
    /// As of [`decode`](Self::decode), but for the model.
    pub fn decode_unbound(bytes: &[u8]) -> Result<RosaState> {
        RosaState::decode_where(bytes, |_, _| true)
    }

    fn decode_where(
        bytes: &[u8],
        is_of: impl FnOnce(&Shape, &[u8; 32]) -> bool,
    ) -> Result<RosaState> {
        let mut reader = Reader(bytes);
        if reader.bytes::<8>().ok() != Some(MAGIC) {
            return Err(refused("is not a rosa state"));
        }
        match reader.u32()? {
            FORMAT => {}
            other => {
                return Err(refused(format!("has format {other}, this program reads {FORMAT}")));
            }
        }
        let content = bytes.len().checked_sub(DIGEST).and_then(|end| bytes.get(..end));
        let content = content.ok_or_else(|| refused("is cut short"))?;
        if bytes.get(content.len()..) != Some(digest(content).as_bytes()) {
            return Err(refused("does not have the digest it ends with"));
        }
        let shape = Shape::read(&mut reader)?;
        let (version, found) = (reader.u64()?, reader.bytes::<32>()?);
        if !is_of(&shape, &found) {
            return Err(refused("was learnt on another model or quantisation"));
        }
        if shape.rank > MOST_RANK {
            return Err(refused(format!("has rank {}, at most {MOST_RANK}", shape.rank)));
        }
        let expected = shape.values().filter(|count| {
            count.checked_mul(4).and_then(|size| size.checked_add(HEADER)) == Some(content.len())
        });
        let count = expected.ok_or_else(|| refused("does not have the length its header says"))?;
        let values = reader.floats(count)?;
        if values.iter().any(|x| !x.is_finite()) {
            return Err(refused("has a parameter that is not finite"));
        }
        Ok(RosaState { version, model: found, block: shape.block(values)? })
    }
}

#[cfg(test)]
mod tests {
    use super::super::params::RosaParams;
    use super::*;

    const WIDTH: usize = 6;
    const MODEL: [u8; 32] = [3; 32];

    fn states() -> [RosaState; 2] {
        [BlockKind::FinalOffset, BlockKind::LastMlpLora].map(|block| {
            let params = RosaParams { block, rank: 2, ..RosaParams::default() };
            let state = RosaState::untaught(&params, WIDTH, MODEL, 9).unwrap();
            let step: Vec<f32> =
                (0..state.block.values().len()).map(|i| (i as f32).sin()).collect();
            state.stepped(1.0, &step).unwrap()
        })
    }

    fn signed(mut content: Vec<u8>) -> Vec<u8> {
        let digest = digest(&content);
        content.extend_from_slice(digest.as_bytes());
        content
    }

    fn problem(bytes: &[u8]) -> String {
        RosaState::decode(bytes, WIDTH, &MODEL).unwrap_err().to_string()
    }

    #[test]
    fn a_state_comes_back_bit_for_bit() {
        for state in states() {
            assert_eq!(RosaState::decode(&state.encode(), WIDTH, &MODEL).unwrap(), state);
        }
    }

    #[test]
    fn every_changed_and_every_missing_byte_is_refused() {
        for bytes in states().map(|state| state.encode()) {
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 1;
                assert!(RosaState::decode(&changed, WIDTH, &MODEL).is_err(), "byte {at}");
                assert!(RosaState::decode(&bytes[..at], WIDTH, &MODEL).is_err(), "cut at {at}");
            }
        }
    }

    #[test]
    fn other_formats_models_and_lengths_are_named() {
        let bytes = states()[0].encode();
        let content = &bytes[..bytes.len() - DIGEST];
        let changed = |at: usize, value: u8| {
            let mut content = content.to_vec();
            content[at] = value;
            problem(&signed(content))
        };
        assert!(changed(8, 2).contains("format 2"));
        assert!(changed(12, 7).contains("block 7"));
        assert!(changed(16, 7).contains("another model"));
        assert!(changed(40, 7).contains("another model"));
        let mut longer = content.to_vec();
        longer.extend_from_slice(&[0; 4]);
        assert!(problem(&signed(longer)).contains("length"));
        let mut wild = content.to_vec();
        wild[HEADER..HEADER + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(problem(&signed(wild)).contains("not finite"));
        assert!(problem(b"TTVECTOR").contains("not a rosa state"));
        assert!(RosaState::decode(&bytes, WIDTH, &[4; 32]).is_err());
        assert!(RosaState::decode(&bytes, WIDTH + 1, &MODEL).is_err());
    }
}
