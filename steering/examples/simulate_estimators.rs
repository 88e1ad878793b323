//! How well each estimator finds a planted direction, and which site each rule chooses.
//!
//!     cargo run --release -p trimtab-steering --example simulate_estimators
//!
//! Normal states of width 576 at four sites. The direction is planted at full strength (5 standard deviations) at site
//! 2 and at half of it at site 1; sites 0 and 3 hold nothing. A share of the pairs is turned round. One coordinate is
//! an outlier at every site: absent, 50 standard deviations high in every state, or with a standard deviation of 50.
//! Cosines are those at site 2, means over 20 seeds (5 at 500 pairs, 2 of them for the logistic probe); rules choose
//! on 100 other pairs with the same share turned round.

use std::collections::BTreeMap;
use std::time::Instant;
use trimtab_steering::estimate::{
    Classes, ETA, Estimator, Place, SHRINKAGE, Score, Selection, cosine, random, robust, select,
    top_share,
};

const WIDTH: usize = 576;
const HELD: usize = 100;
const SHIFTS: [f64; 4] = [0.0, 2.5, 5.0, 0.0];
const PLANTED: usize = 2;
const ESTIMATORS: [(&str, Estimator); 5] = [
    ("mean difference", Estimator::MeanDifference),
    ("PCA of differences", Estimator::PcaDifference),
    ("PCA, centred", Estimator::PcaCentred),
    ("linear probe", Estimator::LinearProbe { shrinkage: SHRINKAGE }),
    ("logistic probe", Estimator::LogisticProbe),
];

/// What is done to one coordinate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outlier {
    None,
    High,
    Wide,
}

/// One cell of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cell {
    outlier: Outlier,
    pairs: usize,
    percent: usize,
}

/// Normal numbers, quickly: the estimators' own generator hashes every draw.
struct Normal(u64);

impl Normal {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Twelve uniform numbers less 6: mean 0, variance 1, nothing beyond 6.
    fn next(&mut self) -> f64 {
        let quarter = |word: u64, i: u32| f64::from((word >> (16 * i)) as u16) / 65536.0;
        let words = [self.bits(), self.bits(), self.bits()];
        let sum: f64 = words.iter().flat_map(|w| (0..4).map(|i| quarter(*w, i))).sum();
        sum - 6.0
    }
}

/// States of both classes at one site.
struct Site {
    positive: Vec<f32>,
    negative: Vec<f32>,
}

impl Site {
    fn new(draws: &mut Normal, cell: Cell, planted: &[f64], shift: f64) -> Site {
        let mut class = |shift: f64| -> Vec<f32> {
            let mut values = Vec::with_capacity(cell.pairs * WIDTH);
            for i in 0..cell.pairs * WIDTH {
                let x = match (cell.outlier, i % WIDTH) {
                    (Outlier::High, 0) => 50.0 + draws.next(),
                    (Outlier::Wide, 0) => 50.0 * draws.next(),
                    (Outlier::None | Outlier::High | Outlier::Wide, _) => draws.next(),
                };
                values.push((x + shift * planted[i % WIDTH]) as f32);
            }
            values
        };
        let (mut positive, mut negative) = (class(shift), class(0.0));
        let rows = positive.chunks_mut(WIDTH).zip(negative.chunks_mut(WIDTH));
        // 37 is coprime to every number of pairs, so exactly this many are turned round, spread over all.
        let turned = cell.percent * cell.pairs / 100;
        for (_, (p, n)) in rows.enumerate().filter(|(i, _)| i * 37 % cell.pairs < turned) {
            p.swap_with_slice(n);
        }
        Site { positive, negative }
    }

    fn classes(&self) -> trimtab_steering::Result<Classes<'_>> {
        Classes::paired(WIDTH, &self.positive, &self.negative, &[])
    }
}

/// Sums over seeds for one estimator in one cell.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    cosine: f64,
    made: u64,
    by_cosine: u64,
    by_auroc: u64,
    seeds: u64,
}

type Tallies = BTreeMap<(Cell, usize), Tally>;

fn main() -> trimtab_steering::Result<()> {
    let start = Instant::now();
    let mut tallies = Tallies::new();
    for outlier in [Outlier::None, Outlier::High, Outlier::Wide] {
        for pairs in [20, 50, 100, 500] {
            for percent in [0, 10, 20, 35] {
                for seed in 0..if pairs < 500 { 20 } else { 5 } {
                    simulate(Cell { outlier, pairs, percent }, seed, &mut tallies)?;
                }
            }
            eprintln!("{outlier:?} {pairs}: {:.0} s", start.elapsed().as_secs_f64());
        }
    }
    print(&tallies);
    Ok(())
}

fn simulate(cell: Cell, seed: u64, tallies: &mut Tallies) -> trimtab_steering::Result<()> {
    let planted = random(seed, WIDTH)?;
    let mut draws = Normal(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let sites: Vec<Site> =
        SHIFTS.iter().map(|shift| Site::new(&mut draws, cell, &planted, *shift)).collect();
    let other = Cell { pairs: HELD, ..cell };
    let held: Vec<Site> =
        SHIFTS.iter().map(|shift| Site::new(&mut draws, other, &planted, *shift)).collect();
    for (number, (_, estimator)) in ESTIMATORS.iter().enumerate() {
        if *estimator == Estimator::LogisticProbe && cell.pairs >= 500 && seed >= 2 {
            continue;
        }
        let tally = tallies.entry((cell, number)).or_default();
        tally.seeds += 1;
        let mut scores = Vec::new();
        for (depth, (site, held)) in sites.iter().zip(&held).enumerate() {
            let Ok(made) = estimator.estimate(&site.classes()?) else { continue };
            if depth == PLANTED {
                tally.cosine += cosine(&made.steer, &planted);
                tally.made += 1;
            }
            let (positive, negative) = site.classes()?.moments()?;
            let reads = made.read.as_ref().unwrap_or(&made.steer);
            let (above, below) = held.classes()?.projections(reads);
            let place = Place { depth, position: -1 };
            let score = Score::of(place, &positive, &negative)?.with_held_out(&above, &below);
            // Streams are equally long at every site, so a gap is a dose.
            let (dose, top_share) = (Some(made.gap), top_share(&made.steer));
            scores.push(Score { dose, top_share, ..score });
        }
        let right = |rule| {
            let chosen = select(rule, &scores).and_then(|i| scores.get(i));
            u64::from(chosen.is_some_and(|score| score.place.depth == PLANTED))
        };
        tally.by_cosine += right(Selection::PaperCosine);
        tally.by_auroc += right(Selection::HeldoutAuroc);
    }
    if let Ok((made, _)) = robust(&sites[PLANTED].classes()?, ETA) {
        let tally = tallies.entry((cell, ESTIMATORS.len())).or_default();
        tally.cosine += cosine(&made.steer, &planted);
        tally.made += 1;
        tally.seeds += 1;
    }
    Ok(())
}

/// One row for each cell; in each column the cosine, and in how many seeds each rule chose the planted site.
fn print(tallies: &Tallies) {
    let names = ESTIMATORS.iter().map(|(name, _)| *name);
    let names: Vec<&str> = names.chain(["mean difference, robust"]).collect();
    println!("| outlier | pairs | turned round | {} |", names.join(" | "));
    println!("|---|--:|--:|{}", "--:|".repeat(names.len()));
    let mut cells: Vec<Cell> = tallies.keys().map(|(cell, _)| *cell).collect();
    cells.dedup();
    for cell in cells {
        let column =
            |number| tallies.get(&(cell, number)).map_or("–".to_owned(), |t| t.text(number));
        let columns: Vec<String> = (0..names.len()).map(column).collect();
        let Cell { outlier, pairs, percent } = cell;
        println!("| {outlier:?} | {pairs} | {percent} % | {} |", columns.join(" | "));
    }
}

impl Tally {
    fn text(&self, number: usize) -> String {
        let cosine = match self.made {
            0 => "none".to_owned(),
            made if made < self.seeds => format!("{:.2} in {made}", self.cosine / made as f64),
            made => format!("{:.2}", self.cosine / made as f64),
        };
        if number == ESTIMATORS.len() {
            return cosine;
        }
        format!("{cosine} ({}, {} of {})", self.by_cosine, self.by_auroc, self.seeds)
    }
}
