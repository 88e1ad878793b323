//! Metadata values: what the file calls them, and how they are read.

use super::cursor::Cursor;
use super::flaw::Fault;
use crate::decoder::weights::metadata::Value;

/// Items in one array. Vocabularies have a few 10^5; above this a file is broken or hostile.
const ARRAY_LIMIT: u64 = 1 << 24;

/// A value type of the format.
#[derive(Clone, Copy)]
enum Kind {
    Integer(Width),
    F32,
    F64,
    Boolean,
    Text,
    Array,
}

/// An integer type of the format.
#[derive(Clone, Copy)]
enum Width {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
}

impl Kind {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        let code = cursor.u32()?;
        Ok(match code {
            0 => Self::Integer(Width::U8),
            1 => Self::Integer(Width::I8),
            2 => Self::Integer(Width::U16),
            3 => Self::Integer(Width::I16),
            4 => Self::Integer(Width::U32),
            5 => Self::Integer(Width::I32),
            6 => Self::F32,
            7 => Self::Boolean,
            8 => Self::Text,
            9 => Self::Array,
            10 => Self::Integer(Width::U64),
            11 => Self::Integer(Width::I64),
            12 => Self::F64,
            _ => return Err(Fault::ValueType(code)),
        })
    }

    /// The fewest bytes one value takes in the file.
    fn smallest(self) -> u64 {
        match self {
            Self::Integer(width) => width.bytes(),
            Self::F32 => 4,
            Self::F64 | Self::Text => 8,
            Self::Boolean => 1,
            Self::Array => 12,
        }
    }
}

impl Width {
    fn bytes(self) -> u64 {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 => 4,
            Self::U64 | Self::I64 => 8,
        }
    }

    fn read(self, cursor: &mut Cursor<'_>) -> Result<i128, Fault> {
        Ok(match self {
            Self::U8 => u8::from_le_bytes(cursor.array()?).into(),
            Self::I8 => i8::from_le_bytes(cursor.array()?).into(),
            Self::U16 => u16::from_le_bytes(cursor.array()?).into(),
            Self::I16 => i16::from_le_bytes(cursor.array()?).into(),
            Self::U32 => u32::from_le_bytes(cursor.array()?).into(),
            Self::I32 => i32::from_le_bytes(cursor.array()?).into(),
            Self::U64 => u64::from_le_bytes(cursor.array()?).into(),
            Self::I64 => i64::from_le_bytes(cursor.array()?).into(),
        })
    }
}

/// One value with its type.
pub(super) fn value(cursor: &mut Cursor<'_>) -> Result<Value, Fault> {
    match Kind::read(cursor)? {
        Kind::Integer(width) => width.read(cursor).and_then(integer),
        Kind::F32 => Ok(Value::Float(f32::from_le_bytes(cursor.array()?).into())),
        Kind::F64 => Ok(Value::Float(f64::from_le_bytes(cursor.array()?))),
        Kind::Boolean => boolean(cursor).map(Value::Bool),
        Kind::Text => text(cursor).map(Value::Text),
        Kind::Array => array(cursor),
    }
}

fn integer(number: i128) -> Result<Value, Fault> {
    u64::try_from(number)
        .map(Value::Unsigned)
        .or_else(|_| i64::try_from(number).map(Value::Signed))
        .map_err(|_| Fault::Integer(number))
}

fn boolean(cursor: &mut Cursor<'_>) -> Result<bool, Fault> {
    match cursor.array()? {
        [0] => Ok(false),
        [1] => Ok(true),
        [other] => Err(Fault::Boolean(other)),
    }
}

fn text(cursor: &mut Cursor<'_>) -> Result<String, Fault> {
    cursor.text(u64::MAX).map(str::to_owned)
}

fn array(cursor: &mut Cursor<'_>) -> Result<Value, Fault> {
    let kind = Kind::read(cursor)?;
    let count = cursor.count(kind.smallest())?;
    if count as u64 > ARRAY_LIMIT {
        return Err(Fault::TooLong { length: count as u64, limit: ARRAY_LIMIT });
    }
    match kind {
        Kind::Integer(width) => items(count, || {
            let number = width.read(cursor)?;
            i64::try_from(number).map_err(|_| Fault::Integer(number))
        })
        .map(Value::Integers),
        Kind::F32 => items(count, || cursor.array().map(f32::from_le_bytes)).map(Value::Floats),
        Kind::F64 => items(count, || cursor.array().map(|bytes| f64::from_le_bytes(bytes) as f32))
            .map(Value::Floats),
        Kind::Boolean => items(count, || boolean(cursor)).map(Value::Bools),
        Kind::Text => items(count, || text(cursor)).map(Value::Texts),
        Kind::Array => Err(Fault::NestedArray),
    }
}

/// Reads `count` items. The caller has checked that the file is long enough for them.
fn items<T>(count: usize, mut read: impl FnMut() -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        list.push(read()?);
    }
    Ok(list)
}
