//! Comments that say nothing, or do not say of what.
//!
//! A comment names its subject by the field's noun: words for people stand for people. A doc comment of three words on a
//! private item repeats the item's name, so the name alone is enough. Docs that become help texts or the
//! OpenAPI document are read by users and stay.

use super::functions::words;
use super::tree::Source;
use super::{Findings, Samples, hold};

/// Words for people. Comments are about tensors, tokens and requests.
const PEOPLE: [&str; 6] = ["whoever", "whom", "somebody", "nobody", "everybody", "anybody"];
const FEWEST_WORDS: usize = 4;
/// Derives whose docs are read at run time.
const READ_AT_RUN_TIME: [&str; 7] =
    ["Parser", "Args", "Subcommand", "ValueEnum", "ToSchema", "IntoParams", "IntoResponses"];

fn people(source: &Source) -> Findings {
    let lines = source.comments.lines().enumerate();
    let found = lines.filter_map(|(at, line)| {
        let lower = line.to_lowercase();
        let word = PEOPLE.iter().find(|word| !words(&lower, word).is_empty())?;
        Some((at + 1, format!("{word}: name the thing")))
    });
    found.collect()
}

/// A block of code that is open where a line stands.
struct Open {
    depth: usize,
    /// Whether what it declares without `pub` is seen from outside: variants and the methods of traits.
    is_public: bool,
    is_read_at_run_time: bool,
}

/// The item below a doc comment: its first line without attributes, and these.
fn item<'a>(lines: &[&'a str], mut at: usize) -> (&'a str, String) {
    let (mut attributes, mut open) = (String::new(), 0_i32);
    while let Some(line) = lines.get(at).map(|line| line.trim()) {
        if !line.starts_with("#[") && open <= 0 && !line.is_empty() {
            return (line, attributes);
        }
        let count = |c| i32::try_from(line.matches(c).count()).unwrap_or(i32::MAX);
        open += count('[') - count(']');
        attributes.push_str(line);
        at += 1;
    }
    ("", attributes)
}

fn is_read_at_run_time(attributes: &str) -> bool {
    READ_AT_RUN_TIME.iter().any(|derive| !words(attributes, derive).is_empty())
}

/// The block that a line of code opens, if it declares an enum, a trait or a struct.
fn opened(line: &str, attributes: &str, depth: usize) -> Option<Open> {
    let shown = line.strip_prefix("pub ");
    let rest = shown.unwrap_or(line);
    let rest = rest.strip_prefix("unsafe ").unwrap_or(rest);
    let kind = rest.split(' ').next().unwrap_or_default();
    let declares = ["enum", "trait", "struct"].contains(&kind) && line.ends_with('{');
    declares.then(|| Open {
        depth,
        is_public: shown.is_some() && kind != "struct",
        is_read_at_run_time: is_read_at_run_time(attributes),
    })
}

fn short_docs(source: &Source) -> Findings {
    let code: Vec<&str> = source.code.lines().collect();
    let text: Vec<&str> = source.text.lines().collect();
    let comments: Vec<&str> = source.comments.lines().collect();
    let (mut open, mut depth, mut found): (Vec<Open>, usize, _) = (Vec::new(), 0, Vec::new());
    let mut doc: Option<(usize, usize)> = None;
    for (at, line) in text.iter().enumerate() {
        let is_comment = comments.get(at).is_some_and(|c| !c.trim().is_empty());
        match line.trim().strip_prefix("///").filter(|_| is_comment) {
            // A shape or a link is never too short.
            Some(doc_line) if doc_line.contains('[') => doc = Some((at, FEWEST_WORDS)),
            Some(words) => {
                let words = words.split_whitespace().filter(|w| w.contains(char::is_alphanumeric));
                let (first, before) = doc.unwrap_or((at, 0));
                doc = Some((first, before + words.count()));
            }
            None => {
                let (item, attributes) = item(&code, at);
                let hidden = !item.starts_with("pub ")
                    && !open.last().is_some_and(|open| open.is_public && !item.starts_with("pub("));
                let read = is_read_at_run_time(&attributes)
                    || open.last().is_some_and(|open| open.is_read_at_run_time);
                if let Some((first, _)) = doc.take().filter(|doc| doc.1 < FEWEST_WORDS)
                    && hidden
                    && !read
                    && !item.is_empty()
                {
                    found.push((first + 1, format!("{item}: the name says as much")));
                }
            }
        }
        let line = code.get(at).map_or("", |line| line.trim());
        // An item's attributes are the lines above it.
        let above =
            code[..at].iter().rev().take_while(|l| !l.trim().is_empty() && !l.contains([';', '}']));
        let attributes: String = above.copied().collect();
        open.extend(opened(line, &attributes, depth));
        depth = (depth + line.matches('{').count()).saturating_sub(line.matches('}').count());
        open.retain(|open| open.depth < depth);
    }
    found
}

#[test]
fn comments_name_their_subject() {
    let samples = Samples {
        bad: &[
            ("a/src/a.rs", "// Nobody waits for it."),
            ("a/src/a.rs", "/// Tells whoever asked.\nfn tell() {}"),
        ],
        good: &[("a/src/a.rs", "// The queue is empty.\nlet nobody = \"somebody\";")],
    };
    hold("comments_name_their_subject", people, &samples);
}

#[test]
fn private_docs_say_more_than_names() {
    let samples = Samples {
        bad: &[
            ("a/src/a.rs", "/// Of the file.\nfn name() {}"),
            ("a/src/a.rs", "pub struct A {\n    /// Its name.\n    name: String,\n}"),
            ("a/src/a.rs", "enum A {\n    /// All.\n    All,\n}"),
            (
                "a/src/a.rs",
                "pub enum A {\n    B,\n}\n/// A count.\n#[inline]\npub(crate) fn a() {}",
            ),
        ],
        good: &[
            ("a/src/a.rs", "/// All.\npub fn all() {}"),
            ("a/src/a.rs", "pub enum A {\n    /// All.\n    All,\n}"),
            ("a/src/a.rs", "/// Tokens of the answer, without the prompt's.\nfn tokens() {}"),
            (
                "a/src/a.rs",
                "#[derive(Debug, Args)]\nstruct A {\n    /// The model\n    model: String,\n}",
            ),
        ],
    };
    hold("private_docs_say_more_than_names", short_docs, &samples);
}
