//! What is refused, and what the refusal names.

use super::super::{Keep, Long, Position};
use super::*;
use crate::error::Error;

/// The refusal of an extraction, wherever it comes.
fn refused(model: &Model, lines: &[String], recipe: &Recipe) -> Error {
    let pairs = pairs_of(lines);
    let extraction = match Extraction::new(model, &pairs, &SITES, recipe) {
        Ok(extraction) => extraction,
        Err(error) => return error,
    };
    let mut states = extraction.begin(Shard::WHOLE, STATE_BYTES).unwrap();
    match extraction.read(&mut states, &mut |_, _| Flow::Continue) {
        Ok(_) => states.finish().unwrap_err(),
        Err(error) => error,
    }
}

#[test]
fn a_text_that_runs_into_the_template_is_named_by_its_line() {
    // Without a control token behind the text, its last letter joins the template's first.
    let template = "<|im_start|>{% for m in messages %}{{ m.content }}nd.{% endfor %}";
    let model = model_with(template);
    let mut lines = lines(20);
    lines[12] = json!({"prompt": "a", "chosen": "the", "rejected": "of"}).to_string();
    let error = refused(&model, &lines, &recipe(MethodName::Palrs));
    assert_eq!(error.code(), "suffix_mismatch");
    assert!(error.to_string().starts_with("line 13 does not end"), "{error}");
}

#[test]
fn a_template_without_an_end_has_no_token_behind_an_answer() {
    let model = model_with("{% for m in messages %}<|im_start|>{{ m.content }}{% endfor %}");
    for position in [Position::Last, Position::ResponseAsUser] {
        let recipe = Recipe { position: Some(position), ..recipe(MethodName::MeanDifference) };
        let error = refused(&model, &lines(20), &recipe);
        assert_eq!(error.code(), "position_refused", "{position}: {error}");
        assert!(error.to_string().contains("this template writes none"), "{error}");
    }
    // The mean over the answer is still there.
    for position in [Position::MeanResponse, Position::DialogueTail] {
        let recipe = Recipe { position: Some(position), ..recipe(MethodName::MeanDifference) };
        let pairs = pairs(20);
        let extraction = Extraction::new(&model, &pairs, &SITES, &recipe).unwrap();
        assert_eq!(read(&extraction, Shard::WHOLE).about.places.len(), 1);
    }
}

#[test]
fn a_second_first_token_is_refused() {
    let model = model_with(&format!("<s><s>{TEMPLATE}"));
    let error = refused(&model, &lines(20), &recipe(MethodName::Palrs));
    assert_eq!(error.code(), "double_first_token");
    assert!(error.to_string().starts_with("line 1 begins"), "{error}");
    let once = model_with(&format!("<s>{TEMPLATE}"));
    let (pairs, recipe) = (pairs(20), recipe(MethodName::Palrs));
    let extraction = Extraction::new(&once, &pairs, &SITES, &recipe).unwrap();
    assert!(read(&extraction, Shard::WHOLE).is_whole());
}

#[test]
fn the_first_token_is_never_read() {
    let model = model();
    let short: Vec<String> = ('a'..='z')
        .enumerate()
        .map(|(i, c)| {
            let text = if i == 7 { c.to_string() } else { format!("{c}{c}") };
            json!({"text": text, "label": i % 2}).to_string()
        })
        .collect();
    let recipe = Recipe { min_pairs: 2, ..recipe(MethodName::MeanDifference) };
    let error = refused(&model, &short, &recipe);
    assert_eq!(error.code(), "nothing_to_read");
    assert!(error.to_string().starts_with("line 8 "), "{error}");
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let model = model();
    let usual = recipe(MethodName::MeanDifference);
    let table = [
        (Recipe { shares: [0.5, 0.5, 0.5], ..usual.clone() }, "invalid_value"),
        (Recipe { shares: [0.0, 0.5, 0.5], ..usual.clone() }, "invalid_value"),
        (Recipe { shares: [0.5, 0.0, 0.5], ..usual.clone() }, "invalid_value"),
        (Recipe { min_pairs: 1, ..usual.clone() }, "invalid_value"),
        (Recipe { min_pairs: 13, ..usual.clone() }, "too_few_pairs"),
        (Recipe { alpha: f32::NAN, ..usual.clone() }, "invalid_value"),
        (Recipe { position: Some(Position::LastPrompt), ..usual.clone() }, "position_refused"),
        (Recipe { eta: Some(0.9), ..recipe(MethodName::LinearProbe) }, "invalid_value"),
        (Recipe { eta: Some(0.9), ..usual.clone() }, "weights_unidentified"),
        (recipe(MethodName::Imported), "estimate_invalid"),
    ];
    for (recipe, code) in table {
        let error = refused(&model, &lines(30), &recipe);
        assert_eq!(error.code(), code, "{error}");
    }
}

#[test]
fn what_could_not_be_written_is_refused_before_anything_is_read() {
    let model = model();
    let usual = recipe(MethodName::MeanDifference);
    let probe = recipe(MethodName::LinearProbe);
    let named = |recipe: &Recipe, letters| Recipe { name: "n".repeat(letters), ..recipe.clone() };
    let table = [
        (named(&usual, 65), "invalid_value"),
        (named(&usual, 0), "invalid_value"),
        (named(&probe, 60), "invalid_value"),
        (Recipe { summary: "s".repeat(401), ..usual.clone() }, "invalid_value"),
        (Recipe { eta: Some(0.5), ..usual.clone() }, "invalid_value"),
        (Recipe { eta: Some(0.9), ..usual.clone() }, "weights_unidentified"),
        (Recipe { keep: Keep::All, ..recipe(MethodName::Palrs) }, "invalid_value"),
    ];
    let pairs = pairs(30);
    let new = |recipe: &Recipe, pairs| Extraction::new(&model, pairs, &SITES, recipe).err();
    for (recipe, code) in table {
        assert_eq!(new(&recipe, &pairs).map(|e| e.code()), Some(code), "{recipe:?}");
    }
    assert!(new(&named(&usual, 64), &pairs).is_none() && new(&named(&probe, 59), &pairs).is_none());

    let line = |i: u8| {
        let text = format!("so {}", char::from(b'a' + i));
        json!({"text": text, "label": i % 2}).to_string()
    };
    let labelled = pairs_of(&(0..26).map(line).collect::<Vec<String>>());
    let few = Recipe { min_pairs: 2, ..usual.clone() };
    assert!(new(&few, &labelled).is_none());
    for recipe in [
        Recipe { system: Some("Sing.".to_owned()), ..few.clone() },
        Recipe { eta: Some(0.9), ..few.clone() },
        Recipe { method: MethodName::PcaDifference, ..few.clone() },
        Recipe { method: MethodName::LogisticProbe, ..few.clone() },
    ] {
        assert_eq!(new(&recipe, &labelled).map(|e| e.code()), Some("invalid_value"), "{recipe:?}");
    }
}

#[test]
fn a_site_without_a_direction_is_named() {
    // At the embedding a template's token is the same in every row.
    let position = Some(Position::ResponseAsUser);
    let recipe = Recipe { keep: Keep::All, position, ..recipe(MethodName::MeanDifference) };
    let error = refused(&model(), &lines(30), &recipe).to_string();
    assert!(error.starts_with("sites has embed, where there is no direction"), "{error}");
}

#[test]
fn sites_shards_and_memory_have_limits() {
    let (model, pairs) = (model(), pairs(30));
    let recipe = recipe(MethodName::Palrs);
    let nowhere = Extraction::new(&model, &pairs, &[Site::ResidPost(3)], &recipe).err().unwrap();
    assert!(nowhere.to_string().contains("resid_post.3"), "{nowhere}");
    let extraction = Extraction::new(&model, &pairs, &SITES, &recipe).unwrap();
    let error = extraction.begin(Shard::WHOLE, 1000).unwrap_err();
    assert_eq!(error.code(), "states_too_large");
    for (index, of) in [(0, 1), (2, 1), (1, 5)] {
        let error = extraction.begin(Shard { index, of }, STATE_BYTES).unwrap_err();
        assert_eq!(error.code(), "invalid_value", "{index}/{of}");
    }
}

#[test]
fn files_that_hold_no_states_are_refused() {
    let (model, pairs) = (model(), pairs(20));
    let recipe = recipe(MethodName::Palrs);
    let extraction = Extraction::new(&model, &pairs, &SITES, &recipe).unwrap();
    let states = read(&extraction, Shard::WHOLE);
    let bytes = states.to_bytes().unwrap();
    assert_eq!(States::from_bytes(&bytes).unwrap(), states);
    let vector = states.finish().unwrap().file.to_bytes().unwrap();
    // Sizes without which nothing can be cut into rows.
    let about = |change: fn(&mut States)| {
        let mut empty = extraction.begin(Shard::WHOLE, STATE_BYTES).unwrap();
        change(&mut empty);
        empty.to_bytes().unwrap()
    };
    let changed = [
        about(|s| s.about.width = 0),
        about(|s| s.about.sites.clear()),
        about(|s| s.about.places.clear()),
        about(|s| s.about.width = 1),
        about(|s| (s.about.width, s.about.model.d_model) = (0, 0)),
    ];
    for bad in &changed {
        assert_eq!(States::from_bytes(bad).unwrap_err().code(), "not_a_states_file");
    }
    for bad in [&bytes[..0], &bytes[..bytes.len() - 4], &bytes[..100], vector.as_slice()] {
        assert_eq!(States::from_bytes(bad).unwrap_err().code(), "not_a_states_file");
    }
}

#[test]
fn examples_longer_than_the_context_are_named_together_or_left_out() {
    let (model, mut lines) = (model(), lines(60));
    let long = "a".repeat(tiny::CONTEXT);
    for at in [4, 17] {
        lines[at] = json!({"prompt": format!("q{}", char::from(b'a' + at as u8)), "chosen": long, "rejected": "no"})
            .to_string();
    }
    let usual = recipe(MethodName::MeanDifference);
    let error = refused(&model, &lines, &usual);
    assert_eq!(error.code(), "context_length_exceeded");
    let text = error.to_string();
    assert!(text.starts_with("lines 5 (") && text.contains(" tokens), 18 ("), "{text}");
    let skip = Recipe { long: Long::Skip, ..usual.clone() };
    let pairs = pairs_of(&lines);
    let extraction = Extraction::new(&model, &pairs, &SITES, &skip).unwrap();
    let left: Vec<String> = extraction.left_out().iter().map(ToString::to_string).collect();
    assert!(left.len() == 2 && left[1].starts_with("line 18 has "), "{left:?}");
    let states = read(&extraction, Shard::WHOLE);
    assert_eq!(states.items(), 58);
    // The same states as of a file without them.
    let others: Vec<String> = lines
        .iter()
        .enumerate()
        .filter(|(at, _)| ![4, 17].contains(at))
        .map(|(_, l)| l.clone())
        .collect();
    let others = pairs_of(&others);
    let extraction = Extraction::new(&model, &others, &SITES, &usual).unwrap();
    assert_eq!(read(&extraction, Shard::WHOLE).values, states.values);
}
