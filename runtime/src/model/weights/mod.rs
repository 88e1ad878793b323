//! Weight files: GGUF and safetensors behind one door.

pub mod metadata;
