//! Files that are no vector files, by their first bytes.

use crate::error::{Error, Result};
use trimtab_runtime::filetype::FileType;

/// Refuses what is another kind of file altogether, and says what it is.
pub(crate) fn refuse_type(bytes: &[u8]) -> Result<()> {
    refuse_code(bytes)?;
    match FileType::of(bytes) {
        Some(kind) => Err(Error::not_a_vector(format!("it is {kind}"))),
        None => Ok(()),
    }
}

/// Refuses formats that can carry code or hold nameless arrays, by content and whatever the suffix.
fn refuse_code(bytes: &[u8]) -> Result<()> {
    // A safetensors header may be 128 bytes long, so the first byte alone does not tell a pickle.
    let pickle = bytes.first() == Some(&0x80)
        && bytes.get(1).is_some_and(|protocol| (1..=5).contains(protocol))
        && bytes.get(8) != Some(&b'{');
    let format = if bytes.starts_with(b"PK\x03\x04") {
        "zip (.pt, .npz)"
    } else if bytes.starts_with(b"\x93NUMPY") {
        "NumPy"
    } else if pickle {
        "pickle"
    } else {
        return Ok(());
    };
    Err(Error::Pickle { format })
}
