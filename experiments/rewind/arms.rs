//! The arms of the experiment, and what each makes of a question.

use super::drive::{answer_to, request};
use super::toy::{Rule, Toy};
use std::sync::Arc;
use trimtab_runtime::Model;
use trimtab_runtime::generate::Generation;
use trimtab_runtime::logits::Bias;
use trimtab_runtime::monitor::AnswerView;
use trimtab_runtime::sample::{Draw, Purpose};
use trimtab_steering::monitor::guard::Guides;
use trimtab_steering::monitor::guidance::Asides;
use trimtab_steering::monitor::policy::{Caps, Policy};
use trimtab_steering::monitor::sharpness::{Sharpness, Sink};
use trimtab_steering::monitor::{
    Action, Detection, Detector, Finding, Guard, Guidance, Lexical, Records, RewindTo, Rules, Watch,
};
use trimtab_steering::neutral::Text;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What is done to keep a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arm {
    Base,
    /// The policy is asked for in the prompt.
    Instruction,
    /// Tokens that violate it are banned.
    Ban,
    /// Back to the last clean boundary.
    Clean,
    /// Three tokens back.
    Fixed,
    /// To the most recent peak of sharpness.
    Sharpness,
    /// To a place drawn behind the last clean boundary.
    Drawn,
    /// `Clean`, with an aside.
    Text,
    /// `Clean`, with a push.
    Vector,
    /// `Clean`, but what fires is a coin, as often as the rule does.
    Random,
    /// The first violation ends in a refusal.
    Refuse,
    /// Two answers, the first of those that keep it.
    Best,
}

impl Arm {
    pub const ALL: [Arm; 12] = [
        Arm::Base,
        Arm::Instruction,
        Arm::Ban,
        Arm::Refuse,
        Arm::Best,
        // It says how often the coin of the next one falls.
        Arm::Clean,
        Arm::Random,
        Arm::Drawn,
        Arm::Fixed,
        Arm::Sharpness,
        Arm::Text,
        Arm::Vector,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Arm::Base => "base",
            Arm::Instruction => "instruction",
            Arm::Ban => "ban",
            Arm::Clean => "clean",
            Arm::Fixed => "fixed",
            Arm::Sharpness => "sharpness",
            Arm::Drawn => "drawn",
            Arm::Text => "text",
            Arm::Vector => "vector",
            Arm::Random => "random",
            Arm::Refuse => "refuse",
            Arm::Best => "best",
        }
    }

    pub fn named(name: &str) -> Option<Arm> {
        Arm::ALL.into_iter().find(|arm| arm.name() == name)
    }

    /// In words, for tables.
    pub fn title(self) -> &'static str {
        match self {
            Arm::Base => "base",
            Arm::Instruction => "instruction in the prompt",
            Arm::Ban => "logit ban",
            Arm::Clean => "guard, `clean`",
            Arm::Fixed => "guard, `fixed` 3",
            Arm::Sharpness => "guard, `sharpness`",
            Arm::Drawn => "guard, random rewind",
            Arm::Text => "guard, `clean`, text",
            Arm::Vector => "guard, `clean`, vector",
            Arm::Random => "random firing, `clean`",
            Arm::Refuse => "stop and refuse",
            Arm::Best => "best of two",
        }
    }

    /// Whether a guard watches it.
    pub fn is_guarded(self) -> bool {
        !matches!(self, Arm::Base | Arm::Instruction | Arm::Ban | Arm::Best)
    }

    /// Whether it exists for a policy: where a command begins, no token is wrong by itself.
    pub fn applies_to(self, toy: Toy) -> bool {
        self != Arm::Ban || toy != Toy::Imperatives
    }
}

/// What the arms of one policy share.
pub struct Kit<'a> {
    pub model: &'a Model,
    pub toy: Toy,
    policy: Policy,
    asides: Arc<Asides>,
    guides: Arc<Guides>,
    ban: Arc<Bias>,
}

impl<'a> Kit<'a> {
    pub fn new(model: &'a Model, toy: Toy) -> Result<Kit<'a>> {
        let policy = Policy::parse(toy.material().policy)?;
        let asides = Arc::new(Asides::new(model, policy.catalogue())?);
        let guides = Guides::new(model, policy.catalogue(), Text::tune(), (0.2, 0.5))?;
        let ban = Arc::new(Bias::new(banned(model, toy)?.map(|id| (id, f32::NEG_INFINITY)))?);
        Ok(Kit { model, toy, policy, asides, guides: Arc::new(guides), ban })
    }

    /// The answer of an arm to a question, and what its guard is going to write down. `rate` is how often the random
    /// perceiver fires.
    pub fn answer(
        &self,
        arm: Arm,
        question: &str,
        (seed, choice, tokens): (u64, u32, usize),
        rate: f64,
    ) -> Result<(Generation, Option<Records>)> {
        let mut request = request(seed, choice, tokens)?;
        let mut question = question.to_owned();
        match arm {
            Arm::Instruction => {
                question = format!("{question} {}", self.toy.material().instruction)
            }
            Arm::Ban => request.processors.push(self.ban.clone()),
            _ => {}
        }
        let generation = answer_to(self.model, &question, request)?;
        if !arm.is_guarded() {
            return Ok((generation, None));
        }
        let (guard, records) =
            Guard::new(vec![self.watch(arm, seed, rate)?], self.rules(arm, seed)?)?;
        Ok((generation.watched_by(guard), Some(records)))
    }

    fn watch(&self, arm: Arm, seed: u64, rate: f64) -> Result<Watch> {
        Ok(match (arm, self.toy) {
            (Arm::Random, _) => Watch::new("coin", Coin { rate, seed }),
            (_, Toy::Digits) => Watch::new("rule", Lexical::new(&[], &["[0-9]".to_owned()])?),
            (_, toy) => Watch::new("rule", Rule::of(toy)),
        })
    }

    fn rules(&self, arm: Arm, seed: u64) -> Result<Rules> {
        let rewind = match arm {
            Arm::Fixed => RewindTo::Fixed { window: 3 },
            Arm::Sharpness => RewindTo::Sharpness(Sharpness::new(
                0.1,
                Sink::Excluded,
                self.model.decoder().spec().n_layers(),
            )?),
            Arm::Drawn => RewindTo::Drawn { seed },
            _ => RewindTo::Clean,
        };
        let guidance = match arm {
            Arm::Text => Guidance::Text(self.asides.clone()),
            Arm::Vector => Guidance::Vector(self.guides.clone()),
            _ => Guidance::None,
        };
        // The limit on time would make results depend on the machine.
        let caps = Caps { time_factor: 100.0, ..*self.policy.caps() };
        let caps = if arm == Arm::Refuse { Caps { rewinds: 0, ..caps } } else { caps };
        let refusal = self.policy.refusal().to_owned();
        Ok(Rules { rewind, caps, guidance, refusal, ..Rules::default() })
    }
}

/// Tokens with a digit in them, or that are a colour by themselves, a space before it or not.
fn banned(model: &Model, toy: Toy) -> Result<impl Iterator<Item = u32>> {
    let tokenizer = model.tokenizer()?;
    let words = toy.material().words();
    let is_colour = |text: &str| words.iter().any(|w| text.trim().eq_ignore_ascii_case(w));
    let wrong = |id: &u32| {
        let text = tokenizer.token_bytes(*id).map(String::from_utf8_lossy).unwrap_or_default();
        match toy {
            Toy::Digits => text.contains(|c: char| c.is_ascii_digit()),
            Toy::Colours => is_colour(&text),
            Toy::Imperatives => false,
        }
    };
    let all = 0..u32::try_from(tokenizer.vocab_size())?;
    Ok(all.filter(|id| !tokenizer.is_control(*id)).filter(wrong).collect::<Vec<_>>().into_iter())
}

struct Coin {
    rate: f64,
    seed: u64,
}

impl Detector for Coin {
    fn detect(&mut self, answer: &AnswerView) -> trimtab_runtime::Result<Detection> {
        let Coin { seed, rate } = *self;
        let (attempt, position) = (answer.attempt, answer.tokens.len());
        let purpose = Purpose::Named("coin");
        let score = Draw { seed, choice: 0, purpose, attempt, position }.uniform();
        let action = if score < rate { Action::Rollback } else { Action::Continue };
        Ok(Detection::Found(Finding::new(action, score, rate - score)))
    }

    // A draw is keyed by its place.
    fn rewind(&mut self, _tokens: usize) {}
}
