//! The scope of a card as JSON: the `apply` object of the HTTP API.
//!
//! `"prompt": "all"` and `"generation": "all"` stand for whole phases; the other fields are picks, and each has a twin
//! that begins with `exclude_`. Fields are written in the order of their names.

use super::json::{Node, Object};
use crate::error::{Error, Result};
use crate::scope::{GENERATION, Names, PROMPT, Phase, Picks, Scope, ScopeParams, Window};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let ScopeParams { prompt, generation } = self.params();
        for (phase, names) in [(generation, &GENERATION), (prompt, &PROMPT)] {
            let excluded = [names.exclude_positions, names.exclude_tokens, names.exclude_window];
            picks(&mut map, &phase.exclude, excluded)?;
        }
        for (phase, names) in [(generation, &GENERATION), (prompt, &PROMPT)] {
            if phase.include.window == Some(Window::WHOLE) {
                map.serialize_entry(names.phase, "all")?;
            } else {
                let included = [names.positions, names.tokens, names.window];
                picks(&mut map, &phase.include, included)?;
            }
        }
        map.end()
    }
}

fn picks<M: SerializeMap>(
    map: &mut M,
    picks: &Picks,
    [positions, tokens, window]: [&'static str; 3],
) -> Result<(), M::Error> {
    if !picks.positions.is_empty() {
        map.serialize_entry(positions, &picks.positions)?;
    }
    if !picks.tokens.is_empty() {
        map.serialize_entry(tokens, &picks.tokens)?;
    }
    match picks.window {
        None => Ok(()),
        Some(Window { start, end }) => map.serialize_entry(window, &(Some(start), end)),
    }
}

/// Reads a scope. A scope that selects nothing is an error at its own pointer.
pub(crate) fn scope(node: Node<'_>) -> Result<Scope> {
    let mut fields = node.object()?;
    let params = ScopeParams {
        prompt: phase(&mut fields, &PROMPT)?,
        generation: phase(&mut fields, &GENERATION)?,
    };
    fields.finish()?;
    params.check().map_err(|e| match e {
        Error::EmptySelection { reason } => node.wrong(format!("selects nothing: {reason}")),
        other => node.wrong(other.to_string()),
    })
}

fn phase(fields: &mut Object<'_>, names: &Names) -> Result<Phase> {
    let whole = fields.take_if_there(names.phase);
    let include = read(fields, [names.tokens, names.positions, names.window])?;
    let excluded = [names.exclude_tokens, names.exclude_positions, names.exclude_window];
    let exclude = read(fields, excluded)?;
    let include = match whole.map(|node| all(&node)).transpose()? {
        Some(picks) => picks,
        None => include,
    };
    Ok(Phase { include, exclude })
}

fn all(node: &Node<'_>) -> Result<Picks> {
    match node.text()? {
        "all" => Ok(Picks::whole()),
        other => Err(node.wrong(format!("is {other:?}, expected \"all\""))),
    }
}

fn read(fields: &mut Object<'_>, [tokens, positions, at]: [&str; 3]) -> Result<Picks> {
    Ok(Picks {
        tokens: list(fields.take_if_there(tokens), token)?,
        positions: list(fields.take_if_there(positions), whole)?,
        window: fields.take_if_there(at).map(|node| window(&node)).transpose()?,
    })
}

fn list<T>(node: Option<Node<'_>>, read: fn(&Node<'_>) -> Result<T>) -> Result<Vec<T>> {
    let Some(node) = node else {
        return Ok(Vec::new());
    };
    match node.list()?.as_slice() {
        [] => Err(node.wrong("is empty; leave it out")),
        list => list.iter().map(read).collect(),
    }
}

fn token(node: &Node<'_>) -> Result<u32> {
    u32::try_from(node.integer()?).map_err(|_| node.wrong("is no token id"))
}

fn whole(node: &Node<'_>) -> Result<i64> {
    node.whole().ok_or_else(|| node.wrong("is no whole number"))
}

fn window(node: &Node<'_>) -> Result<Window> {
    match node.list()?.as_slice() {
        [start, end] if end.is_null() => Ok(Window { start: whole(start)?, end: None }),
        [start, end] => Ok(Window { start: whole(start)?, end: Some(whole(end)?) }),
        _ => Err(node.wrong("is no pair, expected [first, end] or [first, null]")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::json::parse;

    fn read(text: &str) -> Result<Scope> {
        scope(Node::root(&parse(text.as_bytes())?))
    }

    #[test]
    fn every_field_is_read_and_written_again() {
        for text in [
            r#"{"generation":"all","prompt":"all"}"#,
            r#"{"prompt_positions":[-1]}"#,
            r#"{"exclude_prompt_tokens":[1,2],"prompt":"all"}"#,
            concat!(
                r#"{"exclude_generation_positions":[1],"exclude_generation_tokens":[42],"#,
                r#""exclude_generation_window":[4,null],"exclude_prompt_positions":[-1],"#,
                r#""exclude_prompt_tokens":[42],"exclude_prompt_window":[2,-2],"#,
                r#""generation_positions":[0,3],"generation_tokens":[8],"generation_window":[0,16],"#,
                r#""prompt_positions":[-4,7],"prompt_tokens":[7],"prompt_window":[-5,null]}"#
            ),
        ] {
            assert_eq!(serde_json::to_string(&read(text).unwrap()).unwrap(), text);
        }
        // The whole phase says it all.
        let wide = read(r#"{"prompt":"all","prompt_tokens":[3]}"#).unwrap();
        assert_eq!(wide, Scope::prompt());
    }

    #[test]
    fn what_is_no_scope_is_refused_at_its_pointer() {
        for (text, pointer) in [
            (r#"{}"#, " selects nothing"),
            (r#"{"exclude_prompt_tokens":[1]}"#, " selects nothing"),
            (r#"{"prompt":"some"}"#, "prompt is"),
            (r#"{"prompt_tokens":[]}"#, "prompt_tokens is empty"),
            (r#"{"prompt_tokens":[4294967296]}"#, "prompt_tokens/0 is no token"),
            (r#"{"prompt_positions":[1.5]}"#, "prompt_positions/0 is no whole"),
            (r#"{"prompt_window":[1]}"#, "prompt_window is no pair"),
            (r#"{"generation_window":[-1,null]}"#, " generation_window has -1"),
            (r#"{"generation":"all","every":1}"#, "every is no field"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.code(), "header_invalid", "{text}");
            let told = error.to_string();
            assert!(told.trim_start_matches('/').starts_with(pointer), "{text}: {error}");
        }
    }
}
