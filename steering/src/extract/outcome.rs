//! From states to a vector file and a report. No model is needed here.

use super::choose::{self, Choice, Tried};
use super::recipe::{FEW_PAIRS, Keep, READ_SUFFIX};
use super::source::{Asked, Held, Source};
use super::states::{About, States};
use super::{Place, Position, Refusal, Result};
use crate::direction::Direction;
use crate::error::Error;
use crate::estimate::{self, Estimate, Score, Selection, TOP_SHARE_LIMIT};
use crate::file::VectorFile;
use crate::file::card::{
    Card, DataCard, Method, MethodName, Operation, Param, Role, SiteCard, Status,
};
use crate::pairs::{Class, Part};
use std::collections::BTreeMap;
use trimtab_runtime::site::Site;

/// Below this cosine of two halves' directions, more of the whole direction is chance than not.
const HALVES_AGREE: f64 = 0.5;

/// What an extraction gives.
#[derive(Debug, Clone)]
pub struct Extracted {
    /// The vector to steer with.
    pub file: VectorFile,
    /// The direction to detect with, where it is another one.
    pub read: Option<VectorFile>,
    /// What was found on the way.
    pub report: Report,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Report {
    /// Items of the data.
    pub items: usize,
    /// Items of each part: fit, select, test.
    pub parts: [usize; 3],
    /// The sites of the file.
    pub sites: Vec<SiteReport>,
    /// The site that was chosen.
    pub recommended: Site,
    /// Where in the row states were read there.
    pub place: Place,
    /// How it was chosen.
    pub rule: Selection,
    /// Every candidate.
    pub grid: Vec<Candidate>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// One site of the file.
#[derive(Debug, Clone, Copy)]
pub struct SiteReport {
    /// The site.
    pub site: Site,
    /// The class gap.
    pub magnitude: f32,
    /// Mean projection of the negatives.
    pub anchor: f32,
    /// Median and 95th percentile of the stream's length.
    pub norm: Option<[f32; 2]>,
    /// Separation of the test items, or, without any, of those that chose.
    pub auc: Option<f32>,
    /// Gap of those that chose, in standard deviations.
    pub cohens_d: Option<f64>,
    /// Cosine of the differences of two halves of what was fitted on.
    pub split_half: Option<f64>,
}

/// One candidate.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The site.
    pub site: Site,
    /// The place.
    pub place: Place,
    /// What was found there.
    pub score: Score,
    /// Why it has no direction, if it has none.
    pub problem: Option<String>,
}

impl States {
    /// Estimates, chooses, and makes the file.
    pub fn finish(&self) -> Result<Extracted> {
        self.check_whole()?;
        given(&mut Held(self))
    }

    /// The control of that file: the same estimator, at the sites and the place that the true labels choose, on labels
    /// shuffled by this seed, with the true difference projected out. Its magnitudes are the gaps on its own labels.
    pub fn control(&self, seed: u64) -> Result<Extracted> {
        if self.about.recipe.eta.is_some() {
            let problem = "is no control of robust weights: they make little of pairs that look turned round, which \
                           half of shuffled pairs are; extract with uniform weights";
            return Err(Refusal::Setting { field: "shuffle", problem: problem.to_owned() }.into());
        }
        self.check_whole()?;
        let (about, source) = (&self.about, &mut Held(self));
        let sites = sites(about)?;
        let grid = choose::grid(source)?;
        let (best, _) = chosen(about, &grid)?;
        let kept = kept(about, &grid, best)?;
        let controls = kept.iter().map(|kept| choose::shuffled(self, kept.tried, seed));
        let mut controls = controls.collect::<Result<Vec<Tried>>>()?;
        choose::held_out(source, &mut controls)?;
        let best = controls.iter().find(|tried| tried.index == best.index).unwrap_or(best);
        let (status, labels) = (Status::Unmeasured, Labels::Shuffled { seed });
        let kept = tested(source, self::kept(about, &controls, best)?)?;
        Maker { about, sites: &sites, best, status, labels }.extracted(&kept, &grid)
    }

    fn check_whole(&self) -> Result<()> {
        if self.is_whole() {
            return Ok(());
        }
        let found = format!("{}..{}", self.blocks.start, self.done);
        Err(Refusal::Incomplete { found, blocks: self.about.blocks() }.into())
    }
}

/// What an extraction gives by the labels of the data, wherever its states come from.
pub(super) fn given(source: &mut dyn Source) -> Result<Extracted> {
    let about = source.about().clone();
    let sites = sites(&about)?;
    let grid = choose::grid(source)?;
    let (best, status) = chosen(&about, &grid)?;
    let kept = tested(source, kept(&about, &grid, best)?)?;
    let labels = Labels::Given;
    Maker { about: &about, sites: &sites, best, status, labels }.extracted(&kept, &grid)
}

/// The candidate that is used, and what its file's status is.
fn chosen<'a>(about: &About, grid: &'a [Tried]) -> Result<(&'a Tried, Status)> {
    Ok(match choose::choose(grid, about.recipe.rule())? {
        Choice::Found(tried) => (tried, Status::Unmeasured),
        Choice::Null(tried) => (tried, Status::Null),
    })
}

/// A candidate that is written.
struct Kept<'a> {
    tried: &'a Tried,
    estimate: &'a Estimate,
    /// Separation by the row to steer with, and by the one to read with, of the test items; of those that chose where
    /// there is no test.
    auc: [Option<f64>; 2],
}

impl Kept<'_> {
    /// The row to steer with, and the one to read with.
    fn rows(&self) -> [&Vec<f64>; 2] {
        let steer = &self.estimate.steer;
        [steer, self.estimate.read.as_ref().unwrap_or(steer)]
    }
}

/// The same with what items say that were not fitted on.
fn tested<'a>(source: &mut dyn Source, mut kept: Vec<Kept<'a>>) -> Result<Vec<Kept<'a>>> {
    let row = |of: &Kept<'_>, row: &Vec<f64>| Asked { candidate: of.tried.index, row: row.clone() };
    let asked: Vec<Asked> =
        kept.iter().flat_map(|kept| kept.rows().map(|asked| row(kept, asked))).collect();
    let Some(part) = source.about().judged_by() else { return Ok(kept) };
    let found = source.project(part, &asked)?;
    let aucs: Vec<Option<f64>> = found
        .iter()
        .map(|[positive, negative]| estimate::auroc(positive, negative))
        .map(|auc| Some(auc).filter(|auc| auc.is_finite()))
        .collect();
    for (kept, aucs) in kept.iter_mut().zip(aucs.chunks_exact(2)) {
        kept.auc = [aucs[0], aucs[1]];
    }
    Ok(kept)
}

/// Which labels a direction is fitted to.
#[derive(Debug, Clone, Copy)]
enum Labels {
    /// Those of the data.
    Given,
    /// A control's.
    Shuffled {
        /// Keys the shuffle.
        seed: u64,
    },
}

fn sites(about: &About) -> Result<Vec<Site>> {
    let parse = |name: &String| name.parse().map_err(|e| Error::site("sites", e));
    about.sites.iter().map(parse).collect()
}

/// The candidates that are written: the chosen one, or every site at its place.
fn kept<'a>(about: &About, grid: &'a [Tried], best: &'a Tried) -> Result<Vec<Kept<'a>>> {
    let place = best.index % about.places.len();
    let wanted = |tried: &&Tried| match about.recipe.keep {
        Keep::Best => tried.index == best.index,
        Keep::All => tried.index % about.places.len() == place,
    };
    let with = grid.iter().filter(wanted).map(|tried| match &tried.estimate {
        Ok(estimate) => Ok(Kept { tried, estimate, auc: [None; 2] }),
        Err(problem) => {
            let site = about.sites.get(tried.index / about.places.len());
            let site = site.map_or("", String::as_str);
            Err(Refusal::Setting {
                field: "sites",
                problem: format!(
                    "has {site}, where there is no direction at the chosen place ({problem}); leave it out, or --select all"
                ),
            }
            .into())
        }
    });
    with.collect()
}

struct Maker<'a> {
    about: &'a About,
    sites: &'a [Site],
    best: &'a Tried,
    status: Status,
    labels: Labels,
}

impl Maker<'_> {
    fn extracted(&self, kept: &[Kept<'_>], grid: &[Tried]) -> Result<Extracted> {
        let file = self.file(kept, Role::Steer)?;
        let reads = kept.iter().any(|kept| kept.estimate.read.is_some());
        let read = reads.then(|| self.file(kept, Role::Read)).transpose()?;
        Ok(Extracted { file, read, report: self.report(kept, grid)? })
    }

    fn site(&self, tried: &Tried) -> Site {
        self.sites.get(tried.index / self.about.places.len()).copied().unwrap_or(Site::Final)
    }

    fn place(&self, tried: &Tried) -> Result<Place> {
        let places = &self.about.places;
        let place = places.get(tried.index % places.len()).copied();
        place.ok_or_else(|| Error::estimate("candidate", "has no place"))
    }

    /// The file in one of its two roles.
    fn file(&self, kept: &[Kept<'_>], role: Role) -> Result<VectorFile> {
        let mut card = self.card(role)?;
        let mut directions = Vec::new();
        for one in kept {
            let (estimate, [steer, read], [steer_auc, read_auc]) =
                (one.estimate, one.rows(), one.auc);
            let (row, gap, anchor, auc) = match role {
                Role::Steer => (steer, estimate.gap, estimate.anchor, steer_auc),
                Role::Read => (read, estimate.read_gap, estimate.read_anchor, read_auc),
            };
            let site = self.site(one.tried);
            let values: Vec<f32> = row.iter().map(|v| *v as f32).collect();
            let (direction, _) = Direction::normalised(site, &values)?;
            let norm = self.about.norms.get(&site.to_string());
            let entry = SiteCard {
                anchor: Some(anchor as f32),
                auc: auc.map(|auc| auc as f32),
                stream_norm: norm.map(|norm| norm[0]),
                stream_norm_p95: norm.map(|norm| norm[1]),
                ..SiteCard::of(site, Some(gap as f32))
            };
            card.sites.insert(site, entry);
            directions.push(direction);
        }
        VectorFile::new(card, directions)
    }

    /// The card without its sites.
    fn card(&self, role: Role) -> Result<Card> {
        let (about, recipe) = (self.about, &self.about.recipe);
        let name = match (role, self.labels) {
            (Role::Steer, Labels::Given) => recipe.name.clone(),
            (Role::Steer, Labels::Shuffled { .. }) => format!("{}.shuffled", recipe.name),
            (Role::Read, _) => format!("{}{READ_SUFFIX}", recipe.name),
        };
        let summary = match self.labels {
            Labels::Given => recipe.summary.clone(),
            Labels::Shuffled { .. } => {
                format!("control of {}: its labels are shuffled", recipe.name)
            }
        };
        let mut card = Card::unmeasured(&name, &summary, Operation::Add, self.method()?);
        card.role = role;
        card.model = Some(about.model.clone());
        card.data = Some(DataCard {
            contrast: recipe.contrast.clone(),
            licence: recipe.licence.clone(),
            pairs: about.items.len(),
            sha256: about.data_sha256.clone(),
        });
        card.status = self.status;
        card.scale.default = match (role, self.status) {
            (Role::Read, _) => 1.0,
            (Role::Steer, Status::Null) => 0.0,
            (Role::Steer, Status::Measured | Status::Unmeasured) => self.scale(),
        };
        Ok(card)
    }

    /// One class gap, or PaLRS's α as a number of them.
    fn scale(&self) -> f32 {
        let recipe = &self.about.recipe;
        match (recipe.method, &self.best.estimate) {
            (MethodName::Palrs, Ok(estimate)) => estimate.scale_at(f64::from(recipe.alpha)) as f32,
            _ => 1.0,
        }
    }

    fn method(&self) -> Result<Method> {
        let (recipe, score) = (&self.about.recipe, &self.best.score);
        let place = self.place(self.best)?;
        let (name, seed, mut params) = self.labelled();
        params.extend([
            ("candidate".to_owned(), Param::Integer(place.index.into())),
            ("candidates".to_owned(), Param::Integer(self.about.candidates() as i64)),
            ("select".to_owned(), Param::Text(recipe.rule().name().to_owned())),
            ("site".to_owned(), Param::Text(self.site(self.best).to_string())),
            ("top_share".to_owned(), number(score.top_share)),
        ]);
        params.extend(score.auroc.map(|auroc| ("auroc_select".to_owned(), number(auroc))));
        if let Some(eta) = recipe.eta {
            params.insert("eta".to_owned(), number(eta));
        }
        if recipe.position == Some(Position::SharedTail) {
            params.insert("tokens".to_owned(), Param::Text(Position::SharedTail.to_string()));
        }
        if let Some(system) = &recipe.system {
            params.insert("system".to_owned(), Param::Text(system.clone()));
        }
        if let Ok(estimate) = &self.best.estimate
            && recipe.method == MethodName::Palrs
        {
            params.insert("alpha".to_owned(), Param::Number(recipe.alpha));
            params.insert("mu_norm".to_owned(), number(estimate.positive_norm));
        }
        Ok(Method {
            name,
            pairs: Some(self.about.count(Part::Fit)),
            params,
            position: Some(place.reading),
            seed: Some(seed),
        })
    }

    /// What depends on the labels: the method's name and seed, and parameters. A control says what it shuffled instead of
    /// how the true difference lies.
    fn labelled(&self) -> (MethodName, u64, BTreeMap<String, Param>) {
        let (recipe, score) = (&self.about.recipe, &self.best.score);
        let Labels::Shuffled { seed } = self.labels else {
            let params = [
                ("cosine".to_owned(), number(score.cosine)),
                ("length_ratio".to_owned(), number(score.length_ratio)),
            ];
            return (recipe.method, recipe.seed, BTreeMap::from(params));
        };
        let split = i64::try_from(recipe.seed)
            .map_or_else(|_| Param::Text(recipe.seed.to_string()), Param::Integer);
        let params = [
            ("estimator".to_owned(), Param::Text(recipe.method.name().to_owned())),
            ("split_seed".to_owned(), split),
        ];
        (MethodName::Shuffled, seed, BTreeMap::from(params))
    }

    /// That several sites separate alike, so that separation did not choose.
    fn saturated(&self, grid: &[Tried]) -> Option<String> {
        let rule = self.about.recipe.rule();
        if rule != Selection::HeldoutAuroc || self.status == Status::Null {
            return None;
        }
        let with: Vec<&Tried> = grid.iter().filter(|tried| tried.estimate.is_ok()).collect();
        let scores: Vec<Score> = with.iter().map(|tried| tried.score).collect();
        let tied = estimate::tied(rule, &scores);
        let mut sites = tied.iter().filter_map(|index| with.get(*index)).map(|t| self.site(t));
        let (first, last) = (sites.next()?, sites.next_back()?);
        (first != last).then(|| {
            format!(
                "{} of {} candidates, {first} to {last}, separate the items that choose equally well (AUROC {:.3}); {} is \
                 the first with nearly the largest gap for the stream's length",
                tied.len(),
                grid.len(),
                self.best.score.auroc.unwrap_or(f64::NAN),
                self.site(self.best),
            )
        })
    }

    /// What speaks against the direction being more than chance. A control is chance by design.
    fn doubts(&self, best: &Kept<'_>) -> Vec<String> {
        let (mut doubts, site) = (Vec::new(), self.site(best.tried));
        if matches!(self.labels, Labels::Shuffled { .. }) {
            return doubts;
        }
        if let (Some(part), [Some(auc), _]) = (self.about.judged_by(), best.auc) {
            let counts =
                [Class::Positive, Class::Negative].map(|c| self.about.sides(c, part) as f64);
            let least = 0.5 + estimate::auroc_margin(counts);
            if auc < least {
                let [positive, negative] = counts;
                doubts.push(format!(
                    "AUC {auc:.3} of {positive} and {negative} items at {site} is not above chance, which is up to \
                     {least:.3} of so many: the direction may separate nothing"
                ));
            }
        }
        if let Some(cosine) = best.tried.score.split_half.filter(|cosine| *cosine < HALVES_AGREE) {
            doubts.push(format!(
                "two halves of the items fitted on agree by a cosine of {cosine:.3} at {site}, below {HALVES_AGREE}: \
                 the direction is largely chance"
            ));
        }
        doubts
    }

    fn report(&self, kept: &[Kept<'_>], grid: &[Tried]) -> Result<Report> {
        let sites = kept.iter().map(|Kept { tried, estimate, auc: [auc, _] }| SiteReport {
            site: self.site(tried),
            magnitude: estimate.gap as f32,
            anchor: estimate.anchor as f32,
            norm: self.about.norms.get(&self.site(tried).to_string()).copied(),
            auc: auc.map(|auc| auc as f32),
            cohens_d: tried.score.cohens_d,
            split_half: tried.score.split_half,
        });
        let candidate = |tried: &Tried| {
            Ok(Candidate {
                site: self.site(tried),
                place: self.place(tried)?,
                score: tried.score,
                problem: tried.estimate.as_ref().err().map(ToString::to_string),
            })
        };
        Ok(Report {
            items: self.about.items.len(),
            parts: [Part::Fit, Part::Select, Part::Test].map(|part| self.about.count(part)),
            sites: sites.collect(),
            recommended: self.site(self.best),
            place: self.place(self.best)?,
            rule: self.about.recipe.rule(),
            grid: grid.iter().map(candidate).collect::<Result<_>>()?,
            warnings: self.warnings(kept, grid),
        })
    }

    fn warnings(&self, kept: &[Kept<'_>], grid: &[Tried]) -> Vec<String> {
        let mut warnings = Vec::new();
        warnings.extend(self.saturated(grid));
        if let Some(best) = kept.iter().find(|kept| kept.tried.index == self.best.index) {
            warnings.extend(self.doubts(best));
        }
        let fit = self.about.count(Part::Fit);
        if fit < FEW_PAIRS {
            warnings.push(format!("{fit} items to fit on are few, {FEW_PAIRS} or more are better"));
        }
        let score = &self.best.score;
        if score.top_share > TOP_SHARE_LIMIT {
            warnings.push(format!(
                "{:.0} % of the direction lie in 1 % of its coordinates: it is a few outliers",
                100.0 * score.top_share
            ));
        }
        if self.status == Status::Null {
            warnings.push(
                "no candidate is left by the rule: the vector's status is null and its scale 0"
                    .to_owned(),
            );
        }
        warnings
    }
}

fn number(value: f64) -> Param {
    Param::Number(value as f32)
}
