//! Controls: the card of a vector with directions that its examples' labels do not explain.
//!
//! Sites, magnitudes, operation and scope are the vector's, so that a control pushes at the same places and as far.

use crate::direction::Direction;
use crate::error::{Error, Result};
use crate::file::VectorFile;
use crate::file::card::{Card, MethodName, Status};
use trimtab_runtime::sample::{Draw, Purpose};
use trimtab_runtime::site::Site;

/// The same file with the directions of a fit to shuffled labels, which `control` holds. One of other sites, examples
/// or model controls nothing and is refused.
pub fn shuffled(file: &VectorFile, control: &VectorFile) -> Result<VectorFile> {
    if let Some(reason) = mismatch(file, control) {
        return Err(Error::Refused { what: "a control by shuffled labels", reason });
    }
    with(file, control.card().method.seed, (MethodName::Shuffled, control.directions().to_vec()))
}

/// Why a file is no control of another.
fn mismatch(file: &VectorFile, control: &VectorFile) -> Option<String> {
    let (own, other) = (file.card(), control.card());
    if other.method.name != MethodName::Shuffled || other.method.seed.is_none() {
        let name = other.method.name.name();
        return Some(format!(
            "its method is {name}, expected shuffled and a seed, as merge --shuffle writes"
        ));
    }
    let shape = |file: &VectorFile| -> Vec<String> {
        let of = |one: &Direction| format!("{} [{}, {}]", one.site(), one.rank(), one.width());
        file.directions().iter().map(of).collect()
    };
    let (expected, found) = (shape(file).join(", "), shape(control).join(", "));
    if expected != found {
        return Some(format!("it has {found}, the vector {expected}"));
    }
    let data = |card: &Card| card.data.as_ref().map(|data| data.sha256.clone());
    if data(own) != data(other) {
        return Some("it is made of other examples than the vector".to_owned());
    }
    let model = |card: &Card| card.model.as_ref().map(|pin| pin.weights_sha256.clone());
    if model(own) != model(other) {
        return Some("it is made on another model than the vector".to_owned());
    }
    None
}

/// The same file with other directions.
fn with(
    file: &VectorFile,
    seed: Option<u64>,
    (name, directions): (MethodName, Vec<Direction>),
) -> Result<VectorFile> {
    let mut card = file.card().clone();
    card.method.name = name;
    card.method.seed = seed;
    card.status = Status::Unmeasured;
    card.evaluation = None;
    VectorFile::new(card, directions)
}

/// The same file with random directions.
///
/// A standard normal vector has no preferred direction, so its unit vector is uniform on the sphere. Rows of a
/// projection are made orthogonal, as those of the file are.
pub fn random(file: &VectorFile, seed: u64) -> Result<VectorFile> {
    let directions = file.directions().iter().enumerate().map(|(index, one)| {
        let site = one.site();
        let mut rows: Vec<Vec<f64>> = Vec::with_capacity(one.rank());
        for row in 0..one.rank() {
            let mut drawn = normal(one.width(), seed, [index, row]);
            rows.iter().for_each(|earlier| remove(&mut drawn, earlier));
            rows.push(unit(site, drawn)?);
        }
        let values = rows.iter().flatten().map(|v| *v as f32).collect();
        Direction::new(site, one.rank(), values)
    });
    let directions = directions.collect::<Result<Vec<Direction>>>()?;
    with(file, Some(seed), (MethodName::Random, directions))
}

/// Standard normal numbers by Box and Muller's transform, keyed by seed, direction and row.
// -> [width]
fn normal(width: usize, seed: u64, [direction, row]: [usize; 2]) -> Vec<f64> {
    let uniform = |choice: u32, position: usize| {
        let purpose = Purpose::Named("random direction");
        let attempt = row as u32;
        let position = (direction << 24) | position;
        Draw { seed, choice, purpose, attempt, position }.uniform()
    };
    let drawn = (0..width).map(|i| {
        let radius = (-2.0 * (1.0 - uniform(0, i)).ln()).sqrt();
        radius * (std::f64::consts::TAU * uniform(1, i)).cos()
    });
    drawn.collect()
}

/// Takes the part along a unit vector away.
// [width], [width]
fn remove(values: &mut [f64], along: &[f64]) {
    let part: f64 = values.iter().zip(along).map(|(v, a)| v * a).sum();
    values.iter_mut().zip(along).for_each(|(v, a)| *v -= part * a);
}

// [width] -> [width]
fn unit(site: Site, values: Vec<f64>) -> Result<Vec<f64>> {
    let length = values.iter().map(|v| v * v).sum::<f64>().sqrt();
    if length < 1e-9 {
        // More rows than the stream is wide leave nothing that is orthogonal to all.
        return Err(Error::tensor(site, "is too narrow for a random control of its rank"));
    }
    Ok(values.into_iter().map(|v| v / length).collect())
}
