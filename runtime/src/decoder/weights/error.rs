//! What can be wrong with a weight file. Every variant names the file it was found in.

use std::path::PathBuf;

use super::StoredType;
use super::gguf::Flaw;
use super::metadata::WrongKind;
use crate::filetype::{FileType, NotText};

/// A weight file that cannot be opened, or a tensor that cannot be loaded from it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is missing, unreadable, or cannot be mapped.
    #[error("{path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A pipe, a device or a folder where a file was expected.
    #[error("{path} is not a regular file")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Another kind of file.
    #[error("{path} is not {expected}: it is {found}")]
    FileType {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: FileType,
    },
    /// A JSON file that is no text.
    #[error("{path}: {flaw}")]
    NotText {
        /// The file.
        path: PathBuf,
        /// Where and why not.
        flaw: NotText,
    },
    /// A folder with an adapter and without a model.
    #[error(
        "{path} holds a LoRA adapter (adapter_config.json), not a model; merge it into its model first"
    )]
    Adapter {
        /// The folder.
        path: PathBuf,
    },
    /// A GGUF file breaks a rule of the format.
    #[error("{path} is not a GGUF file this reader accepts: {flaw}")]
    Gguf {
        /// The file.
        path: PathBuf,
        /// Where the file is wrong, and how.
        flaw: Flaw,
    },
    /// A metadata key the loader itself needs has the wrong kind of value.
    #[error("{path}: {wrong}")]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The key and what it should be.
        wrong: WrongKind,
    },
    /// A part of a split set other than the first was named.
    #[error("{path} is a later part of a split set, expected its first part {first}")]
    NotFirstPart {
        /// The file that was named.
        path: PathBuf,
        /// The part that opens the set.
        first: PathBuf,
    },
    /// A part of a split set is not beside the first.
    #[error("{path} is part of a split set of {parts} files, of which {missing} is missing")]
    MissingPart {
        /// The first part.
        path: PathBuf,
        /// The part that is not there.
        missing: PathBuf,
        /// How many parts the name announces.
        parts: u32,
    },
    /// A file's own account of the split disagrees with its name or with the set.
    #[error("{path}: metadata key {key} is {stored}, expected {expected}")]
    Split {
        /// The file.
        path: PathBuf,
        /// The metadata key.
        key: &'static str,
        /// What the file says.
        stored: usize,
        /// What the set says.
        expected: usize,
    },
    /// A JSON file, or the JSON header of a safetensors file, cannot be understood.
    #[error("{path} holds JSON that cannot be understood")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A JSON file, or the JSON header of a safetensors file, is larger than allowed.
    #[error("{path} holds {bytes} bytes of JSON, at most {limit} are read")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size, or the size its header claims.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A safetensors file ends before the data its header promises, or holds more than that.
    #[error("{path} is {found} bytes long, expected {expected}")]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// The length its header asks for.
        expected: u64,
    },
    /// Types, shapes and offsets of a safetensors header do not fit together.
    #[error("{path} has an inconsistent safetensors header")]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What the safetensors crate found.
        #[source]
        source: safetensors::SafeTensorError,
    },
    /// A folder holds no safetensors file.
    #[error("{path} is a folder without *.safetensors files")]
    NoShards {
        /// The folder.
        path: PathBuf,
    },
    /// The index names a shard by something other than a plain file name.
    #[error("{path}: tensor {tensor} is placed in `{file}`, expected a plain *.safetensors name")]
    ShardName {
        /// The index file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What the index says.
        file: String,
    },
    /// The index places a tensor in a shard that does not hold it.
    #[error("{path}: tensor {tensor} is placed in {file}, which does not hold it")]
    Misplaced {
        /// The index file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The shard.
        file: String,
    },
    /// Two files of a set hold a tensor of the same name.
    #[error("tensor {tensor} is both in {first} and in {second}")]
    Duplicate {
        /// The tensor.
        tensor: String,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// The set has no tensor of this name.
    #[error("tensor {tensor} is not in {path}")]
    NoTensor {
        /// The first file, or the folder.
        path: PathBuf,
        /// The tensor that was asked for.
        tensor: String,
    },
    /// The tensor is stored in a type that cannot be loaded.
    #[error(
        "tensor {tensor} in {path} is stored as {dtype}, expected F32, F16, BF16 or a GGML type \
         from Q4_0 to Q8_K"
    )]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: StoredType,
    },
    /// candle could not make a tensor of the stored bytes.
    #[error("tensor {tensor} in {path} cannot be put on the device")]
    Candle {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What candle said.
        #[source]
        source: Box<candle_core::Error>,
    },
}
