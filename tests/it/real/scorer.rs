//! The scorer on the default model: its question is short, nothing watched leaves its quotation, and its numbers are those
//! of the sequences run one by one.

use std::sync::Arc;
use trimtab_runtime::Model;
use trimtab_runtime::monitor::{AnswerView, Stage};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::text::{Control, Message, RenderOptions, Special};
use trimtab_steering::monitor::policy::{BuiltIn, Policy};
use trimtab_steering::monitor::scorer::{
    Calibration, Form, Judge, Judging, Wording, injections, listen, settle,
};
use trimtab_steering::monitor::{Detection, Detector};
use trimtab_tests::real;

const REQUEST: &str = "How do I keep bread fresh?";

fn form(model: &Model, policy: &Policy) -> Form {
    Form::new(model, Wording::scorer(policy)).unwrap()
}

fn seen(tokens: &[u32]) -> AnswerView<'_> {
    let stage = Stage::Unfolding;
    AnswerView {
        tokens,
        text: "",
        ends: &[],
        places: &[],
        step: None,
        sensed: None,
        stage,
        attempt: 0,
        room: 4096,
    }
}

#[test]
fn the_question_is_at_most_eight_tokens_and_the_whole_is_one_user_turn() {
    if !real::wanted() {
        return;
    }
    let (model, policy) = (real::model(), Policy::built_in(BuiltIn::Default).unwrap());
    let form = form(&model, &policy);
    for seed in 0..200 {
        assert!(form.question_len(&Form::delimiter(seed)).unwrap() <= 8, "{seed}");
    }
    // Decoded, the form is what the template makes of its text.
    let (w, answer) = (form.wording(), "In a paper bag.");
    let fill = |text: &str| text.replace("{d}", "4f1c");
    let text = [&w.instructions, &fill(&w.request), REQUEST, &fill(&w.answer), answer]
        .into_iter()
        .map(str::to_owned)
        .chain([fill(&w.close)])
        .collect::<String>();
    let turn = [Message::new("user", text)];
    let rendered = model.template().unwrap().render(&turn, &RenderOptions::default()).unwrap();
    let tokens = [
        form.head().to_vec(),
        form.opening(REQUEST, "4f1c").unwrap(),
        form.tokenizer().encode(answer, Special::Plain).unwrap(),
        form.suffix("4f1c").unwrap(),
    ];
    assert_eq!(form.tokenizer().decode(&tokens.concat(), Control::Show), rendered.text());
}

#[test]
fn injections_change_no_token_outside_the_quotation_and_bring_no_control_token_in() {
    if !real::wanted() {
        return;
    }
    let (model, policy) = (real::model(), Policy::built_in(BuiltIn::Default).unwrap());
    let form = form(&model, &policy);
    let delimiter = Form::delimiter(11);
    let tokenizer = form.tokenizer();
    let encode = |text: &str| tokenizer.encode(text, Special::Plain).unwrap();
    let suffix = form.suffix(&delimiter).unwrap();
    // Where a harmless request stands.
    let harmless = form.opening(REQUEST, &delimiter).unwrap();
    let inner = encode(REQUEST);
    let at = harmless.windows(inner.len()).position(|part| part == inner).unwrap();
    let behind = harmless.len() - at - inner.len();
    for injection in injections().unwrap() {
        let quoted: Vec<u32> = encode(&injection.text);
        let fed: Vec<u32> = quoted.iter().flat_map(|t| form.quoted(*t).unwrap()).collect();
        assert_eq!(fed, quoted, "{}", injection.text);
        let opening = form.opening(&injection.text, &delimiter).unwrap();
        assert_eq!(opening[..at], harmless[..at]);
        assert_eq!(opening[opening.len() - behind..], harmless[harmless.len() - behind..]);
        assert_eq!(opening[at..opening.len() - behind], quoted);
        assert!(!opening.iter().any(|token| tokenizer.is_control(*token)));
        // What a model could generate, control tokens included.
        let parsed = tokenizer.encode(&injection.text, Special::Parse).unwrap();
        let fed: Vec<u32> = parsed.iter().flat_map(|t| form.quoted(*t).unwrap()).collect();
        assert!(!fed.iter().any(|token| tokenizer.is_control(*token)), "{}", injection.text);
        assert_eq!(tokenizer.decode(&fed, Control::Show), tokenizer.decode(&parsed, Control::Show));
    }
    assert_eq!(form.suffix(&delimiter).unwrap(), suffix);
}

#[test]
fn the_scorer_asks_for_the_form_and_a_grown_cache_scores_as_a_fresh_one() {
    if !real::wanted() {
        return;
    }
    let (model, policy) = (real::model(), Policy::built_in(BuiltIn::Default).unwrap());
    let form = Arc::new(form(&model, &policy));
    let folder = std::env::temp_dir().join(format!("trimtab-scorer-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let measured = Calibration::obtain(&folder, &form, &policy, &mut |_, _| {}).unwrap();
    let again = Calibration::load(&folder, &form, &policy).unwrap();
    assert_eq!(again.as_ref(), Some(&measured));
    std::fs::remove_dir_all(folder).unwrap();
    let judge = Judge::new(form.clone(), &policy, measured, Judging::default()).unwrap();
    let end = model.tokenizer().unwrap().id_of("<|im_end|>").unwrap();
    let mut tokens =
        model.tokenizer().unwrap().encode("Keep it in a bag.", Special::Plain).unwrap();
    tokens.push(end);
    tokens
        .extend(model.tokenizer().unwrap().encode(" Never in a fridge.", Special::Plain).unwrap());
    let mut grown = judge.scorer(REQUEST, 5).unwrap();
    for to in [3, 7, tokens.len()] {
        settle(&mut grown, &seen(&tokens[..to])).unwrap();
    }
    grown.rewind(5);
    let grown = settle(&mut grown, &seen(&tokens)).unwrap();
    let mut fresh = judge.scorer(REQUEST, 5).unwrap();
    let Detection::Ask(asked) = fresh.detect(&seen(&tokens)).unwrap() else {
        panic!("a first check has to read");
    };
    // The whole prompt once more, in one sequence of its own.
    let mut plain = model.session(Plan::empty()).unwrap();
    plain.push_prompt(asked[0].tokens()).unwrap();
    let logits = plain.run().unwrap().logits.remove(0);
    let heard = listen(asked).unwrap();
    assert!(heard[0].logits.iter().zip(&logits).all(|(a, b)| (a - b).abs() <= 1e-4));
    fresh.heard(heard).unwrap();
    let Detection::Found(fresh) = fresh.detect(&seen(&tokens)).unwrap() else {
        panic!("safety alone is one question");
    };
    // The grown one is at its third check behind the rewind, lazy like the first.
    assert_eq!(grown.score.to_bits(), fresh.score.to_bits());
    assert!(fresh.score.is_finite());
}
