//! How hard vectors may push: per vector, per site, and over all sites.
//!
//! A *dose* is the length of a push as a share of the stream's median length there. That length is measured on the model
//! in use: a file's own `stream_norm` is a claim, and a claim sets no limit until the model bears it out
//! ([`stream_lengths`]). Only where there is no model, as when files are composed without one, or one that reads no text,
//! do the cards' claims count. A limit that is exceeded is never passed over in silence: it is an error that names the
//! factor which fits, a changed scale, or a warning.
//!
//! Doses of `add` and `rotate` are known beforehand. What `project` and `clamp` do depends on the token, so those are
//! named in [`Note::Unpredicted`]. A projection is bounded by its share, which is at most 2. A clamp between the class
//! means moves tokens where tokens are. One to a range beyond those means, or farther out than the stream is long, moves
//! every token by at least so much, and that part is a dose like any other.

pub use super::error::short;
pub use super::note::Note;
pub use super::timing::Timing;

use super::error::Error;
use super::load::{Load, Reach};
use crate::error::Result;
use crate::file::VectorFile;
use crate::file::card::{Operation, SiteCard, Status};
use crate::neutral::{DRIFT, borne_out, medians};
use crate::ops::{Rescale, Unit};
use crate::scope::Scope;
use crate::steer::SteerOptions;
use std::collections::{BTreeMap, BTreeSet};
use trimtab_runtime::Model;
use trimtab_runtime::site::Site;

/// What rounding a scale to f32 may add to a dose without its being called an excess.
const SLACK: f64 = 1e-6;
/// How often a factor that fits one site is tried on the others.
const ROUNDS: usize = 64;

/// What is done about a push that is too hard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DosePolicy {
    /// An error that names the factor which fits.
    #[default]
    Refuse,
    /// All unprotected scales are multiplied by that factor.
    Clamp,
    /// It is told, and nothing changes.
    Warn,
}

/// Whether a vector may be changed for the sake of others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Never: a safety direction.
    Protected,
    /// It may be projected and scaled.
    #[default]
    Free,
}

/// A vector file as it is to be applied.
#[derive(Debug, Clone)]
pub struct Dosed<'a> {
    /// The vector.
    pub file: &'a VectorFile,
    /// What it is called in refusals and notes; see [`name_apart`].
    pub name: String,
    /// What is done with it.
    pub operation: Operation,
    /// The scale it is meant to have.
    pub scale: f32,
    /// What a scale of `add` counts in.
    pub unit: Unit,
    /// What happens to a token's length.
    pub rescale: Rescale,
    /// Which tokens it acts on.
    pub scope: Scope,
    /// Only these sites; `None` for all of the file.
    pub sites: Option<Vec<Site>>,
    /// When it acts on those tokens.
    pub timing: Timing,
    /// Whether its scale may be lowered.
    pub standing: Standing,
}

impl<'a> Dosed<'a> {
    /// A vector that may be changed, applied as [`Steer::new`](crate::Steer::new) would with these options.
    pub fn new(file: &'a VectorFile, options: &SteerOptions) -> Self {
        let card = file.card();
        let operation = options.operation.unwrap_or(card.operation);
        // The card's default counts for the card's operation only.
        let default =
            if operation.kind() == card.operation.kind() { card.scale.default } else { 1.0 };
        Dosed {
            file,
            name: card.name.clone(),
            operation,
            scale: options.scale.unwrap_or(default),
            unit: options.unit,
            rescale: options.rescale,
            scope: options.scope.clone().unwrap_or_else(|| file.card().scope.clone()),
            sites: options.selected(file),
            timing: Timing::of(options),
            standing: Standing::Free,
        }
    }

    /// Its rows and cards at the sites where it acts.
    pub(super) fn entries(&self) -> impl Iterator<Item = (Site, &'a [f32], &'a SiteCard)> {
        let wanted = |site: Site| self.sites.as_ref().is_none_or(|sites| sites.contains(&site));
        let file = self.file;
        file.directions().iter().filter(move |d| wanted(d.site())).filter_map(|direction| {
            let entry = file.card().sites.get(&direction.site())?;
            Some((direction.site(), direction.values(), entry))
        })
    }

    /// The range that an evaluation on record found to be safe, if it is applied as it was evaluated.
    fn measured_safe(&self) -> Option<[f32; 2]> {
        let card = self.file.card();
        let measured = card.status == Status::Measured && card.evaluation.is_some();
        card.scale.safe.filter(|_| measured && self.is_as_made())
    }

    /// Whether it is applied as its card says, so that the card's safe range is about it.
    pub(super) fn is_as_made(&self) -> bool {
        self.operation == self.file.card().operation
            && self.unit == Unit::ClassGaps
            && self.rescale == Rescale::None
    }
}

/// The limits, and what is done about them.
///
/// To be called on the vectors of a plan before they are bound:
///
/// ```
/// use std::collections::BTreeMap;
/// use trimtab_runtime::site::Site;
/// use trimtab_steering::compose::dose::{DoseLimit, DosePolicy, Dosed};
/// use trimtab_steering::file::card::{Card, Method, MethodName, Operation, SiteCard};
/// use trimtab_steering::{Direction, SteerOptions, VectorFile};
///
/// let (direction, gap) = Direction::normalised(Site::ResidPost(1), &[3.0, 0.0, 4.0]).unwrap();
/// let method = Method::named(MethodName::MeanDifference);
/// let mut card = Card::unmeasured("calm", "less urgent tone", Operation::Add, method);
/// card.sites.insert(direction.site(), SiteCard::of(direction.site(), Some(gap)));
/// let file = VectorFile::new(card, vec![direction]).unwrap();
///
/// // The card has no stream_norm, so it must have been measured: 8 long, and the vector pushes by 5.
/// let measured = BTreeMap::from([(Site::ResidPost(1), 8.0)]);
/// let vectors = [Dosed::new(&file, &SteerOptions::default())];
/// let limit = DoseLimit::default();
/// assert_eq!(limit.check(&vectors, &measured).unwrap_err().code(), "dose_exceeded");
/// let doses = DoseLimit { policy: DosePolicy::Clamp, ..limit }.check(&vectors, &measured).unwrap();
/// assert!((doses.scales()[0] - 0.8).abs() < 1e-5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DoseLimit {
    /// Of one vector at one site, unless its safe range was measured to be wider.
    pub vector: f64,
    /// Of all vectors at one site.
    pub site: f64,
    /// Over all sites; only ever a warning.
    pub total: f64,
    /// What is done about an excess.
    pub policy: DosePolicy,
}

impl Default for DoseLimit {
    fn default() -> Self {
        DoseLimit { vector: 0.5, site: 1.0, total: 2.0, policy: DosePolicy::Refuse }
    }
}

/// One vector's dose at one site.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorDose {
    /// Its place in the list.
    pub vector: usize,
    /// Where.
    pub site: Site,
    /// At the scale asked for.
    pub asked: f64,
    /// At the scale in force.
    pub dose: f64,
    /// The most it may be.
    pub limit: f64,
}

/// What all vectors do at one site.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteDose {
    /// Where.
    pub site: Site,
    /// Median length of the stream.
    pub norm: f64,
    /// At the scales asked for.
    pub asked: f64,
    /// At the scales in force.
    pub dose: f64,
}

/// The doses of a list of vectors that may be applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Doses {
    /// What the scales of unprotected vectors were multiplied by: 1 unless clamped.
    pub factor: f32,
    /// Every vector at every site of which a dose is known.
    pub vectors: Vec<VectorDose>,
    /// Every site, in forward order.
    pub sites: Vec<SiteDose>,
    /// Sum over the sites, in force.
    pub total: f64,
    /// What is to be told.
    pub notes: Vec<Note>,
    scales: Vec<f32>,
}

impl Default for Doses {
    /// Of no vectors.
    fn default() -> Doses {
        let (vectors, sites) = (Vec::new(), Vec::new());
        Doses { factor: 1.0, vectors, sites, total: 0.0, notes: Vec::new(), scales: Vec::new() }
    }
}

impl Doses {
    /// The dose of a vector at a site, where it is known beforehand.
    pub fn at(&self, vector: usize, site: Site) -> Option<f64> {
        let found = self.vectors.iter().find(|one| one.vector == vector && one.site == site);
        found.map(|one| one.dose)
    }

    /// The scales in force, in the order of the vectors.
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }
}

/// Gives vectors with one name different ones: the second `calm` is `calm#2`, or the next number that no other has.
pub fn name_apart<'n>(names: impl IntoIterator<Item = &'n mut String>) {
    let names: Vec<&mut String> = names.into_iter().collect();
    let mut taken: BTreeSet<String> = names.iter().map(|name| (**name).clone()).collect();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for name in names {
        if seen.insert(name.clone()) {
            continue;
        }
        let other = (2..).map(|number: usize| format!("{name}#{number}"));
        if let Some(free) = other.into_iter().find(|other| !taken.contains(other)) {
            taken.insert(free.clone());
            seen.insert(free.clone());
            *name = free;
        }
    }
}

/// The stream's median length where vectors are held to it, on the model they are applied to. What a file made on these
/// very weights claims is held against a short text and never believed to be more; everything else is measured, once in a
/// process. `progress` hears of that, window by window.
pub fn stream_lengths(
    model: &Model,
    vectors: &[Dosed<'_>],
    progress: &mut dyn FnMut(usize, usize),
) -> Result<BTreeMap<Site, f32>> {
    let weights = &model.identity().weights_sha256;
    let own = |vector: &&Dosed<'_>| {
        let made_on = vector.file.card().model.as_ref();
        made_on.is_some_and(|made_on| made_on.weights_sha256 == *weights)
    };
    let own: Vec<Dosed<'_>> = vectors.iter().filter(own).cloned().collect();
    let mut claims: BTreeMap<Site, f32> = BTreeMap::new();
    let sites = sites(vectors);
    for (site, claim) in norms(&own, &BTreeMap::new()) {
        if sites.contains(&site) {
            claims.insert(site, claim as f32);
        }
    }
    let mut lengths = borne_out(model, &claims, progress)?;
    let others: Vec<Site> = sites.into_iter().filter(|s| !lengths.contains_key(s)).collect();
    lengths.extend(medians(model, &others, progress)?);
    Ok(lengths)
}

/// Whether the stream is as long as a file says: the site where it is least so, if there is one.
pub fn drift(vector: &Dosed<'_>, measured: &BTreeMap<Site, f32>) -> Option<Note> {
    let ratio = |(site, _, entry): (Site, &[f32], &SiteCard)| {
        Some((site, f64::from(*measured.get(&site)?) / f64::from(entry.stream_norm?)))
    };
    let off = |ratio: &f64| (ratio - 1.0).abs() > DRIFT;
    let found: Vec<(Site, f64)> =
        vector.entries().filter_map(ratio).filter(|(_, ratio)| off(ratio)).collect();
    let farther = |a: &f64, b: &f64| a.ln().abs().total_cmp(&b.ln().abs());
    let (site, ratio) = found.iter().copied().max_by(|(_, a), (_, b)| farther(a, b))?;
    Some(Note::NormDrift { name: vector.name.clone(), site, ratio, others: found.len() - 1 })
}

/// The sites where vectors are held to the stream's length: where it is measured for [`DoseLimit::check`].
pub fn sites(vectors: &[Dosed<'_>]) -> Vec<Site> {
    let dosed = vectors.iter().filter(|vector| vector.is_held());
    let mut sites: Vec<Site> = dosed.flat_map(|v| v.entries().map(|e| e.0)).collect();
    sites.sort_unstable();
    sites.dedup();
    sites
}

/// The stream's length at every site where it is known. What was measured takes the place of the cards' claims; of several
/// claims the smallest length counts, which gives the largest dose.
pub(super) fn norms(vectors: &[Dosed<'_>], measured: &BTreeMap<Site, f32>) -> BTreeMap<Site, f64> {
    let mut known: BTreeMap<Site, f64> = BTreeMap::new();
    for (site, _, entry) in vectors.iter().flat_map(Dosed::entries) {
        if let Some(norm) = entry.stream_norm.map(f64::from) {
            let least = known.entry(site).or_insert(norm);
            *least = least.min(norm);
        }
    }
    known.extend(measured.iter().map(|(site, norm)| (*site, f64::from(*norm))));
    known
}

impl DoseLimit {
    /// With so much at one site. One vector alone may push half as hard as all together.
    pub fn at_site(site: f64) -> DoseLimit {
        let usual = DoseLimit::default();
        DoseLimit { vector: usual.vector * site / usual.site, site, ..usual }
    }

    /// The doses of vectors applied together on a model, or the refusal: [`DoseLimit::check`] by lengths that are measured
    /// on it, once in a process for every site.
    pub fn check_on(&self, model: &Model, vectors: &[Dosed<'_>]) -> Result<Doses> {
        self.check(vectors, &stream_lengths(model, vectors, &mut |_, _| {})?)
    }

    /// The doses of vectors applied together, or the refusal. `measured` holds the stream's median length on the
    /// model in use, from [`stream_lengths`] or [`medians`]; where it has none the cards' `stream_norm` counts, which is no
    /// more than what a file says of itself. The scales to use are [`Doses::scales`], and [`Doses::notes`] must be shown.
    pub fn check(&self, vectors: &[Dosed<'_>], measured: &BTreeMap<Site, f32>) -> Result<Doses> {
        self.sound()?;
        let tally = Tally::of(self, vectors, measured)?;
        tally.protected_alone(self)?;
        let factor = tally.factor(self);
        let mut notes = Vec::new();
        let factor = match (self.policy, factor < 1.0) {
            (_, false) => 1.0,
            (DosePolicy::Refuse, true) => return Err(tally.excess(self, factor).into()),
            (DosePolicy::Clamp, true) => {
                notes.push(Note::Clamped { factor });
                factor
            }
            (DosePolicy::Warn, true) => {
                notes.extend(tally.excesses(self).map(|(what, dose, limit)| Note::Over {
                    what,
                    dose,
                    limit,
                }));
                1.0
            }
        };
        notes.extend(tally.notes.iter().cloned());
        Ok(tally.doses(self, vectors, factor, notes))
    }

    fn sound(&self) -> Result<()> {
        const EXPECTED: &str = "a number from 0 to 8";
        for (field, value) in
            [("dose_vector", self.vector), ("dose_site", self.site), ("dose_total", self.total)]
        {
            if !(0.0..=8.0).contains(&value) {
                return Err(Error::Setting { field, value, expected: EXPECTED }.into());
            }
        }
        Ok(())
    }
}

/// A vector's push at a site, before any factor.
struct Push {
    vector: usize,
    name: String,
    standing: Standing,
    site: Site,
    reach: Reach,
    norm: f64,
    limit: f64,
}

/// All pushes, by vector and by site.
struct Tally {
    pushes: Vec<Push>,
    loads: BTreeMap<Site, (f64, Load)>,
    notes: Vec<Note>,
}

impl Tally {
    fn of(
        limits: &DoseLimit,
        vectors: &[Dosed<'_>],
        measured: &BTreeMap<Site, f32>,
    ) -> Result<Self> {
        let norms = norms(vectors, measured);
        let mut tally = Tally { pushes: Vec::new(), loads: BTreeMap::new(), notes: Vec::new() };
        for (index, vector) in vectors.iter().enumerate() {
            if !vector.scale.is_finite() {
                let name = format!("the scale of vector {}", vector.name);
                return Err(crate::error::Error::NotFinite { name, index });
            }
            if !vector.is_predicted() {
                let (name, kind) = (vector.name.clone(), vector.operation.kind());
                tally.notes.push(Note::Unpredicted { name, kind });
            }
            if !vector.is_held() {
                continue;
            }
            tally.notes.extend(drift(vector, measured));
            for (site, row, entry) in vector.entries() {
                let name = || vector.name.clone();
                let norm = norms.get(&site).copied().filter(|n| n.is_finite() && *n > 0.0);
                let norm = norm.ok_or_else(|| Error::NoStreamNorm { name: name(), site })?;
                tally.push(limits, (index, vector), (site, row, entry), norm);
            }
        }
        Ok(tally)
    }

    fn push(
        &mut self,
        limits: &DoseLimit,
        (index, vector): (usize, &Dosed<'_>),
        (site, row, entry): (Site, &[f32], &SiteCard),
        norm: f64,
    ) {
        let Some(reach) = vector.reach(entry, norm) else {
            return;
        };
        let standing = vector.standing;
        // Doses that were measured to be safe are allowed, however large.
        let safe = vector.measured_safe().map_or(0.0, |[low, high]| {
            let scale = if vector.scale < 0.0 { low } else { high };
            let at_safe = Dosed { scale, ..vector.clone() };
            at_safe.reach(entry, norm).map_or(0.0, |reach| reach.at(1.0)) / norm
        });
        let (_, load) = self.loads.entry(site).or_insert_with(|| (norm, Load::default()));
        match vector.constant(entry) {
            Some(magnitude) => {
                let coefficient = f64::from(vector.scale) * magnitude;
                load.push(vector, coefficient, row);
            }
            None => load.turn(standing, reach),
        }
        self.pushes.push(Push {
            vector: index,
            name: vector.name.clone(),
            standing,
            site,
            reach,
            norm,
            limit: limits.vector.max(safe),
        });
    }

    /// No factor helps against protected vectors, so they are held to the limits under every policy.
    fn protected_alone(&self, limits: &DoseLimit) -> Result<()> {
        let held = self.pushes.iter().filter(|p| p.standing == Standing::Protected);
        if let Some(push) = held.into_iter().find(|p| p.is_over()) {
            let (what, dose, limit) = (push.what(), push.dose(1.0), push.limit);
            return Err(Error::ProtectedDose { what, dose, limit }.into());
        }
        for (site, (norm, load)) in &self.loads {
            let (dose, limit) = (load.curve().at(0.0) / norm, limits.site);
            if over(dose, limit) {
                let what = format!("site {site}");
                return Err(Error::ProtectedDose { what, dose, limit }.into());
            }
        }
        Ok(())
    }

    /// The largest factor on unprotected scales that keeps every limit: 1 if they are kept as it is.
    fn factor(&self, limits: &DoseLimit) -> f32 {
        if self.excesses(limits).next().is_none() {
            return 1.0;
        }
        let free = self.pushes.iter().filter(|p| p.standing == Standing::Free);
        let vectors = free.filter(|p| p.is_over()).map(|p| p.reach.fits(p.limit * p.norm));
        let mut least = vectors.fold(1.0, f64::min);
        // A factor that fits one site may be too much for another that a larger one fits, so all are asked again.
        for _ in 0..ROUNDS {
            let before = least;
            for (norm, load) in self.loads.values() {
                least = load.curve().fits(least, limits.site * norm);
            }
            if least == before {
                break;
            }
        }
        // Rounded toward 0, so that the scales in f32 fit as well.
        (least * (1.0 - SLACK / 2.0)) as f32
    }

    /// Everything above its limit, the vectors first.
    fn excesses(&self, limits: &DoseLimit) -> impl Iterator<Item = (String, f64, f64)> {
        let vectors = self.pushes.iter().filter(|p| p.is_over());
        let vectors = vectors.map(|p| (p.what(), p.dose(1.0), p.limit));
        let most = limits.site;
        let sites =
            self.loads.iter().map(|(site, (norm, load))| (site, load.curve().at(1.0) / norm));
        let sites = sites.filter(move |(_, dose)| over(*dose, most));
        vectors.chain(sites.map(move |(site, dose)| (format!("site {site}"), dose, most)))
    }

    /// The refusal: what is farthest above its limit.
    fn excess(&self, limits: &DoseLimit, factor: f32) -> Error {
        let worst = self.excesses(limits).max_by(|a, b| (a.1 / a.2).total_cmp(&(b.1 / b.2)));
        let (what, dose, limit) = worst.unwrap_or_default();
        Error::DoseExceeded { what, dose, limit, factor }
    }

    fn doses(
        &self,
        limits: &DoseLimit,
        vectors: &[Dosed<'_>],
        factor: f32,
        mut notes: Vec<Note>,
    ) -> Doses {
        let pushes = |index: usize| self.pushes.iter().any(|push| push.vector == index);
        let scale = |(index, vector): (usize, &Dosed<'_>)| match vector.standing {
            // What has no dose beforehand is not what makes the doses too large.
            Standing::Free if pushes(index) => vector.scale * factor,
            Standing::Protected | Standing::Free => vector.scale,
        };
        let scales: Vec<f32> = vectors.iter().enumerate().map(scale).collect();
        for (vector, scale) in vectors.iter().zip(&scales) {
            let card = vector.file.card();
            let safe = card.scale.safe.filter(|_| vector.is_as_made());
            if let Some(safe) = safe.filter(|[low, high]| !(low..=high).contains(&scale)) {
                let name = vector.name.clone();
                notes.push(Note::OutsideSafe { name, scale: *scale, safe });
            }
        }
        let sites: Vec<SiteDose> =
            self.loads.iter().map(|(site, at)| at_site(*site, at, factor)).collect();
        let total = sites.iter().map(|s| s.dose).sum();
        if over(total, limits.total) {
            notes.push(Note::Total { dose: total, limit: limits.total });
        }
        let vectors = self.pushes.iter().map(|p| p.dosed(factor)).collect();
        Doses { factor, vectors, sites, total, notes, scales }
    }
}

fn at_site(site: Site, (norm, load): &(f64, Load), factor: f32) -> SiteDose {
    let curve = load.curve();
    let dose = curve.at(f64::from(factor)) / norm;
    SiteDose { site, norm: *norm, asked: curve.at(1.0) / norm, dose }
}

impl Push {
    fn what(&self) -> String {
        format!("vector {} at {}", self.name, self.site)
    }

    fn dose(&self, factor: f64) -> f64 {
        self.reach.at(factor) / self.norm
    }

    fn is_over(&self) -> bool {
        over(self.dose(1.0), self.limit)
    }

    fn dosed(&self, factor: f32) -> VectorDose {
        let factor = match self.standing {
            Standing::Protected => 1.0,
            Standing::Free => f64::from(factor),
        };
        let (vector, site, limit) = (self.vector, self.site, self.limit);
        VectorDose { vector, site, asked: self.dose(1.0), dose: self.dose(factor), limit }
    }
}

pub(crate) fn over(dose: f64, limit: f64) -> bool {
    dose > limit * (1.0 + SLACK)
}
