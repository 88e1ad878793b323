//! What is done after a wrong answer.

use trimtab_adapters::rosa::{CreditMask, Rosa, RosaParams, StepDirection};

/// Whose answer the judgement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feedback {
    Own,
    /// Another item's wrong answer.
    Shuffled,
}

/// How an arm learns.
#[derive(Debug, Clone)]
pub struct Lessons {
    pub rosa: Rosa,
    pub feedback: Feedback,
    /// Updates after each judgement, all about the same answer.
    pub steps: usize,
}

/// What the next prompt says of the earlier answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// Nothing: the same prompt again.
    Same,
    /// Each earlier answer, and that it is wrong.
    Words,
}

/// Whether earlier answers may be completed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    Allowed,
    Banned,
}

#[derive(Debug, Clone)]
pub struct Arm {
    pub name: String,
    pub title: String,
    pub context: Context,
    pub earlier: Earlier,
    pub lessons: Option<Lessons>,
}

/// What the development items chose.
pub const CHOSEN: &str = r#"{"eps_neg":0.2,"mask":"answer_span"}"#;
/// Of `last_mlp_lora` they left the default length: guards refuse longer steps.
const CHOSEN_LORA: &str = r#"{"mask":"answer_span","block":"last_mlp_lora"}"#;

impl Arm {
    fn plain(name: &str, title: &str) -> Arm {
        let (context, earlier) = (Context::Same, Earlier::Allowed);
        Arm { name: name.to_owned(), title: title.to_owned(), context, earlier, lessons: None }
    }

    fn learns(name: &str, title: &str, rosa: Rosa) -> Arm {
        let lessons = Some(Lessons { rosa, feedback: Feedback::Own, steps: 1 });
        Arm { lessons, ..Arm::plain(name, title) }
    }
}

/// Settings that are tried on the development items; `steps` is taken out of each.
const SWEEP: [(&str, usize); 11] = [
    ("{}", 1),
    (r#"{"mask":"answer_span"}"#, 1),
    (r#"{"eps_neg":0.2,"mask":"answer_span"}"#, 1),
    (r#"{"eps_neg":0.2,"beta_neg":0.25}"#, 1),
    (r#"{"eps_neg":0.2,"beta_neg":0.25,"mask":"answer_span"}"#, 1),
    (r#"{"eps_neg":0.2,"beta_neg":0.25,"mask":"answer_span"}"#, 3),
    (r#"{"eps_neg":0.2,"beta_neg":0.25,"damping":0.1,"mask":"answer_span"}"#, 1),
    (CHOSEN_LORA, 1),
    (r#"{"eps_neg":0.1,"beta_neg":0.25,"mask":"answer_span","block":"last_mlp_lora"}"#, 1),
    (r#"{"eps_neg":0.2,"beta_neg":0.25,"mask":"answer_span","block":"last_mlp_lora"}"#, 1),
    (r#"{"eps_neg":0.2,"beta_neg":0.25,"mask":"answer_span","block":"last_mlp_lora"}"#, 3),
];

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn checked(text: &str) -> Result<Rosa> {
    Ok(serde_json::from_str::<RosaParams>(text)?.check()?)
}

/// The arms of the development items.
pub fn sweep() -> Result<Vec<Arm>> {
    let mut arms = vec![Arm::plain("A", "same prompt again")];
    for (text, steps) in SWEEP {
        let name = format!("{text} x{steps}");
        let arm = Arm::learns(&name, &name, checked(text)?);
        let lessons = arm.lessons.map(|lessons| Lessons { steps, ..lessons });
        arms.push(Arm { lessons, ..arm });
    }
    Ok(arms)
}

/// The arms of the study.
pub fn study() -> Result<Vec<Arm>> {
    let chosen = checked(CHOSEN)?;
    let uniform = RosaParams { mask: CreditMask::Uniform, ..chosen.params().clone() }.check()?;
    let lora = checked(CHOSEN_LORA)?;
    let random = chosen.clone().with_direction(StepDirection::Random { seed: 0 });
    // At this length guards refuse nearly every random direction: what it would do is seen without them only.
    let limits = RosaParams {
        canary_step: 10.0,
        canary_mean: 10.0,
        canary_max: 10.0,
        ..chosen.params().clone()
    };
    let unguarded = limits.check()?.with_direction(StepDirection::Random { seed: 0 });
    let gradient = chosen.clone().with_direction(StepDirection::Gradient);
    let shuffled = |arm: Arm| {
        let other = |lessons| Lessons { feedback: Feedback::Shuffled, ..lessons };
        Arm { lessons: arm.lessons.map(other), ..arm }
    };
    let banned = Arm { earlier: Earlier::Banned, ..Arm::plain("C", "earlier answers banned") };
    let both = Arm::learns("J", "words and ROSA", chosen.clone());
    Ok(vec![
        Arm::plain("A", "same prompt again"),
        Arm { context: Context::Words, ..Arm::plain("B", "words only") },
        banned,
        Arm::learns("D", "random direction, same KL", random),
        Arm::learns("D0", "D without guards on other prompts", unguarded),
        shuffled(Arm::learns("E", "feedback of another item", chosen.clone())),
        Arm::learns("F", "one gradient step, same KL", gradient),
        Arm::learns("G", "ROSA", chosen.clone()),
        Arm::learns("G0", "ROSA, defaults", RosaParams::default().check()?),
        Arm::learns("H", "ROSA, uniform mask", uniform),
        Arm::learns("I", "ROSA, last_mlp_lora", lora),
        Arm { context: Context::Words, ..both },
    ])
}
