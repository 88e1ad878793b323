//! The laws of putting vectors together, on made-up vectors and the tiny model.

mod algebra;
mod dose;
mod interference;
mod merge;
mod refusals;
mod separate;

use super::dose::{Dosed, Standing};
use super::{Composed, Mode, Part, Settings, Stream, compose};
use crate::direction::Direction;
use crate::error::Result;
use crate::file::VectorFile;
use crate::file::card::{Card, Method, MethodName, Operation, SiteCard};
use crate::steer::SteerOptions;
use std::collections::BTreeMap;
use trimtab_runtime::site::Site;

const HERE: Site = Site::ResidPost(1);
const LATER: Site = Site::ResidPost(2);

/// An additive vector: at each site a row of any length, which becomes the magnitude, in a stream 10 long.
fn vector(name: &str, rows: &[(Site, Vec<f32>)]) -> VectorFile {
    built(name, rows, |_| {})
}

/// The same with a changed card.
fn built(name: &str, rows: &[(Site, Vec<f32>)], change: impl FnOnce(&mut Card)) -> VectorFile {
    let method = Method::named(MethodName::MeanDifference);
    let mut card = Card::unmeasured(name, "made up", Operation::Add, method);
    let mut directions = Vec::new();
    for (site, row) in rows {
        let (direction, gap) = Direction::normalised(*site, row).unwrap();
        let entry = SiteCard { stream_norm: Some(10.0), ..SiteCard::of(*site, Some(gap)) };
        card.sites.insert(*site, entry);
        directions.push(direction);
    }
    change(&mut card);
    VectorFile::new(card, directions).unwrap()
}

/// Numbers that look random, the same in every run.
struct Draws(u64);

impl Draws {
    fn uniform(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.uniform(), self.uniform());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    fn row(&mut self, width: usize) -> Vec<f64> {
        (0..width).map(|_| self.normal()).collect()
    }
}

fn narrow(row: &[f64]) -> Vec<f32> {
    row.iter().map(|v| *v as f32).collect()
}

/// A part at a scale.
fn part(file: &VectorFile, scale: f32) -> Part<'_> {
    Dosed::new(file, &SteerOptions { scale: Some(scale), ..SteerOptions::default() }).into()
}

fn protected(mut part: Part<'_>) -> Part<'_> {
    part.dosed.standing = Standing::Protected;
    part
}

/// A part with the differences its vector was made from, at one site.
fn with<'a>(mut part: Part<'a>, site: Site, differences: &[Vec<f64>]) -> Part<'a> {
    part.differences =
        BTreeMap::from([(site, differences.iter().flat_map(|r| narrow(r)).collect())]);
    part
}

fn by(mode: Mode) -> Settings {
    Settings { mode, ..Settings::default() }
}

/// Composed without a covariance, in a stream as long as the cards say.
fn composed<'a>(parts: &[Part<'a>], settings: &Settings) -> Result<Composed<'a>> {
    compose(parts, settings, &Stream::default())
}

fn code<T>(result: Result<T>) -> &'static str {
    match result {
        Ok(_) => "accepted",
        Err(error) => error.code(),
    }
}
