//! The Jinja environment of chat templates: minijinja with what Hugging Face's environment adds or does
//! otherwise.
//!
//! Blocks trimmed, line ends unified, `raise_exception`, `strftime_now`, and where minijinja's filters, tests and
//! methods are not Python's, Python's: see [`super::python`] and [`super::tojson`]. What neither can do (`%` between
//! strings, `varargs` and `kwargs` of macros) is an error of the template. Templates come with models, so running
//! one is bounded in steps, depth and output.

use super::clock::strftime;
use super::python::{self, Side, text};
use super::tojson;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};
use std::collections::HashSet;
use std::io::{self, Write};
use std::time::SystemTime;

/// Virtual-machine steps of one rendering: about ten thousand messages.
const FUEL: u64 = 2_000_000;
const DEPTH: usize = 100;
/// Bytes of one rendering.
const OUTPUT: usize = 16 << 20;
/// The one template of an environment. The name has no extension, so nothing is escaped.
const NAME: &str = "chat";

/// Compiles a template, whose line ends are [unified](unified).
pub(crate) fn environment(source: &str) -> Result<Environment<'static>, Error> {
    let mut env = Environment::new();
    env.set_trim_blocks(true);
    env.set_lstrip_blocks(true);
    env.set_fuel(Some(FUEL));
    env.set_recursion_limit(DEPTH);
    env.set_unknown_method_callback(python::method);
    env.set_formatter(|out, state, value| match value.kind() {
        ValueKind::None | ValueKind::Bool | ValueKind::Number | ValueKind::Seq | ValueKind::Map => {
            out.write_str(&text(value)).map_err(Error::from)
        }
        _ => minijinja::escape_formatter(out, state, value),
    });
    add_filters(&mut env);
    add_tests(&mut env);
    env.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    env.add_function("dict", dict);
    env.add_template_owned(NAME, without_generation_tags(source))?;
    Ok(env)
}

/// The source with every line end as `\n`, which Jinja makes of it before it reads it.
pub(crate) fn unified(source: &str) -> String {
    source.replace("\r\n", "\n").replace('\r', "\n")
}

fn add_filters(env: &mut Environment<'static>) {
    env.add_filter("tojson", tojson::dumps);
    env.add_filter("trim", |text: String, chars: Option<String>| {
        python::strip(&text, chars.as_deref(), Side::Both).to_owned()
    });
    env.add_filter("string", text);
    env.add_filter("join", join);
    env.add_filter("center", center);
    env.add_filter("urlencode", url_encoded);
}

fn add_tests(env: &mut Environment<'static>) {
    env.add_test("iterable", is_iterable);
    env.add_test("sequence", is_sequence);
    env.add_test("number", is_number);
    env.add_test("callable", is_callable);
}

/// An undefined value iterates over nothing in Jinja; none does not iterate.
fn is_iterable(value: &Value) -> bool {
    match value.kind() {
        ValueKind::None => false,
        ValueKind::String | ValueKind::Undefined => true,
        _ => value.try_iter().is_ok(),
    }
}

/// What has a length and items, in Jinja's eyes.
fn is_sequence(value: &Value) -> bool {
    matches!(
        value.kind(),
        ValueKind::Seq | ValueKind::Map | ValueKind::String | ValueKind::Undefined
    )
}

/// Python's booleans are numbers.
fn is_number(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Number | ValueKind::Bool)
}

/// An undefined value has the methods of a function in Jinja.
fn is_callable(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Plain | ValueKind::Undefined)
}

fn center(value: &Value, width: Option<usize>) -> Result<String, Error> {
    python::pad(&text(value), width.unwrap_or(80), ' ', "center")
}

/// `join(values, d='', attribute=None)` over Python's form of each value. An attribute is a name, a number, or several of
/// them with dots between.
fn join(
    values: &Value,
    glue: Option<String>,
    attribute: Option<Value>,
    options: Kwargs,
) -> Result<String, Error> {
    let glue = glue.or(options.get("d")?).unwrap_or_default();
    let attribute = attribute.or(options.get("attribute")?);
    options.assert_all_used()?;
    let place = |step: &str| step.parse::<usize>().map_or_else(|_| step.into(), Value::from);
    let steps: Vec<Value> = match &attribute {
        None => Vec::new(),
        Some(attribute) if attribute.is_none() => Vec::new(),
        Some(attribute) => match attribute.as_str() {
            Some(path) => path.split('.').map(place).collect(),
            None => vec![attribute.clone()],
        },
    };
    let part = |value: Value| {
        let found = steps.iter().try_fold(value, |value, step| value.get_item(step));
        found.map(|value| text(&value))
    };
    let parts: Vec<String> = values.try_iter()?.map(part).collect::<Result<_, Error>>()?;
    Ok(parts.join(&glue))
}

fn url_encoded(value: &Value) -> String {
    let quote = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' | b'/' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text(value).bytes().map(quote).collect()
}

/// Python's `dict`: of a map or of pairs, with keywords behind it.
fn dict(start: Option<Value>, named: Kwargs) -> Result<Value, Error> {
    let mut pairs: Vec<(Value, Value)> = Vec::new();
    let start = start.unwrap_or_else(|| Value::from(()));
    match start.kind() {
        ValueKind::None => {}
        ValueKind::Map => {
            for key in start.try_iter()? {
                pairs.push((key.clone(), start.get_item(&key)?));
            }
        }
        _ => {
            for pair in start.try_iter()? {
                pairs.push((pair.get_item_by_index(0)?, pair.get_item_by_index(1)?));
            }
        }
    }
    for name in named.args() {
        pairs.push((Value::from(name), named.get(name)?));
    }
    Ok(Value::from_iter(pairs))
}

/// Names that the template reads and does not set.
pub(crate) fn variables(env: &Environment<'static>) -> HashSet<String> {
    env.get_template(NAME).map(|template| template.undeclared_variables(false)).unwrap_or_default()
}

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
