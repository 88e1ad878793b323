//! What a card and its directions must keep, wherever they come from.

use super::card::{Card, Operation, Role, SiteCard, Status};
use super::digest::is_sha256;
use crate::direction::{Direction, UNIT_TOLERANCE};
use crate::error::{Error, Result};
use crate::ops::{SHARES, strays};
use trimtab_runtime::printable::is_hidden;
use trimtab_runtime::site::Site;

/// Characters in a name.
pub(crate) const NAME_LIMIT: usize = 64;
/// Characters in a summary.
pub(crate) const SUMMARY_LIMIT: usize = 400;
/// Bytes of private notes in all.
pub(crate) const EXTRA_LIMIT: usize = 16 << 10;
/// Directions in one file.
pub(crate) const SITE_LIMIT: usize = 4096;

/// Checks a card and directions in forward order against each other and the rules of the format.
pub(crate) fn check(card: &Card, directions: &[Direction]) -> Result<()> {
    texts(card)?;
    strength(card)?;
    measured(card)?;
    pin(card)?;
    same_sites(card, directions)?;
    shapes(card, directions)?;
    for direction in directions {
        let site = direction.site();
        let entry = card.sites.get(&site);
        let entry = entry.ok_or_else(|| Error::tensor(site, "has no entry in /sites"))?;
        site_numbers(site, entry)?;
        fits_operation(card, entry, direction)?;
    }
    Ok(())
}

fn texts(card: &Card) -> Result<()> {
    let (name, summary) = (card.name.chars().count(), card.summary.chars().count());
    if !(1..=NAME_LIMIT).contains(&name) || card.name.chars().any(is_hidden) {
        let problem =
            format!("has {name} characters, expected 1 to {NAME_LIMIT} on one line, none hidden");
        return Err(Error::header("name", problem));
    }
    if summary > SUMMARY_LIMIT {
        let problem = format!("has {summary} characters, expected at most {SUMMARY_LIMIT}");
        return Err(Error::header("summary", problem));
    }
    let extra: usize = card.extra.iter().map(|(key, value)| key.len() + value.len()).sum();
    if extra > EXTRA_LIMIT {
        let problem = format!("holds {extra} bytes, expected at most {EXTRA_LIMIT}");
        return Err(Error::header("extra", problem));
    }
    Ok(())
}

fn strength(card: &Card) -> Result<()> {
    finite("scale/default", [card.scale.default])?;
    if let Some(problem) = strays(card.operation, card.scale.default) {
        return Err(Error::header("scale/default", problem));
    }
    if let Some([low, high]) = card.scale.safe {
        finite("scale/safe", [low, high])?;
        if !(low <= 0.0 && high >= 0.0) {
            let problem = format!("is [{low}, {high}], expected a range around 0");
            return Err(Error::header("scale/safe", problem));
        }
        if let Some(problem) = [low, high].into_iter().find_map(|end| strays(card.operation, end)) {
            return Err(Error::header("scale/safe", problem));
        }
    }
    match card.operation {
        Operation::Add | Operation::Project => Ok(()),
        Operation::Rotate { degrees } => finite("operation/degrees", [degrees]),
        Operation::Clamp { min, max } => {
            finite("operation", min.into_iter().chain(max))?;
            let empty = min.zip(max).is_some_and(|(min, max)| min > max);
            if empty || (min.is_none() && max.is_none()) {
                let problem = "clamps to no range, expected min, max, or min below max";
                return Err(Error::header("operation", problem));
            }
            Ok(())
        }
    }
}

fn measured(card: &Card) -> Result<()> {
    if card.status == Status::Measured && card.evaluation.is_none() {
        let problem = "is measured without /evaluation, expected unmeasured";
        return Err(Error::header("status", problem));
    }
    if let Some(data) = &card.data {
        hash("data/sha256", &data.sha256)?;
    }
    let Some(evaluation) = &card.evaluation else {
        return Ok(());
    };
    hash("evaluation/set_sha256", &evaluation.set_sha256)?;
    let deltas = evaluation.refusal_delta.into_iter().chain(evaluation.json_valid_delta);
    finite("evaluation", deltas.chain([evaluation.random_p95]).chain(evaluation.shuffled_p95))?;
    for (i, r) in evaluation.response.iter().enumerate() {
        let numbers = [r.concept, r.kl, r.ppl_ratio, r.scale];
        finite(&format!("evaluation/response/{i}"), numbers)?;
    }
    Ok(())
}

fn pin(card: &Card) -> Result<()> {
    let Some(model) = &card.model else {
        return Ok(());
    };
    hash("model/family_sha256", &model.family_sha256)?;
    hash("model/weights_sha256", &model.weights_sha256)?;
    hash("model/tokenizer_sha256", &model.tokenizer_sha256)?;
    model.template_sha256.iter().try_for_each(|t| hash("model/template_sha256", t))
}

fn same_sites(card: &Card, directions: &[Direction]) -> Result<()> {
    if !(1..=SITE_LIMIT).contains(&directions.len()) {
        let problem = format!("has {} tensors, expected 1 to {SITE_LIMIT}", directions.len());
        return Err(Error::header("sites", problem));
    }
    if let Some(pair) = directions.windows(2).find(|pair| pair[0].site() >= pair[1].site()) {
        return Err(Error::tensor(pair[1].site(), "appears twice or out of forward order"));
    }
    let missing = |site: &&Site| !directions.iter().any(|d| d.site() == **site);
    match card.sites.keys().find(missing) {
        None => Ok(()),
        Some(site) => Err(Error::tensor(site, "is named in /sites and is not in the file")),
    }
}

fn shapes(card: &Card, directions: &[Direction]) -> Result<()> {
    let Some(first) = directions.first() else {
        return Ok(());
    };
    let width = card.model.as_ref().map_or(first.width(), |model| model.d_model);
    for direction in directions {
        let site = direction.site();
        if direction.width() != width {
            let problem = format!("is {} wide, expected {width}", direction.width());
            return Err(Error::tensor(site, problem));
        }
        if direction.rank() != first.rank() {
            let problem =
                format!("has {} rows, expected {} as the others", direction.rank(), first.rank());
            return Err(Error::tensor(site, problem));
        }
        if let Some(model) = &card.model
            && !site.exists_in(model.n_layers)
        {
            let problem = format!("is not in a model of /model/n_layers {}", model.n_layers);
            return Err(Error::tensor(site, problem));
        }
    }
    Ok(())
}

fn site_numbers(site: Site, entry: &SiteCard) -> Result<()> {
    let lengths = [
        ("magnitude", entry.magnitude),
        ("stream_norm", entry.stream_norm),
        ("stream_norm_p95", entry.stream_norm_p95),
    ];
    for (field, value) in lengths {
        if let Some(value) = value.filter(|v| !v.is_finite() || *v <= 0.0) {
            return Err(Error::at_site(
                site,
                field,
                format!("is {value}, expected a number above 0"),
            ));
        }
    }
    finite(&format!("sites/{site}/anchor"), entry.anchor)?;
    if let Some(auc) = entry.auc.filter(|auc| !(0.0..=1.0).contains(auc)) {
        return Err(Error::at_site(site, "auc", format!("is {auc}, expected 0 to 1")));
    }
    finite(&format!("sites/{site}/row_scale"), entry.row_scale.iter().copied())
}

fn fits_operation(card: &Card, entry: &SiteCard, direction: &Direction) -> Result<()> {
    let (site, rank) = (direction.site(), direction.rank());
    let kind = card.operation.kind();
    let projects = card.operation == Operation::Project;
    if rank > 1 && !projects {
        return Err(Error::tensor(site, format!("has {rank} rows, expected 1 for {kind}")));
    }
    if direction.skew() > UNIT_TOLERANCE {
        let problem =
            format!("has rows with product {:.4}, expected right angles", direction.skew());
        return Err(Error::tensor(site, problem));
    }
    let scales = entry.row_scale.len();
    if scales > 0 && (!projects || scales != rank) {
        let problem =
            format!("has {scales} values, expected {rank} for project and none otherwise");
        return Err(Error::at_site(site, "row_scale", problem));
    }
    let stray = entry.row_scale.iter().find(|scale| !SHARES.contains(&f64::from(**scale)));
    if let Some(stray) = stray.filter(|_| projects) {
        let problem = format!("has {stray}, expected 0 to 2: the share of a row that is removed");
        return Err(Error::at_site(site, "row_scale", problem));
    }
    let stretches = matches!(card.operation, Operation::Add | Operation::Clamp { .. });
    let compares = matches!(card.operation, Operation::Clamp { .. }) || card.role == Role::Read;
    for (needed, field, value) in
        [(stretches, "magnitude", entry.magnitude), (compares, "anchor", entry.anchor)]
    {
        if needed && value.is_none() {
            let what = if card.role == Role::Read { "a read direction" } else { kind };
            return Err(Error::at_site(site, field, format!("is null, {what} needs it")));
        }
    }
    Ok(())
}

fn finite(pointer: &str, values: impl IntoIterator<Item = f32>) -> Result<()> {
    match values.into_iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(index) => Err(Error::NotFinite { name: format!("/{pointer}"), index }),
    }
}

fn hash(pointer: &str, text: &str) -> Result<()> {
    if is_sha256(text) {
        return Ok(());
    }
    Err(Error::header(pointer, "is no SHA-256, expected 64 lower-case hexadecimal digits"))
}
