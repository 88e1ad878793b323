//! Guards whose cost is measured.

use std::sync::Arc;
use trimtab_runtime::Model;
use trimtab_runtime::monitor::{Stage, Unfolding};
use trimtab_runtime::sample::{Draw, Purpose};
use trimtab_runtime::site::Site;
use trimtab_steering::file::card::{Card, Method, MethodName, Operation, Role, SiteCard};
use trimtab_steering::gate::{Condition, Side};
use trimtab_steering::monitor::guard::OnExhausted;
use trimtab_steering::monitor::guidance::Asides;
use trimtab_steering::monitor::policy::{BuiltIn, Policy};
use trimtab_steering::monitor::sharpness::{Sharpness, Sink};
use trimtab_steering::monitor::{
    Action, Cadence, Finding, Guard, Guidance, Lexical, Perceiver, Perception, Probe, RewindTo,
    Rules, Then, Watch,
};
use trimtab_steering::{Direction, Result, VectorFile};

const SITE: Site = Site::ResidPost(15);

/// Objects where a sentence ends, as often as a coin falls: what is measured is what follows.
pub struct Planted {
    pub rate: f64,
    pub seed: u64,
}

impl Perceiver for Planted {
    fn perceive(&mut self, answer: &Unfolding) -> trimtab_runtime::Result<Perception> {
        let ended = answer.stage == Stage::Unfolding && answer.text.ends_with(['.', '!', '?']);
        let (attempt, position) = (answer.attempt, answer.tokens.len());
        let purpose = Purpose::Named("planted");
        let draw = Draw { seed: self.seed, choice: 0, purpose, attempt, position };
        let hit = ended && draw.uniform() < self.rate;
        let action = if hit { Action::Rollback } else { Action::Continue };
        Ok(Perception::Found(Finding::new(action, 0.0, 0.0)))
    }

    // A draw is keyed by its place.
    fn rewind(&mut self, _tokens: usize) {}
}

/// A watch that never finds anything, with a look after every so many tokens.
pub fn idle(cadence: Cadence) -> Watch {
    Watch { cadence, ..Watch::new("idle", Planted { rate: 0.0, seed: 0 }) }
}

/// Words and patterns that no answer has.
pub fn text() -> Result<Watch> {
    let words = ["zyzzyva", "quokka", "sesquipedalian", "tergiversate", "xylograph"];
    let patterns = [r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b", r"(?i)\bpass(word|phrase) is \w+"];
    let (words, patterns) = (words.map(str::to_owned), patterns.map(str::to_owned));
    Ok(Watch::new("text", Lexical::new(&words, &patterns)?))
}

/// A random direction, read at one site, with a threshold that nothing reaches.
pub fn probe(model: &Model) -> Result<Watch> {
    let spec = model.decoder().spec();
    let uniform = |position| {
        let purpose = Purpose::Named("direction");
        Draw { seed: 1, choice: 0, purpose, attempt: 0, position }.uniform() as f32 - 0.5
    };
    let row: Vec<f32> = (0..spec.d_model).map(uniform).collect();
    let (direction, _) = Direction::normalised(SITE, &row)?;
    let method = Method::named(MethodName::MeanDifference);
    let mut card = Card::unmeasured("random", "a random direction", Operation::Add, method);
    card.role = Role::Read;
    card.sites.insert(SITE, SiteCard { anchor: Some(0.0), ..SiteCard::of(SITE, Some(1.0)) });
    let file = VectorFile::new(card, vec![direction])?;
    let condition = Condition::new(&file, Side::Above, 1e9)?;
    Ok(Watch::new("probe", Probe::new(condition, spec)?))
}

/// The terms of all guards here: what is exhausted goes on, so that answers are equally long.
pub fn rules() -> Rules {
    Rules { on_exhausted: OnExhausted::Keep, ..Rules::default() }
}

/// The rule that reads attention.
pub fn sharp(model: &Model) -> Result<Rules> {
    let rule = Sharpness::new(0.1, Sink::Excluded, model.decoder().spec().n_layers())?;
    Ok(Rules { rewind: RewindTo::Sharpness(rule), ..rules() })
}

/// The shipped asides.
pub fn guidance(model: &Model) -> Result<Guidance> {
    let policy = Policy::built_in(BuiltIn::Default)?;
    Ok(Guidance::Text(Arc::new(Asides::new(model, policy.catalogue())?)))
}

/// A guard of one watch.
pub fn guard(watch: Watch, rules: Rules) -> Result<Guard> {
    Ok(Guard::new(vec![watch], rules)?.0)
}

/// A watch whose findings have no consequences but being asked for again sooner.
pub fn reporting(perceiver: impl Perceiver + 'static, cadence: Cadence) -> Watch {
    Watch { cadence, then: Then::Report, ..Watch::new("scorer", perceiver) }
}
