//! Keys and values: a pool of blocks, caches as lists of blocks, and prefixes that several caches share.
//!
//! A [`KvPool`] owns fixed-size blocks for all layers. A [`KvCache`] is a list of block ids and a length, grows only
//! at its end and is not `Clone`: candle's caches alias their storage when cloned, and a rewind of one then changes
//! the other. `truncate` is a rewind and costs nothing; `fork` shares every block by reference count, and the
//! first write into a block that another cache still holds copies it first. Sliding-window layers keep every
//! position and mask the old ones, because a ring cannot be rewound.

mod cache;
mod kind;
mod pool;
mod prefix;

pub use cache::KvCache;
pub use kind::KvType;
pub use pool::{KvPool, PoolUse};
pub use prefix::PrefixKey;

pub use crate::kernels::blocks::BLOCK_LEN;
