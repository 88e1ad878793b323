//! Bytes of a GGUF file, version 3.
//!
//! Our own, because candle's writer makes version 2. The format:
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

/// Where data is aligned; the format's default, so no key says it.
const ALIGNMENT: usize = 32;
/// GGML's number for f32.
const F32: u32 = 0;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    U32(u32),
    F32(f32),
    Bool(bool),
}

/// A file of metadata and one-dimensional f32 tensors, both in the order given.
pub(crate) fn write(entries: &[(&str, Value)], tensors: &[(String, &[f32])]) -> Vec<u8> {
    let mut file = b"GGUF".to_vec();
    file.extend(3_u32.to_le_bytes());
    file.extend((tensors.len() as u64).to_le_bytes());
    file.extend((entries.len() as u64).to_le_bytes());
    for (key, value) in entries {
        text(&mut file, key);
        match value {
            Value::U32(number) => {
                file.extend(4_u32.to_le_bytes());
                file.extend(number.to_le_bytes());
            }
            Value::F32(number) => {
                file.extend(6_u32.to_le_bytes());
                file.extend(number.to_le_bytes());
            }
            Value::Bool(value) => {
                file.extend(7_u32.to_le_bytes());
                file.push(u8::from(*value));
            }
            Value::Text(value) => {
                file.extend(8_u32.to_le_bytes());
                text(&mut file, value);
            }
        }
    }
    let mut offset = 0_u64;
    for (name, values) in tensors {
        text(&mut file, name);
        file.extend(1_u32.to_le_bytes());
        file.extend((values.len() as u64).to_le_bytes());
        file.extend(F32.to_le_bytes());
        file.extend(offset.to_le_bytes());
        offset += size_of_val(*values).next_multiple_of(ALIGNMENT) as u64;
    }
    for (_, values) in tensors {
        file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
        file.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    }
    file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
    file
}

fn text(file: &mut Vec<u8>, text: &str) {
    file.extend((text.len() as u64).to_le_bytes());
    file.extend(text.as_bytes());
}
