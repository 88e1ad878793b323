//! What Python does with values, where chat templates can see it: how a value prints, and methods of strings,
//! lists and maps.
//!
//! minijinja's own forms are Rust's: `["a"]`, `true`, byte offsets. Methods that are not here, and on which both
//! agree, are those of `minijinja_contrib::pycompat`.

use minijinja::value::{Kwargs, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};

pub(crate) fn text(value: &Value) -> String {
    match value.kind() {
        ValueKind::String | ValueKind::Undefined => value.to_string(),
        _ => repr(value),
    }
}

/// `repr(value)`; what has no form in Python is written as minijinja writes it.
fn repr(value: &Value) -> String {
    let items =
        |open: &str, close: &str, items: Vec<String>| format!("{open}{}{close}", items.join(", "));
    match (value.kind(), value.as_str()) {
        (ValueKind::None, _) => "None".to_owned(),
        (ValueKind::Bool, _) => (if value.is_true() { "True" } else { "False" }).to_owned(),
        (ValueKind::String, Some(text)) => quoted(text),
        (ValueKind::Number, _) if !value.is_integer() => {
            f64::try_from(value.clone()).map_or_else(|_| value.to_string(), float)
        }
        (ValueKind::Seq, _) => match value.try_iter() {
            Ok(list) => items("[", "]", list.map(|item| repr(&item)).collect()),
            Err(_) => value.to_string(),
        },
        (ValueKind::Map, _) => match value.try_iter() {
            Ok(keys) => {
                let pair = |key: Value| {
                    let value = value.get_item(&key).unwrap_or_default();
                    format!("{}: {}", repr(&key), repr(&value))
                };
                items("{", "}", keys.map(pair).collect())
            }
            Err(_) => value.to_string(),
        },
        _ => value.to_string(),
    }
}

/// A string as Python's source would have it.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if prints(c) => out.push(c),
            c if u32::from(c) < 0x100 => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if u32::from(c) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push(quote);
    out
}

/// `str.isprintable` of a character. Stand-ins of a message under cover (planes 15 and 16) count as what they
/// stand for.
fn prints(c: char) -> bool {
    if u32::from(c) >= 0xf_0000 {
        return true;
    }
    // Behind another character, the standard library escapes exactly what has no glyph of its own.
    let pair: String = ['x', c].iter().collect();
    let escaped: String = pair.escape_debug().collect();
    escaped == pair || c == '"' || c == '\''
}

/// `repr` of a float: the shortest digits, with an exponent where Python has one.
pub(crate) fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return (if value > 0.0 { "inf" } else { "-inf" }).to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(n) if !(-4..16).contains(&n) => {
            let sign = if n < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", n.unsigned_abs())
        }
        _ if value.fract() == 0.0 => format!("{value:.1}"),
        _ => value.to_string(),
    }
}

/// What Python's `str.strip` takes for white space.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Calls a method of a value.
pub(crate) fn method(
    state: &State,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let own = match (value.as_str(), value.kind()) {
        (Some(text), _) => string_method(text, name, args)?,
        (None, ValueKind::Seq | ValueKind::Map) if name == "copy" => Some(value.clone()),
        (None, ValueKind::Seq) if name == "index" => {
            let (what,): (&Value,) = from_args(args)?;
            let place = value.try_iter()?.position(|item| item == *what);
            Some(Value::from(place.ok_or_else(|| missing("value is not in the list"))?))
        }
        _ => None,
    };
    match own {
        Some(value) => Ok(value),
        None => minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args),
    }
}

fn missing(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, what)
}

/// Methods of strings that minijinja lacks or has otherwise; `None` for the rest.
fn string_method(text: &str, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let value = match name {
        "strip" | "lstrip" | "rstrip" => {
            let (chars,): (Option<&str>,) = from_args(args)?;
            Value::from(strip(text, chars, Side::of(name)))
        }
        "find" | "index" | "rfind" | "rindex" => find(text, name, args)?,
        "partition" | "rpartition" => {
            let (by,): (&str,) = from_args(args)?;
            partition(text, by, Side::of(name))?
        }
        "split" | "rsplit" => {
            let (by, most, named): (Option<&str>, Option<i64>, Kwargs) = from_args(args)?;
            let by = by.or(named.get("sep")?);
            let most = most.or(named.get("maxsplit")?);
            named.assert_all_used()?;
            split(text, by, most, Side::of(name))?
        }
        "count" => {
            let (what,): (&str,) = from_args(args)?;
            Value::from(text.matches(what).count())
        }
        "splitlines" => {
            let (keep, named): (Option<bool>, Kwargs) = from_args(args)?;
            let keep = keep.or(named.get("keepends")?);
            named.assert_all_used()?;
            lines(text, if keep == Some(true) { Ends::Keep } else { Ends::Drop })
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            Value::from(text.strip_prefix(prefix).unwrap_or(text))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            Value::from(text.strip_suffix(suffix).unwrap_or(text))
        }
        "ljust" | "rjust" | "center" => {
            let (width, fill): (usize, Option<char>) = from_args(args)?;
            Value::from(pad(text, width, fill.unwrap_or(' '), name)?)
        }
        "zfill" => {
            let (width,): (usize,) = from_args(args)?;
            Value::from(zero_filled(text, width)?)
        }
        "title" | "casefold" | "swapcase" => {
            let () = from_args(args)?;
            Value::from(cased(text, name))
        }
        "isalnum" | "isalpha" | "isdigit" | "isnumeric" | "isspace" | "islower" | "isupper" => {
            let () = from_args(args)?;
            Value::from(is(text, name))
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}

/// The end of a text that a method works at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
    Both,
}

impl Side {
    fn of(name: &str) -> Self {
        match name {
            "strip" => Side::Both,
            "rstrip" | "rpartition" | "rsplit" | "rfind" | "rindex" => Side::Right,
            _ => Side::Left,
        }
    }
}

/// `strip`, `lstrip` or `rstrip`.
pub(crate) fn strip<'a>(text: &'a str, chars: Option<&str>, side: Side) -> &'a str {
    let drop = |c: char| chars.map_or(is_space(c), |chars| chars.contains(c));
    match side {
        Side::Left => text.trim_start_matches(drop),
        Side::Right => text.trim_end_matches(drop),
        Side::Both => text.trim_matches(drop),
    }
}

/// Offsets count characters, as in Python.
fn find(text: &str, name: &str, args: &[Value]) -> Result<Value, Error> {
    let (what, start, end): (&str, Option<i64>, Option<i64>) = from_args(args)?;
    let length = text.chars().count();
    let place = |at: i64| {
        let back = usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX);
        if at < 0 { length.saturating_sub(back) } else { back }
    };
    let (start, end) = (place(start.unwrap_or(0)), end.map_or(length, place).min(length));
    let part: String = text.chars().skip(start).take(end.saturating_sub(start)).collect();
    let found = match Side::of(name) {
        // Not even the empty text is found there.
        _ if start > end => None,
        Side::Right => part.rfind(what),
        Side::Left | Side::Both => part.find(what),
    };
    match found {
        Some(at) => Ok(Value::from(start + part.get(..at).map_or(0, |s| s.chars().count()))),
        None if name.ends_with("index") => Err(missing("substring not found")),
        None => Ok(Value::from(-1)),
    }
}

fn partition(text: &str, by: &str, side: Side) -> Result<Value, Error> {
    if by.is_empty() {
        return Err(missing("empty separator"));
    }
    let found = match side {
        Side::Right => text.rsplit_once(by),
        Side::Left | Side::Both => text.split_once(by),
    };
    Ok(Value::from_iter(match (found, side) {
        (Some((before, after)), _) => vec![before, by, after],
        (None, Side::Right) => vec!["", "", text],
        (None, Side::Left | Side::Both) => vec![text, "", ""],
    }))
}

fn split(text: &str, by: Option<&str>, most: Option<i64>, side: Side) -> Result<Value, Error> {
    // A negative number is no limit.
    let most = most.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX - 1);
    let mut parts: Vec<&str> = match (by, side) {
        (Some(""), _) => return Err(missing("empty separator")),
        (Some(by), Side::Right) => text.rsplitn(most + 1, by).collect(),
        (Some(by), Side::Left | Side::Both) => text.splitn(most + 1, by).collect(),
        (None, side) => words(text, most, side),
    };
    if side == Side::Right {
        parts.reverse();
    }
    Ok(Value::from_iter(parts))
}

/// Words from one side, the rest last.
fn words(text: &str, most: usize, side: Side) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = strip(text, None, side);
    while !rest.is_empty() {
        let cut = match side {
            Side::Right => rest.rsplit_once(is_space).map(|(before, word)| (word, before)),
            Side::Left | Side::Both => rest.split_once(is_space),
        };
        let (word, more) = cut.filter(|_| parts.len() < most).unwrap_or((rest, ""));
        parts.push(word);
        rest = strip(more, None, side);
    }
    parts
}

/// Whether a line keeps its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Keep,
    Drop,
}

fn lines(text: &str, ends: Ends) -> Value {
    const BREAKS: &[char] =
        &['\n', '\r', '\x0b', '\x0c', '\x1c', '\x1d', '\x1e', '\u{85}', '\u{2028}', '\u{2029}'];
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let at = rest.find(BREAKS).unwrap_or(rest.len());
        let (line, behind) = rest.split_at(at);
        let end = if behind.starts_with("\r\n") {
            2
        } else {
            behind.chars().next().map_or(0, char::len_utf8)
        };
        lines.push(match ends {
            Ends::Keep => rest.get(..at + end).unwrap_or(line),
            Ends::Drop => line,
        });
        rest = behind.get(end..).unwrap_or_default();
    }
    Value::from_iter(lines)
}

/// Padding that a template asks for is bounded like its output.
fn room(text: &str, width: usize) -> Result<usize, Error> {
    const WIDEST: usize = 1 << 20;
    if width > WIDEST {
        return Err(missing("a field is too wide"));
    }
    Ok(width.saturating_sub(text.chars().count()))
}

/// `ljust`, `rjust` or `center`.
pub(crate) fn pad(text: &str, width: usize, fill: char, name: &str) -> Result<String, Error> {
    let room = room(text, width)?;
    let left = match name {
        "ljust" => 0,
        "rjust" => room,
        // CPython's own rounding.
        _ => room / 2 + (room & width & 1),
    };
    let some = |n: usize| std::iter::repeat_n(fill, n);
    Ok(some(left).chain(text.chars()).chain(some(room - left)).collect())
}

fn zero_filled(text: &str, width: usize) -> Result<String, Error> {
    let zeros = "0".repeat(room(text, width)?);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = text.strip_suffix(digits).unwrap_or_default();
    Ok(format!("{sign}{zeros}{digits}"))
}

fn cased(text: &str, name: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        let upper = match name {
            "title" => !inside,
            "swapcase" => c.is_lowercase(),
            _ => false,
        };
        match (upper, c) {
            (true, c) => out.extend(c.to_uppercase()),
            (false, 'ß') if name == "casefold" => out.push_str("ss"),
            (false, c) => out.extend(c.to_lowercase()),
        }
        inside = c.is_lowercase() || c.is_uppercase();
    }
    out
}

/// The predicates of strings; none holds of the empty one.
fn is(text: &str, name: &str) -> bool {
    let all = |test: fn(char) -> bool| !text.is_empty() && text.chars().all(test);
    let one_case = |own: fn(char) -> bool, other: fn(char) -> bool| {
        text.chars().any(own) && !text.chars().any(other)
    };
    match name {
        "isalnum" => all(char::is_alphanumeric),
        "isalpha" => all(char::is_alphabetic),
        "isspace" => all(is_space),
        "islower" => one_case(char::is_lowercase, char::is_uppercase),
        "isupper" => one_case(char::is_uppercase, char::is_lowercase),
        _ => all(char::is_numeric),
    }
}
