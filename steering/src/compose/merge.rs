//! Separated vectors as one addition per site: as a plan, and as a file.

use super::algebra::{norm, wide};
use super::dose::{Dosed, Doses, Standing, over};
use super::error::Error;
use super::parts::{Group, Part};
use super::report::{Finding, GroupReport, Report};
use super::separate::{Separated, State};
use super::{Lost, Mode, Settings, Stream, commute};
use crate::direction::Direction;
use crate::error::Result;
use crate::file::card::{Card, Method, MethodName, Operation, Param, SiteCard};
use crate::file::{VectorFile, sha256};
use crate::scope::Scope;
use crate::steer::{NullVectors, Steer, SteerOptions};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use trimtab_runtime::hook::{Addition, Intervention};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;

/// What goes into merging.
pub(super) struct Merging<'p, 'a> {
    pub(super) parts: &'p [Part<'a>],
    pub(super) settings: &'p Settings,
    pub(super) stream: &'p Stream,
    pub(super) order: Vec<usize>,
    pub(super) groups: Vec<Group<'a>>,
    pub(super) separated: Vec<Separated>,
}

/// A vector after separation, at the scale in force.
#[derive(Debug, Clone)]
struct Acting<'a> {
    /// As it was given.
    parent: &'a VectorFile,
    /// As it acts; the parent itself where nothing was taken from it.
    file: Cow<'a, VectorFile>,
    /// As it was asked for.
    asked: f32,
    scale: f32,
    scope: Scope,
    sites: Option<Vec<Site>>,
    standing: Standing,
}

impl Acting<'_> {
    fn options(&self) -> SteerOptions {
        SteerOptions {
            scale: Some(self.scale),
            scope: Some(self.scope.clone()),
            sites: self.sites.clone(),
            // Whether such vectors may be used was decided before.
            null: NullVectors::Allow,
            ..SteerOptions::default()
        }
    }

    fn steer(&self) -> Result<Steer> {
        Steer::new(&self.file, &self.options())
    }

    fn operation(&self) -> Operation {
        self.parent.card().operation
    }
}

/// The merged addition at one site and positions.
#[derive(Debug, Clone)]
struct Push {
    site: Site,
    scope: Scope,
    vector: Vec<f32>,
}

impl Push {
    fn is_zero(&self) -> bool {
        self.vector.iter().all(|v| *v == 0.0)
    }
}

/// Vectors that were composed: what they do together, and what was done to them.
#[derive(Debug, Clone)]
pub struct Composed<'a> {
    report: Report,
    settings: Settings,
    /// By stage, then by priority.
    acting: Vec<Acting<'a>>,
    pushes: Vec<Push>,
    sigma: BTreeMap<Site, String>,
}

impl<'a> Merging<'_, 'a> {
    pub(super) fn composed(self, mut findings: Vec<Finding>) -> Result<Composed<'a>> {
        findings.extend(commute::findings(self.parts, self.settings.cancelling)?);
        let files = self.files()?;
        let dosed: Vec<Dosed<'_>> = self
            .parts
            .iter()
            .zip(&files)
            .map(|(part, file)| Dosed { file, ..part.dosed.clone() })
            .collect();
        let doses = self.settings.dose.check(&dosed, &self.stream.norms)?;
        let pushes = self.pushes(&doses);
        let zero = pushes.iter().filter(|push| push.is_zero());
        findings.extend(zero.map(|push| Finding::Cancelled { site: push.site }));
        findings.extend(self.heavy(&pushes, &doses));
        let groups = self.reports(&pushes);
        let sigma = self.sigma();
        let acting = self.acting(files, &doses);
        let report = Report { order: self.order, groups, doses, findings };
        Ok(Composed { report, settings: *self.settings, acting, pushes, sigma })
    }

    /// The vectors with the rows that are left of them.
    fn files(&self) -> Result<Vec<Cow<'a, VectorFile>>> {
        let mut left: BTreeMap<usize, BTreeMap<Site, &[f64]>> = BTreeMap::new();
        for (group, separated) in self.groups.iter().zip(&self.separated) {
            for row in separated.rows.iter().filter(|row| row.state == State::Changed) {
                left.entry(row.part).or_default().insert(group.site, &row.row);
            }
        }
        let parts = self.parts.iter().enumerate();
        parts
            .map(|(at, part)| match left.get(&at) {
                None => Ok(Cow::Borrowed(part.dosed.file)),
                Some(rows) => remade(part.dosed.file, rows).map(Cow::Owned),
            })
            .collect()
    }

    /// What all members of a group add together, in f64 until it is stored.
    // -> [d_model] per group
    fn pushes(&self, doses: &Doses) -> Vec<Push> {
        let pairs = self.groups.iter().zip(&self.separated);
        pairs
            .map(|(group, separated)| {
                let mut sum: Vec<f64> = Vec::new();
                for row in &separated.rows {
                    let scale = doses.scales().get(row.part).copied().unwrap_or_default();
                    let coefficient = f64::from(scale) * self.magnitude(row.part, group.site);
                    sum.resize(row.row.len(), 0.0);
                    sum.iter_mut().zip(&row.row).for_each(|(s, v)| *s += coefficient * v);
                }
                let vector = sum.into_iter().map(|v| v as f32).collect();
                Push { site: group.site, scope: group.scope.clone(), vector }
            })
            .collect()
    }

    fn magnitude(&self, part: usize, site: Site) -> f64 {
        let card = self.parts.get(part).map(|part| part.dosed.file.card());
        let entry = card.and_then(|card| card.sites.get(&site));
        // The format's check holds that an additive vector has one everywhere.
        entry.and_then(|entry| entry.magnitude).map_or(0.0, f64::from)
    }

    /// The pushes that as a vector of their own would be above its limit.
    fn heavy(&self, pushes: &[Push], doses: &Doses) -> Vec<Finding> {
        let limit = self.settings.dose.vector;
        let dose = |push: &Push| {
            let at = doses.sites.iter().find(|dose| dose.site == push.site)?;
            Some((push.site, norm(&wide(&push.vector)) / at.norm))
        };
        let heavy = pushes.iter().filter_map(dose).filter(|(_, dose)| over(*dose, limit));
        heavy.map(|(site, dose)| Finding::Heavy { site, dose, limit }).collect()
    }

    fn reports(&self, pushes: &[Push]) -> Vec<GroupReport> {
        let all = self.groups.iter().zip(&self.separated).zip(pushes);
        all.map(|((group, separated), push)| GroupReport {
            site: group.site,
            scope: group.scope.clone(),
            members: separated.rows.iter().map(|row| row.part).collect(),
            rank: separated.rank,
            kept: separated.rows.iter().map(|row| row.kept).collect(),
            before: separated.before.clone(),
            after: separated.after.clone(),
            push: norm(&wide(&push.vector)),
        })
        .collect()
    }

    fn sigma(&self) -> BTreeMap<Site, String> {
        if self.settings.mode != Mode::Sigma {
            return BTreeMap::new();
        }
        let used: BTreeSet<Site> = self.groups.iter().map(|group| group.site).collect();
        let known = self.stream.covariances.iter().filter(|(site, _)| used.contains(site));
        known.map(|(site, sigma)| (*site, sigma.sha256().to_owned())).collect()
    }

    fn acting(&self, files: Vec<Cow<'a, VectorFile>>, doses: &Doses) -> Vec<Acting<'a>> {
        let mut acting: Vec<Acting<'a>> = Vec::new();
        for &at in &self.order {
            if let (Some(part), Some(file), Some(scale)) =
                (self.parts.get(at), files.get(at), doses.scales().get(at))
            {
                acting.push(Acting {
                    parent: part.dosed.file,
                    file: file.clone(),
                    asked: part.dosed.scale,
                    scale: *scale,
                    scope: part.dosed.scope.clone(),
                    sites: part.dosed.sites.clone(),
                    standing: part.dosed.standing,
                });
            }
        }
        acting.sort_by_key(|one| commute::stage(one.operation()));
        acting
    }
}

/// A vector with other rows at some sites. Their length becomes magnitude.
// [d_model] per site
fn remade(file: &VectorFile, rows: &BTreeMap<Site, &[f64]>) -> Result<VectorFile> {
    let mut card = file.card().clone();
    let mut directions = Vec::new();
    for direction in file.directions() {
        let Some(row) = rows.get(&direction.site()) else {
            directions.push(direction.clone());
            continue;
        };
        let row: Vec<f32> = row.iter().map(|v| *v as f32).collect();
        let (direction, length) = Direction::normalised(direction.site(), &row)?;
        if let Some(entry) = card.sites.get_mut(&direction.site()) {
            entry.magnitude = entry.magnitude.map(|magnitude| magnitude * length);
        }
        directions.push(direction);
    }
    VectorFile::new(card, directions)
}

impl Composed<'_> {
    /// What was done.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The vectors after separation, at the scales in force, by priority.
    pub fn vectors(&self) -> Vec<Dosed<'_>> {
        let acting = self.acting.iter();
        acting
            .map(|one| Dosed { standing: one.standing, ..Dosed::new(&one.file, &one.options()) })
            .collect()
    }

    /// What is added at each site and positions, scales included; zero where the pushes cancel.
    // -> [d_model] per site and positions
    pub fn pushes(&self) -> impl Iterator<Item = (Site, &Scope, &[f32])> {
        self.pushes.iter().map(|push| (push.site, &push.scope, push.vector.as_slice()))
    }

    /// One addition per site and positions, between the operations that act before and after it.
    pub fn merged(&self) -> Result<Plan> {
        let mut items: Vec<Arc<dyn Intervention>> = Vec::new();
        let others = |side: Ordering| {
            let adds = commute::stage(Operation::Add);
            let acting = self.acting.iter();
            acting.filter(move |one| commute::stage(one.operation()).cmp(&adds) == side)
        };
        for one in others(Ordering::Less) {
            items.push(Arc::new(one.steer()?));
        }
        for push in &self.pushes {
            let addition = Addition::new(push.site, push.vector.clone(), 1.0)?;
            let positions = push.scope.positions().ok_or_else(|| scattered(push.site))?;
            items.push(Arc::new(addition.at(positions)));
        }
        for one in others(Ordering::Greater) {
            items.push(Arc::new(one.steer()?));
        }
        Ok(Plan::from_shared(items))
    }

    /// The vectors one by one, to compare with runs of single vectors: what separation left as it was acts to the bit
    /// as its file does.
    pub fn separate(&self) -> Result<Plan> {
        let items: Result<Vec<Arc<dyn Intervention>>> = self
            .acting
            .iter()
            .map(|one| Ok(Arc::new(one.steer()?) as Arc<dyn Intervention>))
            .collect();
        Ok(Plan::from_shared(items?))
    }

    /// The merged additions as a vector file of its own, at scale 1 and not measured.
    pub fn file(&self, name: &str) -> Result<VectorFile> {
        let mut method = Method::named(MethodName::Composed);
        method.params = self.params()?;
        let mut card = Card::unmeasured(name, &self.summary(), Operation::Add, method);
        card.scope = self.scope()?;
        card.model = self.acting.first().and_then(|one| one.parent.card().model.clone());
        let mut directions = Vec::new();
        for push in self.pushes.iter().filter(|push| !push.is_zero()) {
            let (direction, magnitude) = Direction::normalised(push.site, &push.vector)?;
            card.sites.insert(push.site, self.entry(push.site, magnitude));
            directions.push(direction);
        }
        if directions.is_empty() {
            return Err(Error::Cancelled.into());
        }
        VectorFile::new(card, directions)
    }

    fn entry(&self, site: Site, magnitude: f32) -> SiteCard {
        let norm = self.report.doses.sites.iter().find(|s| s.site == site).map(|s| s.norm as f32);
        let mut known = self.acting.iter().filter_map(|one| one.parent.card().sites.get(&site));
        let p95 = known.find_map(|entry| entry.stream_norm_p95);
        SiteCard { stream_norm: norm, stream_norm_p95: p95, ..SiteCard::of(site, Some(magnitude)) }
    }

    /// The scope of the file, which has one scope and one operation.
    fn scope(&self) -> Result<Scope> {
        const WHAT: &str = "composition into one file";
        let refused = |reason: String| crate::Error::Refused { what: WHAT, reason };
        if let Some(one) = self.acting.iter().find(|one| one.operation() != Operation::Add) {
            let (name, kind) = (&one.parent.card().name, one.operation().kind());
            return Err(refused(format!("{name} is a {kind} vector; only additions are merged")));
        }
        let Some(first) = self.acting.first() else {
            return Err(Error::Empty.into());
        };
        if let Some(one) = self.acting.iter().find(|one| one.scope != first.scope) {
            let (name, other) = (&one.parent.card().name, &first.parent.card().name);
            return Err(refused(format!("{name} and {other} act on different tokens")));
        }
        Ok(first.scope.clone())
    }

    /// How the file was made: everything that another run needs.
    fn params(&self) -> Result<BTreeMap<String, Param>> {
        let text = |text: &str| Param::Text(text.to_owned());
        let mut params = BTreeMap::from([("mode".to_owned(), text(self.settings.mode.name()))]);
        if matches!(self.settings.mode, Mode::Subspace | Mode::Sigma) {
            params.insert("m".to_owned(), Param::Integer(self.settings.m as i64));
        }
        if self.settings.lost == Lost::Renormalised {
            params.insert("renormalise".to_owned(), text("yes"));
        }
        let factor = self.report.doses.factor;
        if factor != 1.0 {
            params.insert("dose_factor".to_owned(), Param::Number(factor));
        }
        for (site, hash) in &self.sigma {
            params.insert(format!("sigma.{site}"), text(hash));
        }
        for (number, one) in (1..).zip(&self.acting) {
            let mut put = |field: &str, value| {
                params.insert(format!("parent.{number}.{field}"), value);
            };
            put("name", text(&one.parent.card().name));
            put("sha256", text(&sha256(&one.parent.to_bytes()?)));
            put("scale", Param::Number(one.asked));
        }
        self.kept(&mut params);
        Ok(params)
    }

    /// The share of its length that each vector kept, where it lost some.
    fn kept(&self, params: &mut BTreeMap<String, Param>) {
        let numbers: BTreeMap<usize, usize> = self.report.order.iter().copied().zip(1..).collect();
        for group in &self.report.groups {
            for (part, kept) in group.members.iter().zip(&group.kept).filter(|(_, k)| **k != 1.0) {
                if let Some(number) = numbers.get(part) {
                    let key = format!("parent.{number}.kept.{}", group.site);
                    params.insert(key, Param::Number(*kept as f32));
                }
            }
        }
    }

    fn summary(&self) -> String {
        const LIMIT: usize = 400;
        let vectors: Vec<String> = self
            .acting
            .iter()
            .map(|one| format!("{} {}", one.parent.card().name, one.asked))
            .collect();
        let all = format!("composed by {}: {}", self.settings.mode.name(), vectors.join(", "));
        all.chars().take(LIMIT).collect()
    }
}

/// A merged addition is a constant on one run of positions.
fn scattered(site: Site) -> crate::Error {
    let reason = format!("the scope at {site} names tokens that are no single run of positions");
    crate::Error::Refused { what: "merging", reason }
}
