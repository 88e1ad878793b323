//! Which way of composing wins, where the truth is known.
//!
//! States are Gaussian, 576 wide, with a spectrum that decays. Two behaviours have directions at an angle; each was found
//! from differences that also vary along three directions of its own. Both push with the same dose. A cell is
//! `leak / kept`: what the second vector does to the first behaviour, as a share of the first vector's own effect, and
//! what is left of the second vector's effect. `random` protects as many random directions as `subspace`: what it
//! gains is gained by moving the vector at all. All modes have equal pushes (the rest is stretched to the old length).
//!
//! `cargo run --release -p trimtab-steering --example simulate_compose`

use std::collections::BTreeMap;
use trimtab_runtime::site::Site;
use trimtab_steering::compose::dose::{DoseLimit, DosePolicy, Dosed};
use trimtab_steering::compose::{Covariance, Lost, Mode, Part, Settings, Stream, compose};
use trimtab_steering::file::card::{Card, Method, MethodName, Operation, SiteCard};
use trimtab_steering::{Direction, Result, SteerOptions, VectorFile};

const WIDTH: usize = 576;
const STATES: usize = 200;
const DIFFERENCES: usize = 40;
const SEEDS: u64 = 20;
/// Random subspaces per seed and angle: as many per cell as there are seeds.
const CONTROLS: usize = 1;
const DOSE: f64 = 0.15;
const HERE: Site = Site::ResidPost(13);
const ANGLES: [f64; 7] = [0.0, 15.0, 30.0, 45.0, 60.0, 75.0, 90.0];
const READOUTS: [&str; 4] =
    ["along the mean", "along mean and spread", "whitened", "tanh of mean and spread"];
/// Name, mode and m.
const ARMS: [(&str, Mode, usize); 5] = [
    ("sum", Mode::Sum, 0),
    ("gram_schmidt", Mode::GramSchmidt, 1),
    ("subspace 4", Mode::Subspace, 4),
    ("subspace 8", Mode::Subspace, 8),
    ("sigma 4", Mode::Sigma, 4),
];

/// A counted generator (SplitMix64) and Box and Muller's transform.
struct Draws(u64);

impl Draws {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A state: independent along the axes, which is no loss, with the spectrum's lengths.
    // -> [width]
    fn state(&mut self) -> Vec<f64> {
        let normal = |at: usize, a: f64, b: f64| {
            energy(at).sqrt() * (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos()
        };
        (0..WIDTH).map(|at| normal(at, self.uniform(), self.uniform())).collect()
    }
}

/// Variance along an axis.
fn energy(at: usize) -> f64 {
    1.0 / (1.0 + at as f64 / 8.0)
}

fn shrunk(at: usize) -> f64 {
    let mean = (0..WIDTH).map(energy).sum::<f64>() / WIDTH as f64;
    0.9 * energy(at) + 0.1 * mean
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn sum(a: &[f64], factor: f64, b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(x, y)| x + factor * y).collect()
}

fn unit(v: &[f64]) -> Vec<f64> {
    let length = dot(v, v).sqrt();
    v.iter().map(|x| x / length).collect()
}

/// A direction, what its differences vary along, and the differences.
struct Behaviour {
    direction: Vec<f64>,
    spread: Vec<f64>,
    differences: Vec<f32>,
    file: VectorFile,
}

impl Behaviour {
    fn new(draws: &mut Draws, direction: Vec<f64>, length: f64) -> Result<Behaviour> {
        let own: Vec<Vec<f64>> = (0..3).map(|_| unit(&draws.state())).collect();
        let spread = unit(&own.iter().fold(vec![0.0; WIDTH], |all, one| sum(&all, 1.0, one)));
        let mut differences = Vec::new();
        for _ in 0..DIFFERENCES {
            let noise = unit(&draws.state());
            let row = sum(&direction, 0.2, &noise);
            let row = own.iter().fold(row, |row, one| sum(&row, 2.0 * draws.uniform() - 1.0, one));
            differences.extend(row.iter().map(|v| *v as f32));
        }
        let file = vector(&direction, length)?;
        Ok(Behaviour { direction, spread, differences, file })
    }

    fn part(&self) -> Part<'_> {
        let options = SteerOptions { scale: Some(DOSE as f32), ..SteerOptions::default() };
        let mut part = Part::from(Dosed::new(&self.file, &options));
        part.differences = BTreeMap::from([(HERE, self.differences.clone())]);
        part
    }

    /// What a push changes in one read-out, over the states.
    fn effect(&self, readout: usize, push: &[f64], states: &[Vec<f64>]) -> f64 {
        let wide = sum(&self.direction, 0.5, &self.spread);
        match readout {
            0 => dot(&self.direction, push),
            1 => dot(&wide, push),
            2 => self
                .direction
                .iter()
                .zip(push)
                .enumerate()
                .map(|(at, (w, u))| w * u / shrunk(at))
                .sum(),
            _ => {
                let deviation: f64 =
                    wide.iter().enumerate().map(|(at, w)| w * w * energy(at)).sum();
                let gain = 1.0 / deviation.sqrt();
                let along = gain * dot(&wide, push);
                let change = |x: &Vec<f64>| {
                    let before = gain * dot(&wide, x);
                    (before + along).tanh() - before.tanh()
                };
                states.iter().map(change).sum::<f64>() / states.len() as f64
            }
        }
    }
}

/// A vector whose magnitude is the stream's length, so that its scale is its dose.
fn vector(direction: &[f64], length: f64) -> Result<VectorFile> {
    let method = Method::named(MethodName::MeanDifference);
    let mut card = Card::unmeasured("simulated", "made up", Operation::Add, method);
    let row: Vec<f32> = direction.iter().map(|v| *v as f32).collect();
    let (direction, _) = Direction::normalised(HERE, &row)?;
    let entry =
        SiteCard { stream_norm: Some(length as f32), ..SiteCard::of(HERE, Some(length as f32)) };
    card.sites.insert(HERE, entry);
    VectorFile::new(card, vec![direction])
}

/// The second vector's push after separation from the first; `None` where too little is left.
fn pushed(
    first: &Behaviour,
    second: &Behaviour,
    arm: (Mode, usize),
    stream: &Stream,
) -> Result<Option<Vec<f64>>> {
    let settings = Settings {
        mode: arm.0,
        m: arm.1,
        lost: Lost::Renormalised,
        dose: DoseLimit { policy: DosePolicy::Warn, ..DoseLimit::default() },
        ..Settings::default()
    };
    let parts = [first.part(), second.part()];
    let composed = match compose(&parts, &settings, stream) {
        Err(error) if error.code() == "not_separable" => return Ok(None),
        composed => composed?,
    };
    let vectors = composed.vectors();
    let push = vectors.get(1).map(|second| second.file.offsets()).transpose()?;
    let row = push.and_then(|sites| sites.into_iter().next());
    Ok(row.map(|(_, row)| row.iter().map(|v| DOSE * f64::from(*v)).collect()))
}

/// Two behaviours in one set of states.
struct Pair {
    first: Behaviour,
    second: Behaviour,
    states: Vec<Vec<f64>>,
    length: f64,
}

impl Pair {
    /// What a vector pushes without the other.
    // -> [width]
    fn alone(&self, one: &Behaviour) -> Vec<f64> {
        one.direction.iter().map(|v| DOSE * self.length * v).collect()
    }
}

/// Leak and kept share of one arm, summed over seeds.
#[derive(Clone, Copy, Default)]
struct Cell {
    leak: f64,
    kept: f64,
    count: f64,
    refused: f64,
}

impl Cell {
    /// The second vector's push beside the first vector's own.
    fn add(&mut self, pair: &Pair, readout: usize, push: Option<&[f64]>) {
        let Some(push) = push else {
            self.refused += 1.0;
            return;
        };
        let (first, second, states) = (&pair.first, &pair.second, pair.states.as_slice());
        let (own, other) = (pair.alone(first), pair.alone(second));
        let before = first.effect(readout, &own, states);
        let both = first.effect(readout, &sum(&own, 1.0, push), states);
        self.leak += ((both - before) / before).abs();
        self.kept += second.effect(readout, push, states) / second.effect(readout, &other, states);
        self.count += 1.0;
    }

    fn text(&self) -> String {
        if self.count < self.refused {
            return "refused".to_owned();
        }
        format!("{:.2} / {:.2}", self.leak / self.count, self.kept / self.count)
    }
}

type Table = BTreeMap<(usize, usize, usize), Cell>;

/// One seed at one angle, all arms and read-outs.
fn trial(table: &mut Table, seed: u64, angle: usize, stream: &Stream) -> Result<()> {
    let mut draws = Draws(seed << 32);
    let states: Vec<Vec<f64>> = (0..STATES).map(|_| draws.state()).collect();
    let length = states.iter().map(|x| dot(x, x).sqrt()).sum::<f64>() / STATES as f64;
    let one = unit(&draws.state());
    let beside = draws.state();
    let beside = unit(&sum(&beside, -dot(&beside, &one), &one));
    let turn = ANGLES.get(angle).copied().unwrap_or(0.0).to_radians();
    let other: Vec<f64> =
        one.iter().zip(&beside).map(|(a, b)| turn.cos() * a + turn.sin() * b).collect();
    let first = Behaviour::new(&mut draws, one, length)?;
    let second = Behaviour::new(&mut draws, other, length)?;
    let pair = Pair { first, second, states, length };
    let mut record = |arm: usize, push: Option<Vec<f64>>| {
        for readout in 0..READOUTS.len() {
            let cell = table.entry((readout, angle, arm)).or_default();
            cell.add(&pair, readout, push.as_deref());
        }
    };
    for (arm, (_, mode, m)) in ARMS.into_iter().enumerate() {
        record(arm, pushed(&pair.first, &pair.second, (mode, m), stream)?);
    }
    for _ in 0..CONTROLS {
        let direction = unit(&draws.state());
        let control = Behaviour::new(&mut draws, direction, length)?;
        record(ARMS.len(), pushed(&control, &pair.second, (Mode::Subspace, 4), stream)?);
    }
    Ok(())
}

fn main() -> Result<()> {
    let sigma: Vec<f64> = (0..WIDTH * WIDTH)
        .map(|at| if at % (WIDTH + 1) == 0 { energy(at / (WIDTH + 1)) } else { 0.0 })
        .collect();
    let sigma = Covariance::new(&sigma, 10 * WIDTH, 0.1)?;
    let stream = Stream { covariances: BTreeMap::from([(HERE, sigma)]), ..Stream::default() };
    let mut table = Table::new();
    for seed in 0..SEEDS {
        for angle in 0..ANGLES.len() {
            trial(&mut table, seed, angle, &stream)?;
        }
    }
    let arms: Vec<&str> = ARMS.iter().map(|arm| arm.0).chain(["random"]).collect();
    for (readout, name) in READOUTS.iter().enumerate() {
        println!("\nread-out {name}\n\n| angle | {} |", arms.join(" | "));
        println!("| --: |{}", " --: |".repeat(arms.len()));
        for (angle, degrees) in ANGLES.iter().enumerate() {
            let cell = |arm| table.get(&(readout, angle, arm)).map_or_else(String::new, Cell::text);
            let cells: Vec<String> = (0..arms.len()).map(cell).collect();
            println!("| {degrees} | {} |", cells.join(" | "));
        }
    }
    Ok(())
}
