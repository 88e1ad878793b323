//! The Jinja environment of chat templates: minijinja with what Hugging Face's environment adds or does
//! otherwise.
//!
//! Blocks trimmed, Python's string methods, `raise_exception`, `strftime_now`, and `tojson` that writes what
//! `json.dumps` writes. Templates come with models, so running one is bounded in steps, depth and output.

use super::clock::strftime;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use serde::Serialize;
use serde_json::ser::Formatter;
use std::io::{self, Write};
use std::time::SystemTime;

/// Virtual-machine steps of one rendering: about ten thousand messages.
const FUEL: u64 = 2_000_000;
const DEPTH: usize = 100;
/// Bytes of one rendering.
const OUTPUT: usize = 16 << 20;
/// The one template of an environment. The name has no extension, so nothing is escaped.
const NAME: &str = "chat";

/// Compiles a template.
pub(crate) fn environment(source: &str) -> Result<Environment<'static>, Error> {
    let mut env = Environment::new();
    env.set_trim_blocks(true);
    env.set_lstrip_blocks(true);
    env.set_fuel(Some(FUEL));
    env.set_recursion_limit(DEPTH);
    env.set_unknown_method_callback(method);
    env.set_formatter(|out, state, value| match value.kind() {
        ValueKind::None => out.write_str("None").map_err(Error::from),
        ValueKind::Bool => {
            let text = if value.is_true() { "True" } else { "False" };
            out.write_str(text).map_err(Error::from)
        }
        _ => minijinja::escape_formatter(out, state, value),
    });
    env.add_filter("tojson", to_json);
    env.add_filter("trim", |text: String, chars: Option<String>| {
        strip(&text, chars.as_deref(), Side::Both).to_owned()
    });
    env.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    env.add_template_owned(NAME, without_generation_tags(source))?;
    Ok(env)
}

/// Runs the template.
pub(crate) fn run(env: &Environment<'static>, context: &Value) -> Result<String, Error> {
    let mut out = Bounded(Vec::new());
    env.get_template(NAME)?.render_captured_to(context, &mut out)?;
    String::from_utf8(out.0)
        .map_err(|_| Error::new(ErrorKind::BadSerialization, "output is not text"))
}

/// `strftime_now`, with one time for all renderings of a conversation.
pub(crate) fn clock(now: SystemTime) -> Value {
    Value::from_function(move |format: String| strftime(&format, now))
}

/// What Python's `str.strip` takes for white space.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
    Both,
}

fn strip<'a>(text: &'a str, chars: Option<&str>, side: Side) -> &'a str {
    let drop = |c: char| chars.map_or(is_space(c), |chars| chars.contains(c));
    match side {
        Side::Left => text.trim_start_matches(drop),
        Side::Right => text.trim_end_matches(drop),
        Side::Both => text.trim_matches(drop),
    }
}

fn method(state: &State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let side = match name {
        "strip" => Some(Side::Both),
        "lstrip" => Some(Side::Left),
        "rstrip" => Some(Side::Right),
        _ => None,
    };
    if let (Some(text), Some(side)) = (value.as_str(), side) {
        let (chars,): (Option<&str>,) = minijinja::value::from_args(args)?;
        return Ok(Value::from(strip(text, chars, side)));
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args)
}

/// A writer that refuses more than [`OUTPUT`].
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT {
            return Err(io::Error::other("rendered prompt is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes `{% generation %}` a block that does nothing; it marks text for training only.
fn without_generation_tags(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, tag)) = rest.split_once("{%") {
        text.push_str(before);
        let (body, after) = tag.split_once("%}").unwrap_or((tag, ""));
        let closed = body.len() < tag.len();
        let word = body.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        let same = match word {
            "generation" => "if true",
            "endgeneration" => "endif",
            _ => word,
        };
        text.push_str("{%");
        text.push_str(&if same == word { body.to_owned() } else { body.replace(word, same) });
        text.push_str(if closed { "%}" } else { "" });
        rest = after;
    }
    text.push_str(rest);
    text
}

/// `json.dumps(value, ensure_ascii=False, indent=indent)`.
fn to_json(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // Accepted for templates that spell out the default.
    let ascii: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    if ascii == Some(true) {
        return Err(Error::new(ErrorKind::InvalidOperation, "tojson cannot escape non-ASCII text"));
    }
    let mut bytes = Vec::new();
    let format = Python { indent, depth: 0, items: Items::None };
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, format);
    let bad = |source: serde_json::Error| {
        Error::new(ErrorKind::BadSerialization, "value is not JSON").with_source(source)
    };
    value.serialize(&mut serializer).map_err(bad)?;
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| Error::new(ErrorKind::BadSerialization, "JSON is not text"))?;
    Ok(Value::from_safe_string(text))
}

/// Whether the array or object being written has an item yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Items {
    None,
    Some,
}

/// Python's JSON layout: a space behind `,` and `:`, or one item per line.
struct Python {
    indent: Option<usize>,
    depth: usize,
    items: Items,
}

impl Python {
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

    fn item(&mut self, out: &mut (impl Write + ?Sized), before: Items) -> io::Result<()> {
        match (before, self.indent) {
            (Items::None, _) => {}
            (Items::Some, Some(_)) => out.write_all(b",")?,
            (Items::Some, None) => out.write_all(b", ")?,
        }
        self.line(out)
    }

    fn line(&self, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
        let Some(indent) = self.indent else {
            return Ok(());
        };
        out.write_all(b"\n")?;
        (0..indent * self.depth).try_for_each(|_| out.write_all(b" "))
    }
}

impl Formatter for Python {
    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(out, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.close(out, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        let before = if first { Items::None } else { Items::Some };
        self.item(out, before)
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
        let before = if first { Items::None } else { Items::Some };
        self.item(out, before)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.items = Items::Some;
        Ok(())
    }
}
