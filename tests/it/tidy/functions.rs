//! Finds the functions of a Rust file and the parts of it that are test code.
//!
//! Works on the code layer by matching braces. A function's length is counted from the line of `fn`
//! to the line of its closing brace, both included; closures belong to the function around them.

use std::ops::RangeInclusive;

/// One function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    /// The line of `fn`, counted from 1.
    pub line: usize,
    /// From `fn` to the closing brace.
    pub length: usize,
}

/// Every function with a body in a code layer, nested ones too.
pub fn functions(code: &str) -> Vec<Function> {
    let starts = words(code, "fn");
    starts.into_iter().filter_map(|at| function(code, at)).collect()
}

fn function(code: &str, at: usize) -> Option<Function> {
    let name: String = code[at + 2..].trim_start().chars().take_while(|&c| is_word(c)).collect();
    if name.is_empty() {
        return None; // A function pointer's type, or a macro's variable.
    }
    let close = body_end(code, at)?;
    let line = line_of(code, at);
    Some(Function { name, line, length: line_of(code, close) - line + 1 })
}

/// The lines of items marked `#[cfg(test)]`.
pub fn test_spans(code: &str) -> Vec<RangeInclusive<usize>> {
    let marks = code.match_indices("#[cfg(test)]");
    let spans = marks.filter_map(|(at, mark)| {
        let close = body_end(code, at + mark.len())?;
        Some(line_of(code, at)..=line_of(code, close))
    });
    spans.collect()
}

/// Where the item that begins at `from` closes its first brace; `None` if it ends with `;` before.
fn body_end(code: &str, from: usize) -> Option<usize> {
    let mut brackets = 0_usize;
    let mut braces = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets = brackets.saturating_sub(1),
            b'{' => braces += 1,
            b'}' if braces <= 1 => return Some(at),
            b'}' => braces -= 1,
            b';' if brackets == 0 && braces == 0 => return None,
            _ => {}
        }
    }
    None
}

/// Where `word` stands in `text` as a whole word.
pub fn words(text: &str, word: &str) -> Vec<usize> {
    let whole = |at: usize| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    };
    text.match_indices(word).map(|(at, _)| at).filter(|&at| whole(at)).collect()
}

/// The line of a byte position, counted from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    text[..at].bytes().filter(|&byte| byte == b'\n').count() + 1
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(code: &str) -> Vec<(String, usize, usize)> {
        functions(code).into_iter().map(|f| (f.name, f.line, f.length)).collect()
    }

    #[test]
    fn bodies_are_measured() {
        let code = "fn a(x: [u8; 3]) -> [u8; 3] {\n  if x {\n y }\n}\n\nfn b() {}";
        assert_eq!(found(code), [("a".to_owned(), 1, 4), ("b".to_owned(), 6, 1)]);
    }

    #[test]
    fn signatures_and_pointers_are_not_functions() {
        assert_eq!(found("trait T { fn a(&self);\n fn c() { x } }"), [("c".to_owned(), 2, 1)]);
        assert_eq!(found("let f: fn(u8) = g; fn $name() {}"), []);
    }

    #[test]
    fn nested_functions_count_twice() {
        let code = "fn outer() {\n fn inner() {\n }\n}";
        assert_eq!(found(code), [("outer".to_owned(), 1, 4), ("inner".to_owned(), 2, 2)]);
    }

    #[test]
    fn test_modules_are_spans() {
        let code = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\nfn c() {}";
        assert_eq!(test_spans(code), [2..=5]);
        assert_eq!(test_spans("#[cfg(test)]\nmod tests;\nfn c() {}"), []);
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(words("fn fn_ afn fn", "fn"), [0, 11]);
    }
}
