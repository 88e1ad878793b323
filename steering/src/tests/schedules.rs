//! Schedules in a session: courses along the answer, and spans in which a vector rests.

use super::operations::{ANSWER, PROMPT, answer, every_operation, steer};
use crate::error::Result;
use crate::schedule::{Course, Schedule, Span};
use crate::scope::Scope;
use crate::steer::SteerOptions;
use std::sync::Arc;
use trimtab_runtime::decoder::weights::metadata::{Metadata, Value};
use trimtab_runtime::hook::{Addition, Intervention};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::session::Session;
use trimtab_runtime::testing::{laws, tiny};
use trimtab_runtime::text::Tokenizer;

/// A tokenizer of 64 ids with the pieces of markers at chosen places, the rest single letters.
pub(super) fn marking() -> Arc<Tokenizer> {
    let mut tokens: Vec<String> =
        ('a'..='z').chain('A'..='Z').chain('0'..='9').map(String::from).collect();
    tokens.extend(["<|im_end|>".to_owned(), "\u{120}".to_owned()]);
    for (id, text) in [
        (9, "<think>"),
        (6, "</think>"),
        (10, "<tool_"),
        (11, "call>"),
        (12, "</tool_call>"),
        (13, "`"),
        (14, "\u{10a}"),
        (15, "{\""),
        (16, "\"}"),
    ] {
        tokens[id] = text.to_owned();
    }
    let mut metadata = Metadata::new();
    for (key, value) in [
        ("model", Value::Text("gpt2".to_owned())),
        ("pre", Value::Text("gpt-2".to_owned())),
        ("token_type", Value::Integers((0..64).map(|id| if id == 62 { 3 } else { 1 }).collect())),
        ("tokens", Value::Texts(tokens)),
        ("merges", Value::Texts(Vec::new())),
        ("eos_token_id", Value::Unsigned(62)),
        ("add_bos_token", Value::Bool(false)),
    ] {
        metadata.insert(format!("tokenizer.ggml.{key}"), value);
    }
    Arc::new(Tokenizer::from_metadata(&metadata).unwrap())
}

pub(super) fn every_schedule() -> Vec<Schedule> {
    let all = [Span::ToolCall, Span::Code, Span::Think, Span::Json];
    let decay = Schedule::new(Course::Decay { half_life: 2.5 }).unwrap();
    vec![
        Schedule::new(Course::WarmUp { tokens: 4 }).unwrap(),
        decay.clone(),
        Schedule::default().resting_in([Span::Think], marking()),
        decay.resting_in(all, marking()),
    ]
}

fn scheduled(schedule: Schedule) -> SteerOptions {
    SteerOptions { scale: Some(0.7), schedule, blocks: Some(0..=0), ..SteerOptions::default() }
}

/// Positions of an answer that were acted on, of those behind the prompt.
fn acted(schedule: &Schedule, answer: &[u32]) -> Vec<usize> {
    let decoder = tiny::decoder().unwrap();
    let pool = decoder.pool(256).unwrap();
    let plan = Plan::of(steer(&scheduled(schedule.clone())));
    let mut session = Session::new(decoder, &pool, plan).unwrap();
    session.push_prompt(&PROMPT).unwrap();
    session.run().unwrap();
    let mut before = session.fired()[0];
    let mut step = |token: &u32| {
        session.advance(&[*token]).unwrap();
        let now = session.fired()[0];
        std::mem::replace(&mut before, now) != now
    };
    (0..answer.len()).filter(|n| step(&answer[*n])).collect()
}

#[test]
fn every_schedule_keeps_the_laws_of_interventions() {
    for schedule in every_schedule() {
        for options in every_operation() {
            let options = SteerOptions { schedule: schedule.clone(), ..options };
            laws::check_intervention(Arc::new(steer(&options))).unwrap();
        }
    }
}

#[test]
fn a_constant_schedule_stays_lowered() {
    let decoder = tiny::decoder().unwrap();
    let plain = steer(&scheduled(Schedule::default()));
    let constant = steer(&scheduled(Schedule::new(Course::Constant).unwrap()));
    assert!(plain.is_lowered() && constant.is_lowered());
    let full = Schedule::new(Course::WarmUp { tokens: 1 }).unwrap();
    // A warm-up of one token is the whole vector on what is generated.
    let warmed = steer(&scheduled(full));
    assert!(!warmed.is_lowered());
    let generated =
        SteerOptions { scope: Some(Scope::generated()), ..scheduled(Schedule::default()) };
    assert_eq!(answer(&decoder, Plan::of(warmed)), answer(&decoder, Plan::of(steer(&generated))));
}

#[test]
fn a_course_gives_each_position_its_share() {
    let decoder = tiny::decoder().unwrap();
    let full = steer(&scheduled(Schedule::default())).additions()[0].clone();
    let site = full.site();
    // The same as an addition of its own for every position, shares by hand.
    let by_hand = |shares: &[(usize, f32)]| {
        shares.iter().fold(Plan::empty(), |plan, (position, share)| {
            let vector = full.vector().iter().map(|v| v * share).collect();
            let one = Addition::new(site, vector, 1.0).unwrap();
            plan.then(one.at(trimtab_runtime::hook::Positions::Span(*position..position + 1)))
        })
    };
    let warm: Vec<(usize, f32)> =
        vec![(5, 0.25), (6, 0.5), (7, 0.75), (8, 1.0), (9, 1.0), (10, 1.0)];
    let fading = |position: usize| {
        (position, if position < 5 { 1.0 } else { 0.5f32.powf((position - 5) as f32 / 2.0) })
    };
    let fade: Vec<(usize, f32)> = (0..11).map(fading).collect();
    for (course, shares, fired) in
        [(Course::WarmUp { tokens: 4 }, warm, 6), (Course::Decay { half_life: 2.0 }, fade, 11)]
    {
        let steered = steer(&scheduled(Schedule::new(course).unwrap()));
        let (found, count) = answer(&decoder, Plan::of(steered));
        let (expected, _) = answer(&decoder, by_hand(&shares));
        let pairs = found.iter().flatten().zip(expected.iter().flatten());
        let apart = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-5, "{course:?} {apart}");
        assert_eq!(count, [fired]);
    }
}

#[test]
fn a_vector_rests_inside_spans_of_the_answer() {
    let resting = |span| Schedule::default().resting_in([span], marking());
    let (open, close) = (9, 6);
    assert_eq!(acted(&resting(Span::Think), &[1, open, 2, 3, close, 4]), [0, 4, 5]);
    // Another kind of span is none of its business.
    assert_eq!(acted(&resting(Span::Code), &[1, open, 2, close]), [0, 1, 2, 3]);
    // A marker in two tokens begins with the second.
    assert_eq!(acted(&resting(Span::ToolCall), &[10, 11, 1, 12, 2]), [0, 3, 4]);
    // A fence only at a line's beginning.
    let tick = 13;
    assert_eq!(
        acted(&resting(Span::Code), &[tick, tick, tick, 1, 14, tick, tick, tick, 1]),
        [0, 1, 7, 8]
    );
    assert_eq!(acted(&resting(Span::Code), &[1, tick, tick, tick, 1]), [0, 1, 2, 3, 4]);
    assert_eq!(acted(&resting(Span::Json), &[15, 1, 16, 2]), [2, 3]);
}

#[test]
fn the_prompt_does_not_count_and_each_prompt_begins_anew() {
    let decoder = tiny::decoder().unwrap();
    let pool = decoder.pool(256).unwrap();
    let schedule = Schedule::default().resting_in([Span::Think], marking());
    let mut session = Session::new(decoder, &pool, Plan::of(steer(&scheduled(schedule)))).unwrap();
    session.push_prompt(&[1, 9, 2]).unwrap();
    session.advance(&[3]).unwrap();
    assert_eq!(session.fired(), [4], "a marker in the prompt opens nothing");
    session.advance(&[9]).unwrap();
    session.advance(&[4]).unwrap();
    assert_eq!(session.fired(), [4], "at rest");
    session.push_prompt(&[5]).unwrap();
    session.advance(&[7]).unwrap();
    assert_eq!(session.fired(), [6], "the next prompt and its answer");
}

#[test]
fn bad_numbers_are_refused_by_name() {
    let refused = |made: Result<Schedule>| made.unwrap_err().to_string();
    assert!(refused(Schedule::new(Course::WarmUp { tokens: 0 })).starts_with("warmup is 0"));
    for half_life in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let error = refused(Schedule::new(Course::Decay { half_life }));
        assert!(error.starts_with("half_life is"), "{error}");
    }
    let error = "music".parse::<Span>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "pause_in has \"music\", expected tool_call, code, think or json"
    );
    for span in [Span::ToolCall, Span::Code, Span::Think, Span::Json] {
        assert_eq!(span.name().parse::<Span>().unwrap(), span);
    }
    // A warm-up has nothing to do on a prompt.
    let warm = Schedule::new(Course::WarmUp { tokens: 3 }).unwrap();
    let options = SteerOptions { scope: Some(Scope::prompt()), ..scheduled(warm) };
    let file = super::operations::vector(
        crate::file::card::Operation::Add,
        &[trimtab_runtime::site::Site::ResidPost(0)],
    );
    let error = crate::steer::Steer::new(&file, &options).unwrap_err();
    assert_eq!(error.code(), "empty_selection");
}

#[test]
fn what_changes_a_schedule_changes_the_fingerprint() {
    let mut prints: Vec<_> = every_schedule()
        .into_iter()
        .chain([Schedule::default(), Schedule::new(Course::WarmUp { tokens: 5 }).unwrap()])
        .map(|schedule| steer(&scheduled(schedule)).fingerprint())
        .collect();
    prints.sort();
    prints.dedup();
    assert_eq!(prints.len(), 6);
    assert_eq!(ANSWER.len(), 6);
}
