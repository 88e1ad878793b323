//! What changed between two versions of an adapter.

use super::args::DiffArgs;
use super::shelf::{key, with_shelf};
use crate::commands::opened::{Opened, head, open};
use crate::commands::table::markdown;
use crate::console::Console;
use crate::document::Fields;
use crate::error::{Error, Result};
use crate::flags::model::if_named;
use serde::Serialize;
use trimtab_adapters::host::{
    AdapterConfig, AdapterState, AdapterVersionSummary, LearningModel, StateReader,
};
use trimtab_adapters::rosa::{BlockState, FinalOffset, RosaState};
use trimtab_adapters::tpop::{ArmFeatures, SettingFeatures, TpopState};
use trimtab_runtime::text::Tokenizer;

/// What two rows of numbers are to each other.
#[derive(Debug, Clone, Serialize)]
struct Distance {
    norms: [f64; 2],
    /// Length of the difference.
    change: f64,
    /// `None` where one of both is nothing.
    cosine: Option<f64>,
}

/// A token and how much its logit is changed.
#[derive(Debug, Clone, Serialize)]
struct MovedToken {
    id: usize,
    text: String,
    change: f32,
}

/// A setting and its reward before and after.
#[derive(Debug, Clone, Serialize)]
struct MovedArm {
    name: String,
    rewards: [f64; 2],
}

/// All that is shown.
struct VersionDiff {
    distance: Distance,
    /// KL of the updates between both, nats per token.
    kl: Option<f64>,
    raised: Vec<MovedToken>,
    lowered: Vec<MovedToken>,
    /// Why no token is shown.
    no_tokens: Option<&'static str>,
    arms: Vec<MovedArm>,
}

impl Distance {
    // a [n], b [n]
    fn between(a: &[f64], b: &[f64]) -> Distance {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let squares = [dot(a, a), dot(b, b)];
        let norms = squares.map(f64::sqrt);
        let change: Vec<f64> = a.iter().zip(b).map(|(a, b)| b - a).collect();
        // One root of the product, not a product of roots: of a vector and itself the cosine is 1 and not nearly so.
        let scale = squares.iter().product::<f64>().sqrt();
        let cosine = (scale > 0.0).then(|| (dot(a, b) / scale).clamp(-1.0, 1.0));
        Distance { norms, change: dot(&change, &change).sqrt(), cosine }
    }
}

/// Compares two versions.
pub fn run(args: DiffArgs, console: &Console) -> Result<()> {
    let key = key(&args.shelf, &args.id)?;
    let opening = if_named(args.model)?;
    let (a, b, versions) = with_shelf(&args.shelf, async |adapters| {
        let a = adapters.state(&key, Some(args.from)).await?;
        let b = adapters.state(&key, Some(args.to)).await?;
        Ok((a, b, adapters.versions(&key).await?))
    })?;
    let opened = opening.map(|opening| open(&opening, console)).transpose()?;
    let (config, between) = (a.0, [args.from, args.to]);
    let mut diff = match (&a.1, &b.1) {
        (AdapterState::Rosa(a), AdapterState::Rosa(b)) => {
            of_rosa([a, b], opened.as_ref(), args.tokens)?
        }
        (AdapterState::Tpop(a), AdapterState::Tpop(b)) => of_tpop([a, b], &config)?,
        (AdapterState::Rosa(_), AdapterState::Tpop(_))
        | (AdapterState::Tpop(_), AdapterState::Rosa(_)) => {
            return Err(Error::usage("ID", "has versions of two methods"));
        }
    };
    diff.kl = spent(&versions, between);
    if console.is_json() {
        let document = head("adapters", opened.as_ref()).with("id", &args.id);
        return console.print(&diff.fields(document.with("versions", between)));
    }
    console.say_line(diff.text(between))
}

/// KL of the updates behind the older version up to the newer one.
fn spent(versions: &[AdapterVersionSummary], between: [u32; 2]) -> Option<f64> {
    let [from, to] = [between.iter().min()?, between.iter().max()?];
    let among = versions.iter().filter(|one| one.version > *from && one.version <= *to);
    among.filter_map(|one| one.kl).reduce(|sum, kl| sum + kl)
}

fn of_rosa([a, b]: [&RosaState; 2], opened: Option<&Opened>, most: usize) -> Result<VersionDiff> {
    let wide = |state: &RosaState| -> Vec<f64> {
        state.block.values().iter().map(|x| f64::from(*x)).collect()
    };
    let mut diff = VersionDiff::of(Distance::between(&wide(a), &wide(b)));
    let Some(opened) = opened else {
        diff.no_tokens = Some("-m MODEL shows which tokens it makes likelier and less likely");
        return Ok(diff);
    };
    expect_model(a, opened)?;
    let (BlockState::FinalOffset(old), BlockState::FinalOffset(new)) = (&a.block, &b.block) else {
        diff.no_tokens = Some("last_mlp_lora moves other tokens at every position");
        return Ok(diff);
    };
    let delta = old.delta.iter().zip(&new.delta).map(|(old, new)| new - old).collect();
    let moved = FinalOffset { delta }.bias(&opened.model.decoder().head())?;
    let tokenizer = opened.model.tokenizer()?;
    (diff.raised, diff.lowered) = extremes(&moved, most, tokenizer);
    Ok(diff)
}

/// Refuses a state of other weights.
fn expect_model(state: &RosaState, opened: &Opened) -> Result<()> {
    let digest = LearningModel::new(opened.model.clone(), StateReader::Here).digest();
    match digest == state.model {
        true => Ok(()),
        false => Err(Error::usage("--model", "has other weights than the adapter was made for")),
    }
}

/// The tokens whose logits are raised most, and lowered most.
// moved [V]
fn extremes(
    moved: &[f32],
    most: usize,
    tokenizer: &Tokenizer,
) -> (Vec<MovedToken>, Vec<MovedToken>) {
    let mut order: Vec<(usize, f32)> = moved.iter().copied().enumerate().collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let token = |(id, change): &(usize, f32)| MovedToken {
        id: *id,
        text: tokenizer.token_text(*id as u32).unwrap_or_default().to_owned(),
        change: *change,
    };
    let raised = order.iter().take(most).filter(|(_, change)| *change > 0.0);
    let lowered = order.iter().rev().take(most).filter(|(_, change)| *change < 0.0);
    (raised.map(token).collect(), lowered.map(token).collect())
}

fn of_tpop([a, b]: [&TpopState; 2], config: &AdapterConfig) -> Result<VersionDiff> {
    let weights = [a, b].map(|state| state.head().weights());
    let mut diff = VersionDiff::of(Distance::between(weights[0], weights[1]));
    diff.no_tokens = Some("a taste changes no token of the model");
    let AdapterConfig::Tpop(taste) = config else { return Ok(diff) };
    if taste.arms.is_empty() {
        return Ok(diff);
    }
    let settings = SettingFeatures::Categorical { settings: taste.arms.len() };
    let features = ArmFeatures::of_settings(settings).map_err(trimtab_adapters::Error::from)?;
    for (at, arm) in taste.arms.iter().enumerate() {
        let one = features.features(at, &[]).map_err(trimtab_adapters::Error::from)?;
        let rewards = [a, b].map(|state| state.head().reward(&one));
        diff.arms.push(MovedArm { name: arm.name.clone(), rewards });
    }
    diff.arms.sort_by(|x, y| y.rewards[1].total_cmp(&x.rewards[1]));
    Ok(diff)
}

impl VersionDiff {
    fn of(distance: Distance) -> VersionDiff {
        let (raised, lowered, arms) = (Vec::new(), Vec::new(), Vec::new());
        VersionDiff { distance, kl: None, raised, lowered, no_tokens: None, arms }
    }

    fn fields(&self, document: Fields) -> Fields {
        document
            .with("norms", self.distance.norms)
            .with("change", self.distance.change)
            .with("cosine", self.distance.cosine)
            .with("kl", self.kl)
            .with("raised", &self.raised)
            .with("lowered", &self.lowered)
            .with("arms", &self.arms)
    }

    fn text(&self, [from, to]: [u32; 2]) -> String {
        let Distance { norms: [a, b], change, cosine } = &self.distance;
        let cosine = cosine.map_or("-".to_owned(), |cosine| format!("{cosine:.4}"));
        let kl = self.kl.map_or("-".to_owned(), |kl| format!("{kl:.4}"));
        let mut parts = vec![
            format!("version {from} to {to}: norm {a:.3} to {b:.3}, change {change:.3}"),
            format!("cosine {cosine}, KL of the updates between {kl} nats a token"),
        ];
        if !self.arms.is_empty() {
            let row = |arm: &MovedArm| {
                let [before, after] = arm.rewards.map(|reward| format!("{reward:+.3}"));
                [arm.name.clone(), before, after]
            };
            parts.push(markdown("setting;>reward before;>after", self.arms.iter().map(row)));
        }
        for (title, tokens) in [("likelier", &self.raised), ("less likely", &self.lowered)] {
            if !tokens.is_empty() {
                let row = |t: &MovedToken| [format!("{:?}", t.text), format!("{:+.4}", t.change)];
                parts.push(markdown(&format!("{title};>logit"), tokens.iter().map(row)));
            }
        }
        parts.extend(self.no_tokens.map(str::to_owned));
        parts.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_has_no_angle_where_nothing_was_learnt() {
        let same = Distance::between(&[3.0, 4.0], &[3.0, 4.0]);
        assert_eq!((same.norms, same.change, same.cosine), ([5.0, 5.0], 0.0, Some(1.0)));
        let first = Distance::between(&[0.0, 0.0], &[3.0, 4.0]);
        assert_eq!((first.norms, first.change, first.cosine), ([0.0, 5.0], 5.0, None));
    }
}
