//! The scope of a card as JSON: the `apply` object of the HTTP API.
//!
//! `"prompt": "all"` and `"generation": "all"` stand for whole phases; the other fields are picks, and each has a twin
//! that begins with `exclude_`. Fields stand in the order of their names, which is the order they are written in.

use super::json::Node;
use crate::error::{Error, Result};
use crate::scope::{GENERATION, Names, PROMPT, Phase, Picks, Scope, ScopeParams, Window};
use serde::{Deserialize, Serialize, Serializer};

/// Entries in one list of tokens or positions.
const ENTRIES: usize = 4096;

/// The only word for a whole phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Whole {
    /// Every token of it.
    All,
}

/// Which tokens a vector acts on. Includes are a union, excludes always win, and a phase that nothing includes is not
/// touched. Positions below 0 count from the prompt's end; windows are half-open, and `null` is an open end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// Positions left out of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude_generation_positions: Option<Vec<i64>>,
    /// Token ids left out of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude_generation_tokens: Option<Vec<u32>>,
    /// A run of positions left out of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<Option<i64>>>, min_items = 2, max_items = 2))]
    pub exclude_generation_window: Option<(i64, Option<i64>)>,
    /// Positions left out of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude_prompt_positions: Option<Vec<i64>>,
    /// Token ids left out of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude_prompt_tokens: Option<Vec<u32>>,
    /// A run of positions left out of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<Option<i64>>>, min_items = 2, max_items = 2))]
    pub exclude_prompt_window: Option<(i64, Option<i64>)>,
    /// The whole answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<Whole>,
    /// Positions of the answer, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation_positions: Option<Vec<i64>>,
    /// Token ids of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation_tokens: Option<Vec<u32>>,
    /// A run of positions of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<Option<i64>>>, min_items = 2, max_items = 2))]
    pub generation_window: Option<(i64, Option<i64>)>,
    /// The whole prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Whole>,
    /// Positions of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_positions: Option<Vec<i64>>,
    /// Token ids of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<Vec<u32>>,
    /// A run of positions of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<Option<i64>>>, min_items = 2, max_items = 2))]
    pub prompt_window: Option<(i64, Option<i64>)>,
}

impl TryFrom<Apply> for Scope {
    type Error = Error;

    /// Refuses an empty or overlong list ([`Error::Setting`]) and a scope that selects nothing.
    fn try_from(apply: Apply) -> Result<Scope> {
        let prompt = phase(
            apply.prompt,
            picks(&PROMPT, (apply.prompt_tokens, apply.prompt_positions, apply.prompt_window))?,
            picks(
                &PROMPT.excluded(),
                (
                    apply.exclude_prompt_tokens,
                    apply.exclude_prompt_positions,
                    apply.exclude_prompt_window,
                ),
            )?,
        );
        let generation = phase(
            apply.generation,
            picks(
                &GENERATION,
                (apply.generation_tokens, apply.generation_positions, apply.generation_window),
            )?,
            picks(
                &GENERATION.excluded(),
                (
                    apply.exclude_generation_tokens,
                    apply.exclude_generation_positions,
                    apply.exclude_generation_window,
                ),
            )?,
        );
        ScopeParams { prompt, generation }.check()
    }
}

fn phase(whole: Option<Whole>, include: Picks, exclude: Picks) -> Phase {
    // The whole phase says all that its parts could.
    let include = if whole.is_some() { Picks::whole() } else { include };
    Phase { include, exclude }
}

/// The three ways to pick: tokens, positions, a window.
type Fields = (Option<Vec<u32>>, Option<Vec<i64>>, Option<(i64, Option<i64>)>);

fn picks(names: &Names, (tokens, positions, window): Fields) -> Result<Picks> {
    Ok(Picks {
        tokens: list(names.tokens, tokens)?,
        positions: list(names.positions, positions)?,
        window: window.map(|(start, end)| Window { start, end }),
    })
}

fn list<T>(name: &'static str, list: Option<Vec<T>>) -> Result<Vec<T>> {
    let Some(entries) = list else { return Ok(Vec::new()) };
    match entries.len() {
        0 => Err(Error::setting(name, "is empty; leave it out")),
        1..=ENTRIES => Ok(entries),
        many => {
            let problem = format!("has {many} entries, expected at most {ENTRIES}");
            Err(Error::setting(name, problem))
        }
    }
}

impl From<&Scope> for Apply {
    fn from(scope: &Scope) -> Apply {
        let ScopeParams { prompt, generation } = scope.params();
        let whole = |phase: &Phase| phase.include.window == Some(Window::WHOLE);
        let included = |phase: &Phase| match whole(phase) {
            true => fields(&Picks::default()),
            false => fields(&phase.include),
        };
        let (prompt_tokens, prompt_positions, prompt_window) = included(prompt);
        let (generation_tokens, generation_positions, generation_window) = included(generation);
        let (exclude_prompt_tokens, exclude_prompt_positions, exclude_prompt_window) =
            fields(&prompt.exclude);
        let (exclude_generation_tokens, exclude_generation_positions, exclude_generation_window) =
            fields(&generation.exclude);
        Apply {
            exclude_generation_positions,
            exclude_generation_tokens,
            exclude_generation_window,
            exclude_prompt_positions,
            exclude_prompt_tokens,
            exclude_prompt_window,
            generation: whole(generation).then_some(Whole::All),
            generation_positions,
            generation_tokens,
            generation_window,
            prompt: whole(prompt).then_some(Whole::All),
            prompt_positions,
            prompt_tokens,
            prompt_window,
        }
    }
}

fn fields(picks: &Picks) -> Fields {
    let window = picks.window.map(|window| (window.start, window.end));
    (some(&picks.tokens), some(&picks.positions), window)
}

fn some<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Apply::from(self).serialize(serializer)
    }
}

/// Reads a scope. A scope that selects nothing is an error at its own pointer.
pub(super) fn scope(node: &Node<'_>) -> Result<Scope> {
    Scope::try_from(node.read::<Apply>()?).map_err(|e| match e {
        Error::EmptySelection { reason } => node.wrong(format!("selects nothing: {reason}")),
        Error::Setting { field, problem } => {
            Error::header(format!("{}/{field}", node.pointer), problem)
        }
        other => node.wrong(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::json::parse;

    fn read(text: &str) -> Result<Scope> {
        scope(&Node::root(&parse(text.as_bytes())?))
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
            (r#"{"prompt_tokens":[4294967296]}"#, "prompt_tokens/0 is integer"),
            (r#"{"prompt_positions":[1.5]}"#, "prompt_positions/0 is floating"),
            (r#"{"prompt_window":[1]}"#, "prompt_window has 1 entries, expected 2"),
            (r#"{"generation_window":[-1,null]}"#, "generation_window has -1"),
            (r#"{"generation":"all","every":1}"#, "every is no field"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.code(), "header_invalid", "{text}");
            let told = error.to_string();
            assert!(told.trim_start_matches('/').starts_with(pointer), "{text}: {error}");
        }
    }
}
