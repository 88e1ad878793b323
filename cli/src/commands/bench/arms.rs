//! What the rows of a test do beside computing: their plans and captures.

use super::args::Beside;
use crate::commands::vectors::Steering;
use crate::error::{Error, Result};
use serde::Serialize;
use std::collections::BTreeSet;
use trimtab_runtime::decoder::spec::ModelSpec;
use trimtab_runtime::hook::Addition;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;

/// Length of an added vector: a small part of any stream's, so that the numbers stay ordinary ones.
const LENGTH: f32 = 0.5;

/// What each row does.
#[derive(Debug, Clone)]
pub struct Arm {
    /// What it is called; `None` for plain runs.
    pub beside: Option<Beside>,
    pub plans: Vec<Plan>,
    /// Sites whose activations every row wants back.
    pub captures: Vec<Site>,
    /// Given vectors, by the operations they do; `None` for throw-away ones.
    pub given: Option<Vec<&'static str>>,
}

/// What a result says of the plans of its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Steered {
    vectors: usize,
    sites: usize,
    ops: Vec<&'static str>,
}

impl Arm {
    /// Rows that do nothing else.
    pub fn plain(rows: usize) -> Arm {
        Arm { beside: None, plans: vec![Plan::empty(); rows], captures: Vec::new(), given: None }
    }

    /// Rows that do this as well.
    pub fn beside(what: Beside, rows: usize, spec: &ModelSpec) -> Result<Arm> {
        let everywhere = |scale| at_blocks(0..spec.n_layers(), 0, scale, spec.d_model);
        let plans = match what {
            Beside::Steered => vec![everywhere(LENGTH)?; rows],
            Beside::Distinct => {
                (0..rows).map(|row| distinct(row, spec)).collect::<Result<Vec<_>>>()?
            }
            Beside::Empty => vec![everywhere(0.0)?; rows],
            Beside::Capture => vec![Plan::empty(); rows],
        };
        let captures = match what {
            Beside::Capture => vec![Site::ResidPost(spec.n_layers() / 2)],
            Beside::Steered | Beside::Distinct | Beside::Empty => Vec::new(),
        };
        Ok(Arm { beside: Some(what), plans, captures, given: None })
    }

    /// Rows that are steered with given vectors.
    pub fn steered(steering: &Steering, rows: usize) -> Arm {
        Arm {
            beside: Some(Beside::Steered),
            plans: vec![steering.plan().clone(); rows],
            captures: Vec::new(),
            given: Some(steering.operations().into_iter().collect()),
        }
    }

    /// Fails unless a run of so many timed tokens did in a row what this arm is there for: a speed without it would
    /// look like one that costs nothing. `found` is a count of positions for each intervention, then for each capture.
    pub fn check(&self, row: usize, tokens: usize, found: Vec<u64>) -> Result<()> {
        let acting = match self.beside {
            Some(Beside::Steered | Beside::Distinct) => tokens as u64,
            None | Some(Beside::Empty | Beside::Capture) => 0,
        };
        // A vector of several sites is one item of a plan, and each site counts.
        let items = self.plans.get(row).map_or(&[][..], |plan| plan.items());
        let acting = items.iter().map(|item| acting * item.sites().len() as u64);
        let captures = self.captures.iter().map(|_| tokens as u64);
        let expected: Vec<u64> = acting.chain(captures).collect();
        // What a clamp changes depends on the token; that it acts at all is what can be asked of it.
        let foretold = self.given.as_ref().is_none_or(|ops| ops.iter().all(|op| *op == "add"));
        if found == expected || (!foretold && found.iter().all(|count| *count > 0)) {
            return Ok(());
        }
        let run = self.beside.map_or("plain", Beside::name);
        Err(Error::NotDone { run, row, found, expected })
    }

    /// The vectors of all rows and where a row adds them; `None` where nothing is added.
    pub fn steering(&self) -> Option<Steered> {
        let first = self.plans.iter().map(|plan| plan.items().len()).max().unwrap_or(0);
        let acting = |plan: &Plan| plan.items().iter().flat_map(|i| i.sites()).collect();
        let sites = self.plans.iter().map(acting).map(|sites: BTreeSet<Site>| sites.len());
        let sites = sites.max().unwrap_or(0);
        let vectors = match self.beside {
            Some(Beside::Steered) if self.given.is_some() => first,
            Some(Beside::Steered) => 1,
            Some(Beside::Distinct) => self.plans.iter().map(|plan| plan.items().len()).sum(),
            None | Some(Beside::Empty | Beside::Capture) => return None,
        };
        let ops = self.given.clone().unwrap_or_else(|| vec!["add"]);
        Some(Steered { vectors, sites, ops })
    }
}

/// A row's own plan: a vector of its own at every block but one, which is another one for the next row.
fn distinct(row: usize, spec: &ModelSpec) -> Result<Plan> {
    let blocks = spec.n_layers();
    let left_out = if blocks > 1 { row % blocks } else { blocks };
    // No two of the first 512 rows share a scale.
    let scale = LENGTH * (0.5 + (row % 512) as f32 / 512.0);
    at_blocks((0..blocks).filter(|block| *block != left_out), row as u64 + 1, scale, spec.d_model)
}

/// A plan that adds behind these blocks: the same vector for seed 0, else one for each block.
fn at_blocks(
    blocks: impl Iterator<Item = usize>,
    seed: u64,
    scale: f32,
    width: usize,
) -> Result<Plan> {
    let mut plan = Plan::empty();
    for block in blocks {
        let own = if seed == 0 { 0 } else { (seed << 16) + block as u64 };
        plan = plan.then(Addition::new(Site::ResidPost(block), direction(own, width), scale)?);
    }
    Ok(plan)
}

/// A vector of length 1 in a direction of no meaning.
fn direction(seed: u64, width: usize) -> Vec<f32> {
    let mut numbers = super::numbers::Numbers::new(seed);
    let values: Vec<f32> = (0..width).map(|_| numbers.below(2001) as f32 - 1000.0).collect();
    let length = values.iter().map(|v| v * v).sum::<f32>().sqrt().max(1.0);
    values.into_iter().map(|v| v / length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_runtime::testing::tiny;

    fn arm(what: Beside, rows: usize) -> Arm {
        Arm::beside(what, rows, tiny::decoder().unwrap().spec()).unwrap()
    }

    fn bound_sites(plan: &Plan) -> usize {
        let bound = plan.bind(tiny::decoder().unwrap().spec()).unwrap();
        (0..tiny::LAYERS).filter(|block| bound.sites().contains(Site::ResidPost(*block))).count()
    }

    #[test]
    fn steered_rows_share_one_vector_at_every_block() {
        let arm = arm(Beside::Steered, 2);
        assert_eq!(arm.plans[0].fingerprint(), arm.plans[1].fingerprint());
        assert_eq!(bound_sites(&arm.plans[0]), tiny::LAYERS);
        let steering = Steered { vectors: 1, sites: tiny::LAYERS, ops: vec!["add"] };
        assert_eq!(arm.steering(), Some(steering));
    }

    #[test]
    fn distinct_rows_differ_in_vectors_blocks_and_scales() {
        let arm = arm(Beside::Distinct, 5);
        let prints: std::collections::HashSet<_> =
            arm.plans.iter().flat_map(|plan| plan.items()).map(|i| i.fingerprint()).collect();
        assert_eq!(prints.len(), 5 * (tiny::LAYERS - 1));
        let sites = |row: usize| arm.plans[row].items().iter().flat_map(|i| i.sites()).collect();
        let (first, second): (Vec<Site>, Vec<Site>) = (sites(0), sites(1));
        assert_ne!(first, second);
        assert_eq!(arm.steering().unwrap().vectors, 10);
    }

    #[test]
    fn empty_plans_bind_to_nothing_and_captures_to_one_site() {
        let empty = arm(Beside::Empty, 1);
        assert_eq!((empty.plans[0].items().len(), bound_sites(&empty.plans[0])), (tiny::LAYERS, 0));
        assert_eq!((empty.steering(), empty.captures.len()), (None, 0));
        assert_eq!(arm(Beside::Capture, 3).captures, [Site::ResidPost(1)]);
    }

    #[test]
    fn a_run_that_left_something_out_is_refused() {
        let steered = arm(Beside::Steered, 1);
        assert!(steered.check(0, 5, vec![5; tiny::LAYERS]).is_ok());
        let found = [vec![5; tiny::LAYERS - 1], vec![0]].concat();
        let error = steered.check(0, 5, found).unwrap_err().to_string();
        assert_eq!(
            error,
            "steered run acted at [5, 5, 0] positions of sequence 0, not at [5, 5, 5]"
        );
        assert!(arm(Beside::Distinct, 2).check(1, 5, vec![0; tiny::LAYERS - 1]).is_err());
        assert!(arm(Beside::Empty, 1).check(0, 5, vec![5; tiny::LAYERS]).is_err());
        assert!(arm(Beside::Empty, 1).check(0, 5, vec![0; tiny::LAYERS]).is_ok());
        assert!(arm(Beside::Capture, 1).check(0, 5, vec![0]).is_err());
        assert!(arm(Beside::Capture, 1).check(0, 5, vec![5]).is_ok());
        assert!(Arm::plain(1).check(0, 5, vec![]).is_ok());
    }
}
