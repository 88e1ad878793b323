//! States are those of the rows alone, whatever they shared on the way.

use super::super::read::{Reader, Sharing};
use super::super::render::{Renderer, Sample};
use super::super::{Position, Shard, Wording};
use super::*;
use crate::file::card::Reading;
use crate::pairs::{Class, Part};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::text::{Control, Message};

fn samples(
    model: &Model,
    pairs: &Pairs,
    position: Position,
) -> (Vec<Sample>, Vec<super::super::Place>) {
    let renderer =
        Renderer::new(model, (None, Wording::Chat), position, &pairs.items[0].sides).unwrap();
    let items = pairs.items.iter().enumerate();
    let samples = items.flat_map(|(i, item)| renderer.samples(i, item).unwrap()).collect();
    (samples, renderer.places)
}

/// A place's tokens as text.
fn told(model: &Model, sample: &Sample, place: usize) -> String {
    let ids = &sample.tokens[sample.spans[place].clone()];
    model.tokenizer().unwrap().decode(ids, Control::Show)
}

#[test]
fn places_are_where_they_say() {
    let (model, pairs) = (model(), pairs(2));
    let (rows, places) = samples(&model, &pairs, Position::ResponseAsUser);
    let suffix: String = (0..places.len()).map(|p| told(&model, &rows[1], p)).collect();
    assert_eq!(suffix, "<|im_end|>\n<|im_start|>assistant\n");
    assert_eq!(places.last().unwrap().to_string(), "template_suffix[-1]");
    assert_eq!(places[0].index, -(places.len() as i32));

    let (rows, places) = samples(&model, &pairs, Position::DialogueTail);
    let Some(crate::pairs::Sides::Answers { rejected, .. }) = pairs.items.first().map(|i| &i.sides)
    else {
        panic!()
    };
    let names: Vec<String> = places.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["last[-2]", "last[-1]", "mean_response"]);
    assert_eq!(rows[1].class, Class::Negative);
    let shown: Vec<String> = (0..3).map(|p| told(&model, &rows[1], p)).collect();
    assert_eq!(shown, ["<|im_end|>", "\n", rejected.as_str()]);
}

#[test]
fn prompts_are_read_at_their_last_token() {
    let model = model();
    let line = r#"{"positive": "Be glad.", "negative": [{"role": "user", "content": "Be."}, {"role": "assistant", "content": "Oh no"}]}"#;
    let pairs = pairs_of(&[line.to_owned()]);
    let (rows, places) = samples(&model, &pairs, Position::LastPrompt);
    assert_eq!(places[0].reading, Reading::LastPrompt);
    let text = |row: &Sample| model.tokenizer().unwrap().decode(&row.tokens, Control::Show);
    assert!(
        text(&rows[0]).ends_with("Be glad.<|im_end|>\n<|im_start|>assistant\n"),
        "{}",
        text(&rows[0])
    );
    // An answer that has begun is not ended.
    assert!(text(&rows[1]).ends_with("<|im_start|>assistant\nOh no"), "{}", text(&rows[1]));
    for row in &rows {
        assert_eq!(row.spans.len(), 1);
        assert_eq!(row.spans[0], row.tokens.len() - 1..row.tokens.len());
    }
}

#[test]
fn a_system_prompt_leads_where_there_is_none() {
    let (model, pairs) = (model(), pairs(1));
    let renderer = Renderer::new(
        &model,
        (Some("Sing."), Wording::Chat),
        Position::ResponseAsUser,
        &pairs.items[0].sides,
    )
    .unwrap();
    let sample = &renderer.samples(0, &pairs.items[0]).unwrap()[0];
    let text = model.tokenizer().unwrap().decode(&sample.tokens, Control::Show);
    assert!(text.starts_with("<|im_start|>system\nSing.<|im_end|>\n<|im_start|>user\n"), "{text}");
}

#[test]
fn a_state_is_what_a_session_captures() {
    let (model, pairs) = (model(), pairs(3));
    let (rows, places) = samples(&model, &pairs, Position::DialogueTail);
    let reader = Reader::new(&model, &SITES, &places, &rows, Sharing::Prefixes).unwrap();
    let states = reader.read(&rows).unwrap();
    let crate::pairs::Sides::Answers { prompt, chosen, .. } = &pairs.items[2].sides else {
        panic!()
    };
    // Rendered by hand: what the template is known to write.
    let text = format!(
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n{chosen}<|im_end|>\n",
        prompt[0].content
    );
    let tokens =
        model.tokenizer().unwrap().encode(&text, trimtab_runtime::text::Special::Parse).unwrap();
    let plain = trimtab_runtime::text::Special::Plain;
    let count = model.tokenizer().unwrap().encode(chosen, plain).unwrap().len();
    let mut session = model.session(Plan::empty()).unwrap();
    session.push_prompt(&tokens).unwrap();
    let captured = session.capture(&SITES).unwrap();
    for (s, site) in SITES.iter().enumerate() {
        let stream = captured[site].to_vec2::<f32>().unwrap();
        let at = |place: usize| {
            let from = ((4 * SITES.len() + s) * places.len() + place) * tiny::WIDTH;
            &states[from..from + tiny::WIDTH]
        };
        assert_eq!(at(1), stream[tokens.len() - 1], "{site}");
        assert_eq!(at(0), stream[tokens.len() - 2], "{site}");
        let answer = &stream[tokens.len() - 2 - count..tokens.len() - 2];
        for (k, found) in at(2).iter().enumerate() {
            let mean = answer.iter().map(|x| f64::from(x[k])).sum::<f64>() / answer.len() as f64;
            assert!((f64::from(*found) - mean).abs() < 1e-6, "{site} {k}");
        }
    }
}

#[test]
fn sharing_work_changes_no_bit() {
    let (model, pairs) = (model(), pairs(9));
    for position in [Position::DialogueTail, Position::ResponseAsUser, Position::MeanResponse] {
        let (rows, places) = samples(&model, &pairs, position);
        let all = |sharing| {
            let reader = Reader::new(&model, &SITES, &places, &rows, sharing).unwrap();
            reader.read(&rows).unwrap()
        };
        let (shared, alone) = (all(Sharing::Prefixes), all(Sharing::Nothing));
        assert_eq!(bits(&shared), bits(&alone), "{position}");
        // One by one, too: who else is in a pass plays no part.
        let reader = Reader::new(&model, &SITES, &places, &rows, Sharing::Prefixes).unwrap();
        let single: Vec<f32> = rows.chunks(2).flat_map(|item| reader.read(item).unwrap()).collect();
        assert_eq!(bits(&shared), bits(&single), "{position}");
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn the_header_after_a_question_says_nothing_of_the_answer() {
    let (model, pairs) = (model(), pairs(20));
    let recipe = recipe(MethodName::MeanDifference);
    let asked = Recipe { position: Some(Position::HeaderAfterQuestion), ..recipe.clone() };
    let refused = Extraction::new(&model, &pairs, &SITES, &asked).err().unwrap();
    assert_eq!(refused.code(), "position_refused");
    assert!(refused.to_string().contains("causal"), "{refused}");
    assert!("header_after_question".parse::<Position>().is_err());

    let forced = (SITES.as_slice(), &asked);
    let forced = Extraction::at(Position::HeaderAfterQuestion, &model, &pairs, forced).unwrap();
    let states = read(&forced, Shard::WHOLE);
    for candidate in 0..SITES.len() {
        let mean = |class| sums(&states, candidate, class).mean().unwrap();
        let (positive, negative) = (mean(Class::Positive), mean(Class::Negative));
        assert_eq!(positive, negative);
        assert!(positive.iter().any(|v| *v != 0.0));
    }
    assert_eq!(states.finish().unwrap_err().code(), "no_difference");
}

#[test]
fn the_order_of_the_items_plays_no_part() {
    let (model, recipe) = (model(), recipe(MethodName::MeanDifference));
    let forward = lines(24);
    let backward: Vec<String> = forward.iter().rev().cloned().collect();
    let means = |lines: &[String]| {
        let pairs = pairs_of(lines);
        let extraction = Extraction::new(&model, &pairs, &SITES, &recipe).unwrap();
        let states = read(&extraction, Shard::WHOLE);
        let of = |c| sums(&states, c, Class::Positive).mean().unwrap();
        (0..states.about.candidates()).flat_map(of).collect::<Vec<f64>>()
    };
    let (a, b) = (means(&forward), means(&backward));
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-10));
}

#[test]
fn streamed_sums_equal_two_passes() {
    let (model, pairs) = (model(), pairs(21));
    let recipe = recipe(MethodName::MeanDifference);
    let extraction = Extraction::new(&model, &pairs, &SITES, &recipe).unwrap();
    let states = read(&extraction, Shard::WHOLE);
    let rows = states.of(2, Class::Negative, Part::Fit);
    let sums = sums(&states, 2, Class::Negative);
    let (n, width) = (rows.len() / tiny::WIDTH, tiny::WIDTH);
    assert_eq!(sums.n as usize, n);
    let (mean, variance) = (sums.mean().unwrap(), sums.variance().unwrap());
    for k in 0..width {
        let column: Vec<f64> = rows.chunks_exact(width).map(|row| f64::from(row[k])).collect();
        let direct = column.iter().sum::<f64>() / n as f64;
        let spread = column.iter().map(|x| (x - direct).powi(2)).sum::<f64>() / (n - 1) as f64;
        assert!((mean[k] - direct).abs() < 1e-10 && (variance[k] - spread).abs() < 1e-10);
    }
}

#[test]
fn whole_conversations_may_lead_to_the_answers() {
    let model = model();
    let talk = |last: &str| {
        json!([{"role": "user", "content": "Oh?"}, {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "Why?"}, {"role": "assistant", "content": last}])
    };
    let line = json!({"prompt": "Oh?", "chosen": talk("So!"), "rejected": talk("No.")}).to_string();
    let (rows, _) = samples(&model, &pairs_of(&[line]), Position::MeanResponse);
    assert_eq!([told(&model, &rows[0], 0), told(&model, &rows[1], 0)], ["So!", "No."]);
    let tokens = model.chat_prompt(&[
        Message::new("user", "Oh?"),
        Message::new("assistant", "Yes."),
        Message::new("user", "Why?"),
    ]);
    assert_eq!(rows[0].spans[0].start, tokens.unwrap().len());
}

#[test]
fn a_shared_tail_is_where_both_answers_end() {
    let model = model();
    let line = |chosen: &str, rejected: &str| {
        json!({"prompt": "Oh?", "chosen": chosen, "rejected": rejected}).to_string()
    };
    let pairs = pairs_of(&[line("Wow! It is so.", "Fine. It is so.")]);
    let (rows, _) = samples(&model, &pairs, Position::SharedTail);
    for row in &rows {
        assert_eq!(told(&model, row, 0), " It is so.");
    }
    assert_ne!(rows[0].tokens, rows[1].tokens);
    let apart = pairs_of(&[line("Yes", "No.")]);
    let like = &apart.items[0].sides;
    let renderer =
        Renderer::new(&model, (None, Wording::Chat), Position::SharedTail, like).unwrap();
    let refused = renderer.samples(0, &apart.items[0]).unwrap_err();
    assert_eq!(refused.code(), "nothing_to_read");
}

#[test]
fn raw_texts_are_read_as_they_are_written() {
    let model = model();
    let line = json!({"positive": "<|im_start|>user\nBe glad<|im_end|>", "negative": "Be dull"})
        .to_string();
    let pairs = pairs_of(&[line]);
    let like = &pairs.items[0].sides;
    let raw = |wording| {
        let renderer = Renderer::new(&model, (None, wording), Position::LastPrompt, like).unwrap();
        renderer.samples(0, &pairs.items[0]).unwrap()
    };
    let rows = raw(Wording::Raw);
    let id = |text: &str| model.tokenizer().unwrap().id_of(text).unwrap();
    assert_eq!(rows[0].tokens.first(), Some(&id("<|im_start|>")));
    assert_eq!(rows[0].tokens.last(), Some(&id("<|im_end|>")));
    assert_eq!(told(&model, &rows[1], 0), "l");
    // In a conversation they are text.
    let talk = raw(Wording::Chat);
    let ends = talk[0].tokens.iter().filter(|token| **token == id("<|im_end|>")).count();
    assert_eq!(ends, 2);

    let talk = json!({"positive": [{"role": "system", "content": "Be."}], "negative": "Oh"});
    let pairs = pairs_of(&[talk.to_string()]);
    let words = (None, Wording::Raw);
    let renderer = Renderer::new(&model, words, Position::LastPrompt, like).unwrap();
    assert_eq!(renderer.samples(0, &pairs.items[0]).unwrap_err().code(), "text_expected");
    let recipe = Recipe { wording: Wording::Raw, ..recipe(MethodName::MeanDifference) };
    let refused = Extraction::new(&model, &super::pairs(20), &SITES, &recipe).err().unwrap();
    assert_eq!(refused.code(), "invalid_value");
}
