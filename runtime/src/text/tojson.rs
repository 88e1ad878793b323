//! `tojson` of chat templates: the layout of Python's `json.dumps`, which transformers' filter calls.

use super::python;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};
use serde::Serialize;
use serde_json::ser::Formatter;
use std::io::{self, Write};

/// `json.dumps(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
pub(crate) fn dumps(
    value: &Value,
    ascii: Option<bool>,
    indent: Option<Value>,
    options: Kwargs,
) -> Result<Value, Error> {
    let ascii = options.get::<Option<bool>>("ensure_ascii")?.or(ascii).unwrap_or(false);
    let indent = options.get::<Option<Value>>("indent")?.or(indent);
    let separators: Option<Vec<String>> = options.get("separators")?;
    let sorted_keys = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    options.assert_all_used()?;
    let mut layout = Layout::new(indent.as_ref())?;
    match separators.as_deref() {
        None => {}
        Some([item, key]) => (layout.item, layout.key) = (item.clone(), key.clone()),
        Some(_) => return Err(bad("separators of tojson are two texts")),
    }
    layout.letters = if ascii { Letters::Ascii } else { Letters::All };
    let sorted = if sorted_keys { Some(sort(value)?) } else { None };
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, layout);
    let failed = |source: serde_json::Error| {
        Error::new(ErrorKind::BadSerialization, "value is not JSON").with_source(source)
    };
    sorted.as_ref().unwrap_or(value).serialize(&mut serializer).map_err(failed)?;
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| Error::new(ErrorKind::BadSerialization, "JSON is not text"))?;
    Ok(Value::from_safe_string(text))
}

fn bad(problem: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem)
}

/// The same value with the keys of every map in order.
fn sort(value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Seq => value.try_iter()?.map(|item| sort(&item)).collect(),
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            keys.sort();
            let pair = |key: Value| Ok((key.clone(), sort(&value.get_item(&key)?)?));
            let pairs: Vec<(Value, Value)> =
                keys.into_iter().map(pair).collect::<Result<_, Error>>()?;
            Ok(Value::from_iter(pairs))
        }
        _ => Ok(value.clone()),
    }
}

/// Whether the array or object being written has an item yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Items {
    None,
    Some,
}

/// Which characters of a string are written as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Letters {
    All,
    Ascii,
}

/// Python's JSON layout: a space behind `,` and `:`, or one item per line.
struct Layout {
    /// What a line of one level is indented by; `None` for everything on one line.
    indent: Option<String>,
    item: String,
    key: String,
    letters: Letters,
    depth: usize,
    items: Items,
}

impl Layout {
    fn new(indent: Option<&Value>) -> Result<Self, Error> {
        let indent = match indent {
            None => None,
            Some(value) if value.is_none() => None,
            Some(value) => Some(match (value.as_str(), value.as_usize()) {
                (Some(text), _) => text.to_owned(),
                (None, Some(width)) if width <= 64 => " ".repeat(width),
                _ => return Err(bad("indent of tojson is a text or a small number")),
            }),
        };
        let item = if indent.is_some() { "," } else { ", " };
        Ok(Self {
            indent,
            item: item.to_owned(),
            key: ": ".to_owned(),
            letters: Letters::All,
            depth: 0,
            items: Items::None,
        })
    }

    fn open(&mut self, out: &mut (impl Write + ?Sized), bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.items = Items::None;
        out.write_all(bracket)
    }

    fn close(&mut self, out: &mut (impl Write + ?Sized), bracket: &[u8]) -> io::Result<()> {
        self.depth = self.depth.saturating_sub(1);
        if self.items == Items::Some {
            self.line(out)?;
        }
        self.items = Items::Some;
        out.write_all(bracket)
    }

    fn begin(&mut self, out: &mut (impl Write + ?Sized), before: Items) -> io::Result<()> {
        if before == Items::Some {
            out.write_all(self.item.as_bytes())?;
        }
        self.line(out)
    }

    fn line(&self, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
        let Some(indent) = &self.indent else {
            return Ok(());
        };
        out.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| out.write_all(indent.as_bytes()))
    }
}

impl Formatter for Layout {
    fn write_f64<W: ?Sized + Write>(&mut self, out: &mut W, value: f64) -> io::Result<()> {
        out.write_all(python::float(value).as_bytes())
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if self.letters == Letters::All {
            return out.write_all(fragment.as_bytes());
        }
        for c in fragment.chars() {
            if c.is_ascii() && c != '\u{7f}' {
                write!(out, "{c}")?;
                continue;
            }
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))?;
        }
        Ok(())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(out, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.close(out, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.begin(out, if first { Items::None } else { Items::Some })
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.items = Items::Some;
        Ok(())
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(out, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.close(out, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.begin(out, if first { Items::None } else { Items::Some })
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(self.key.as_bytes())
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.items = Items::Some;
        Ok(())
    }
}
