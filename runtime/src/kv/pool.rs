//! The pool: storage, reference counts, and the index of shared prefixes.

use super::prefix::PrefixIndex;
use super::{BLOCK_LEN, KvCache, KvType};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::spec::ModelSpec;
use candle_core::Tensor;
use half::vec::HalfBitsVecExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Fixed-size blocks of keys and values for all layers. Cheap to clone: clones are handles to one pool.
#[derive(Debug, Clone)]
pub struct KvPool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Per layer, keys and values `[blocks, 2, kv_heads, head_dim·BLOCK_LEN]`.
    layers: Vec<Tensor>,
    blocks: usize,
    kind: KvType,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    free: Vec<u32>,
    holders: Vec<u32>,
    pub(super) prefixes: PrefixIndex,
}

/// How full a pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// Blocks in the pool.
    pub blocks: usize,
    /// Blocks nobody holds.
    pub free: usize,
    /// Blocks the prefix index holds, alone or with caches.
    pub indexed: usize,
    /// Of those, the ones no cache holds: they give way when a block is needed.
    pub evictable: usize,
}

impl PoolUse {
    /// Blocks that can be taken.
    pub fn available(&self) -> usize {
        self.free + self.evictable
    }
}

/// Zeros that the system commits as they are first written, in host memory.
// -> [blocks, 2, kv_heads, head_dim·BLOCK_LEN]
fn zeros(
    shape: (usize, usize, usize, usize),
    kind: KvType,
    device: &candle_core::Device,
) -> candle_core::Result<Tensor> {
    match kind {
        // candle would write every f16 zero; zero integers come from the system unwritten.
        KvType::F16 if device.is_cpu() => {
            let bits = vec![0u16; shape.0 * shape.1 * shape.2 * shape.3];
            Tensor::from_vec(bits.reinterpret_into::<half::f16>(), shape, device)
        }
        KvType::F16 | KvType::F32 => Tensor::zeros(shape, kind.dtype(), device),
    }
}

impl KvPool {
    /// A pool for `tokens` tokens of this model, kept as f32. Host memory is committed as it is first written.
    pub fn new(spec: &ModelSpec, tokens: usize, device: &Device) -> Result<Self> {
        KvPool::with_type(spec, tokens, KvType::F32, device)
    }

    /// A pool of another type.
    pub fn with_type(
        spec: &ModelSpec,
        tokens: usize,
        kind: KvType,
        device: &Device,
    ) -> Result<Self> {
        let blocks = tokens.div_ceil(BLOCK_LEN).max(1);
        let too_many = || Error::Invalid {
            field: "kv-memory",
            problem: format!("{tokens} tokens are more than a pool can count"),
        };
        let count = u32::try_from(blocks).map_err(|_| too_many())?;
        let values = spec.n_layers().checked_mul(blocks * BLOCK_LEN * 2);
        let bytes = values
            .and_then(|n| n.checked_mul(spec.n_kv_heads * spec.head_dim))
            .and_then(|n| n.checked_mul(kind.bytes()));
        // An allocation that cannot be had aborts the process: ask first.
        let room = bytes.is_some_and(|n| Vec::<u8>::new().try_reserve_exact(n).is_ok());
        if !room && device.kind() == "cpu" {
            let problem = format!("for {tokens} tokens cannot be had from this machine");
            return Err(Error::Invalid { field: "kv-memory", problem });
        }
        let shape = (blocks, 2, spec.n_kv_heads, spec.head_dim * BLOCK_LEN);
        let zeros = |_| zeros(shape, kind, device.candle()).map_err(Error::tensor("kv pool"));
        let layers: Result<Vec<Tensor>> = spec.layers.iter().map(zeros).collect();
        let state = State {
            free: (0..count).rev().collect(),
            holders: vec![0; blocks],
            prefixes: PrefixIndex::default(),
        };
        let state = Mutex::new(state);
        Ok(KvPool { inner: Arc::new(Inner { layers: layers?, blocks, kind, state }) })
    }

    /// An empty cache.
    pub fn cache(&self) -> KvCache {
        KvCache::new(self.clone())
    }

    /// The type its keys and values are kept as.
    pub fn kv_type(&self) -> KvType {
        self.inner.kind
    }

    /// Tokens it can hold.
    pub fn tokens(&self) -> usize {
        self.inner.blocks * BLOCK_LEN
    }

    /// How full the pool is.
    pub fn usage(&self) -> PoolUse {
        let state = self.lock();
        PoolUse {
            blocks: self.inner.blocks,
            free: state.free.len(),
            indexed: state.prefixes.len(),
            evictable: state.prefixes.blocks().filter(|b| state.has_one_holder(*b)).count(),
        }
    }

    /// Forgets every shared prefix; blocks that caches hold stay with them.
    pub fn forget_prefixes(&self) {
        let mut state = self.lock();
        for block in state.prefixes.drain() {
            state.release(block);
        }
    }

    /// Keys and values of one layer, `[blocks, 2, kv_heads, head_dim·BLOCK_LEN]`.
    pub(crate) fn layer(&self, layer: usize) -> Option<&Tensor> {
        self.inner.layers.get(layer)
    }

    /// Whether two handles mean one pool.
    pub(crate) fn is(&self, other: &KvPool) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    // A panic cannot leave the counts half-changed: no code in between can panic.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn full(&self) -> Error {
        Error::PoolFull { blocks: self.inner.blocks, block_len: BLOCK_LEN }
    }

    /// Copies one block's contents in every layer.
    pub(super) fn copy_block(&self, from: u32, to: u32) -> Result<()> {
        for tensor in &self.inner.layers {
            tensor
                .narrow(0, from as usize, 1)
                .and_then(|block| block.force_contiguous())
                .and_then(|block| tensor.slice_set(&block, 0, to as usize))
                .map_err(Error::tensor("kv block copy"))?;
        }
        Ok(())
    }
}

impl State {
    /// A block with one holder; old shared prefixes give way when none is free.
    pub(super) fn take(&mut self) -> Option<u32> {
        if self.free.is_empty() {
            let holders = &self.holders;
            let only_indexed = |b: u32| holders.get(b as usize) == Some(&1);
            let oldest = self.prefixes.evict(only_indexed)?;
            self.release(oldest);
        }
        let block = self.free.pop()?;
        self.hold(block);
        Some(block)
    }

    pub(super) fn hold(&mut self, block: u32) {
        if let Some(n) = self.holders.get_mut(block as usize) {
            *n += 1;
        }
    }

    pub(super) fn release(&mut self, block: u32) {
        if let Some(n) = self.holders.get_mut(block as usize) {
            // Freed twice, a block would have two owners.
            debug_assert!(*n > 0, "block {block} is released more often than it is held");
            if *n == 0 {
                return;
            }
            *n -= 1;
            if *n == 0 {
                self.free.push(block);
            }
        }
    }

    fn has_one_holder(&self, block: u32) -> bool {
        self.holders.get(block as usize) == Some(&1)
    }

    pub(super) fn is_shared(&self, block: u32) -> bool {
        self.holders.get(block as usize).is_some_and(|n| *n > 1)
    }
}
