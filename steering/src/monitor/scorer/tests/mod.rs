//! The scorer on the tiny model, whose tokens are letters: every number is checked against sequences run one by one.

mod calibrating;
mod checks;
mod parsing;
mod quoting;

use super::calibration::{Bound, Calibration};
use super::{Form, Judge, Judging, Wording};
use crate::monitor::policy::{BuiltIn, Policy};
use std::sync::{Arc, OnceLock};
use trimtab_runtime::Model;
use trimtab_runtime::monitor::{AnswerView, Stage};
use trimtab_runtime::testing::tiny;
use trimtab_runtime::text::Special;

/// One model with room for every test that runs beside the others.
fn model() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| tiny::model(32_768).unwrap())
}

fn policy(which: BuiltIn) -> Policy {
    Policy::built_in(which).unwrap()
}

/// A wording that the tiny tokenizer can spell.
fn wording() -> Wording {
    let words = |labels: [&str; 3]| labels.map(str::to_owned);
    Wording {
        instructions: "judge the text by safety altruism egoism".to_owned(),
        request: " request {d} ".to_owned(),
        answer: " {d} answer {d} ".to_owned(),
        close: " {d} ok".to_owned(),
        labels: [words(["a", "b", "c"]), words(["d", "e", "f"]), words(["g", "h", "i"])],
    }
}

fn form() -> Arc<Form> {
    Arc::new(Form::new(model(), wording()).unwrap())
}

fn bound(count: usize, theta: f64) -> Bound {
    let biases = (0..count).map(|index| index as f64 / 10.0).collect();
    Bound { biases, theta, benign: vec![-3.0; 50] }
}

/// A judge with given numbers instead of measured ones.
fn judge(policy: &Policy, judging: Judging) -> Arc<Judge> {
    let form = form();
    let calibration = Calibration::of(&form, policy, bound(20, 0.0), bound(3, 0.0));
    Judge::new(form, policy, calibration, judging).unwrap()
}

fn tokens(text: &str) -> Vec<u32> {
    model().tokenizer().unwrap().encode(text, Special::Plain).unwrap()
}

/// An answer of these tokens.
fn answer(tokens: &[u32]) -> AnswerView<'_> {
    let stage = Stage::Unfolding;
    let (ends, places, room) = (&[][..], &[][..], tiny::CONTEXT);
    AnswerView { tokens, text: "", ends, places, step: None, sensed: None, stage, attempt: 0, room }
}
