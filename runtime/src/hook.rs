//! Reading and editing activations: what an intervention is, and what runs inside one session.
//!
//! Two types on purpose. An [`Intervention`] is a specification: immutable, validated, shared. Binding it to a model
//! gives either plain additions, which the plan lowers to one operation per site, or a [`Hook`], the running state
//! that belongs to one session and forks with it. A method that kept state on a shared object would allow one
//! generation at a time.

use crate::decoder::spec::ModelSpec;
use crate::error::{Error, Result, contain};
use crate::fingerprint::Fingerprint;
use crate::sample::{Draw, DrawKeys, Purpose};
use crate::site::Site;
use candle_core::Tensor;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Facts about one row's part of a forward pass. A hook keeps no position counter: it is told.
#[derive(Debug, Clone, Copy)]
pub struct Pass<'a> {
    /// Absolute position of the first token.
    pub start: usize,
    /// The tokens of this pass.
    pub tokens: &'a [u32],
    /// Positions below this are the prompt, the others were generated.
    pub prompt_len: usize,
    /// Keys of the row's random draws.
    pub draws: &'a DrawKeys,
}

impl Pass<'_> {
    /// The draw of a decision at an absolute position: the same whatever else is in the batch and however the tokens
    /// are cut into passes, another one after a rewind that takes the position back.
    pub fn draw(&self, decision: &'static str, position: usize) -> Draw {
        self.draws.draw(Purpose::Named(decision), position)
    }

    /// Absolute positions of the pass.
    pub fn positions(&self) -> Range<usize> {
        self.start..self.start + self.tokens.len()
    }
}

/// Which positions of a sequence an intervention touches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Positions {
    /// Every one.
    #[default]
    All,
    /// Those of the prompt.
    Prompt,
    /// Those that were generated.
    Generated,
    /// Absolute positions, from and below.
    Span(Range<usize>),
    /// From a position of the prompt on, the generated ones too. Below 0 it counts from the prompt's end.
    From(i64),
    /// From a position of the prompt and below another. Below 0 they count from the prompt's end, which `None` is.
    PromptWindow(i64, Option<i64>),
    /// Generated positions, from and below; the first one is 0.
    GeneratedWindow(Range<usize>),
}

impl Positions {
    /// The rows of a pass that are selected, counted from the pass's first row.
    pub fn select(&self, pass: &Pass) -> Range<usize> {
        let all = pass.positions();
        let chosen = self.overlap(&all, pass.prompt_len);
        chosen.start - all.start..chosen.end - all.start
    }

    /// The selected positions of a range of absolute positions; empty if none is.
    pub fn overlap(&self, range: &Range<usize>, prompt_len: usize) -> Range<usize> {
        let chosen = self.within(prompt_len);
        let from = chosen.start.clamp(range.start, range.end);
        from..chosen.end.clamp(from, range.end)
    }

    fn within(&self, prompt_len: usize) -> Range<usize> {
        match self {
            Positions::All => 0..usize::MAX,
            Positions::Prompt => 0..prompt_len,
            Positions::Generated => prompt_len..usize::MAX,
            Positions::Span(range) => range.clone(),
            Positions::From(start) => in_prompt(*start, prompt_len)..usize::MAX,
            Positions::PromptWindow(start, end) => {
                let end = end.map_or(prompt_len, |end| in_prompt(end, prompt_len));
                in_prompt(*start, prompt_len)..end
            }
            Positions::GeneratedWindow(window) => {
                let at = |index| prompt_len.saturating_add(index);
                at(window.start)..at(window.end)
            }
        }
    }

    /// Why no sequence of at most `context` tokens has any of these positions, if none has.
    pub(crate) fn nowhere(&self, context: usize) -> Option<&'static str> {
        let (first, empty) = match self {
            Positions::All | Positions::Prompt | Positions::Generated => return None,
            Positions::Span(range) => (range.start, range.is_empty()),
            Positions::GeneratedWindow(window) => (window.start, window.is_empty()),
            Positions::From(start) => (usize::try_from(*start).unwrap_or(0), false),
            Positions::PromptWindow(start, end) => {
                let empty = end.is_some_and(|end| end <= *start && (end < 0) == (*start < 0));
                (usize::try_from(*start).unwrap_or(0), empty)
            }
        };
        if empty {
            Some("its span of positions is empty")
        } else {
            (first >= context).then_some("its span of positions begins behind the model's context")
        }
    }

    fn label(&self) -> String {
        format!("{self:?}")
    }
}

/// A bound in the prompt as an absolute position: below 0 it counts from the end, and none lies behind the end.
fn in_prompt(bound: i64, prompt_len: usize) -> usize {
    let distance = usize::try_from(bound.unsigned_abs()).unwrap_or(usize::MAX);
    if bound < 0 { prompt_len.saturating_sub(distance) } else { distance.min(prompt_len) }
}

/// What a hook did to its row.
#[derive(Debug)]
pub enum Edit {
    /// Nothing; the stream keeps its bits.
    Keep,
    /// A new stream of the same shape.
    Replace {
        /// `[time, d_model]`
        stream: Tensor,
        /// How many positions differ from before.
        positions: usize,
    },
}

/// The running state of an intervention in one session.
///
/// # Contract
///
/// A hook sees its own row, never a batch. It returns a new tensor and never writes into the one it was given: a
/// capture may hold it. `fork` gives an independent copy: advancing one must not change the other.
pub trait Hook: Send + Sync {
    /// Reads and may replace this row's activations, `[time, d_model]`.
    fn apply(&mut self, site: Site, stream: &Tensor, pass: &Pass) -> Result<Edit>;

    /// An independent copy with the same state.
    fn fork(&self) -> Box<dyn Hook>;

    /// What the hook reports, in an order its intervention documents; `None` if it reports nothing.
    ///
    /// Asked after each pass of a watched answer and at an answer's end, so it should be short and in host memory. It
    /// is a part of the hook's state: a copy reports the same, and after a rollback so does the hook.
    fn readings(&self) -> Option<Vec<f32>> {
        None
    }
}

/// What hooks report, by the index of their intervention in the plan.
pub type Readings = BTreeMap<usize, Vec<f32>>;

/// Stands in for a hook whose `fork` panicked: the first pass fails.
struct FailedFork(String);

impl Hook for FailedFork {
    fn apply(&mut self, _: Site, _: &Tensor, _: &Pass) -> Result<Edit> {
        Err(Error::Panicked { what: "hook", message: self.0.clone() })
    }

    fn fork(&self) -> Box<dyn Hook> {
        Box::new(FailedFork(self.0.clone()))
    }
}

/// A copy of a hook; one whose `fork` panics gives a hook that fails.
pub(crate) fn fork(hook: &dyn Hook) -> Box<dyn Hook> {
    match contain("hook", || hook.fork()) {
        Ok(fork) => fork,
        Err(Error::Panicked { message, .. }) => Box::new(FailedFork(message)),
        Err(other) => Box::new(FailedFork(other.to_string())),
    }
}

/// What binding an intervention to a model gives.
pub enum Bound {
    /// Plain additions of constant vectors. They cost one operation per site for a whole batch.
    Additions(Vec<Addition>),
    /// Anything else.
    Hook(Box<dyn Hook>),
}

/// A specification of something to do at named sites: immutable, validated, shared between sessions.
///
/// # Contract
///
/// Equal fingerprints mean equal effect. `bind` refuses a model on which the intervention could not act; it never
/// gives something that silently does nothing, except for a scale of 0, which is no change by definition.
///
/// ```
/// use trimtab_runtime::hook::{Addition, Intervention};
/// use trimtab_runtime::site::Site;
///
/// let push = Addition::new(Site::ResidPost(1), vec![1.0; 16], 0.5).unwrap();
/// assert_eq!(push.sites(), [Site::ResidPost(1)]);
/// let harder = Addition::new(Site::ResidPost(1), vec![1.0; 16], 0.6).unwrap();
/// assert_ne!(push.fingerprint(), harder.fingerprint());
/// ```
pub trait Intervention: Debug + Send + Sync {
    /// Everything that changes what it does, in one digest.
    fn fingerprint(&self) -> Fingerprint;

    /// The sites it reads or edits.
    fn sites(&self) -> Vec<Site>;

    /// The positions it may touch.
    fn positions(&self) -> Positions {
        Positions::All
    }

    /// The running form for a model.
    fn bind(&self, spec: &ModelSpec) -> Result<Bound>;
}

/// A constant vector added at one site.
#[derive(Debug, Clone, PartialEq)]
pub struct Addition {
    site: Site,
    vector: Arc<[f32]>,
    positions: Positions,
    fingerprint: Fingerprint,
}

impl Addition {
    /// `scale · vector` at every position. Values must be finite.
    pub fn new(site: Site, mut vector: Vec<f32>, scale: f32) -> Result<Self> {
        vector.iter_mut().for_each(|v| *v *= scale);
        if vector.iter().any(|v| !v.is_finite()) {
            return Err(Error::Invalid {
                field: "vector",
                problem: format!("for {site} has a value that is not finite at scale {scale}"),
            });
        }
        Ok(Self::with_vector(site, vector.into(), Positions::All))
    }

    /// The same vector at some positions only.
    pub fn at(self, positions: Positions) -> Self {
        Self::with_vector(self.site, self.vector, positions)
    }

    fn with_vector(site: Site, vector: Arc<[f32]>, positions: Positions) -> Self {
        let fingerprint = Fingerprint::builder("trimtab.addition")
            .text(&site.to_string())
            .text(&positions.label())
            .floats(&vector)
            .finish();
        Addition { site, vector, positions, fingerprint }
    }

    /// Where it acts.
    pub fn site(&self) -> Site {
        self.site
    }

    /// What is added, scale included, `[d_model]`.
    pub fn vector(&self) -> &Arc<[f32]> {
        &self.vector
    }

    /// Which positions it is added to.
    pub(crate) fn reach(&self) -> &Positions {
        &self.positions
    }

    /// Whether it adds nothing, as at scale 0.
    pub(crate) fn is_zero(&self) -> bool {
        self.vector.iter().all(|v| *v == 0.0)
    }

    /// Both additions as one, if they act at the same site and positions.
    pub(crate) fn merged(&self, other: &Addition) -> Option<Addition> {
        if self.site != other.site || self.positions != other.positions {
            return None;
        }
        let sum: Vec<f32> =
            self.vector.iter().zip(other.vector.iter()).map(|(a, b)| a + b).collect();
        Some(Self::with_vector(self.site, sum.into(), self.positions.clone()))
    }
}

impl Intervention for Addition {
    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    fn sites(&self) -> Vec<Site> {
        vec![self.site]
    }

    fn positions(&self) -> Positions {
        self.positions.clone()
    }

    fn bind(&self, _spec: &ModelSpec) -> Result<Bound> {
        Ok(Bound::Additions(vec![self.clone()]))
    }
}

/// Numbers closures, which have no other identity.
static CLOSURES: AtomicU64 = AtomicU64::new(0);

/// An intervention from a closure, for one-off probes and experiments.
///
/// The closure is cloned into every session that binds it, so what it captures by value is that session's own
/// state. Its fingerprint is unique in the process: cached prefixes are never shared between two of them.
///
/// ```
/// use trimtab_runtime::hook::{Edit, hook_fn, Intervention};
/// use trimtab_runtime::site::Site;
///
/// let halve = hook_fn([Site::ResidPost(0)], |_site, stream, pass| {
///     let stream = (stream * 0.5).map_err(trimtab_runtime::Error::tensor("halve"))?;
///     Ok(Edit::Replace { stream, positions: pass.tokens.len() })
/// });
/// assert_eq!(halve.sites(), [Site::ResidPost(0)]);
/// ```
pub fn hook_fn<F>(sites: impl IntoIterator<Item = Site>, f: F) -> impl Intervention
where
    F: FnMut(Site, &Tensor, &Pass) -> Result<Edit> + Clone + Send + Sync + 'static,
{
    let number = CLOSURES.fetch_add(1, Ordering::Relaxed);
    let process = u64::from(std::process::id());
    let fingerprint =
        Fingerprint::builder("trimtab.hook_fn").number(process).number(number).finish();
    let sites: std::collections::BTreeSet<Site> = sites.into_iter().collect();
    ClosureIntervention { sites: sites.into_iter().collect(), f, fingerprint }
}

struct ClosureIntervention<F> {
    sites: Vec<Site>,
    f: F,
    fingerprint: Fingerprint,
}

impl<F> Debug for ClosureIntervention<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "hook_fn({:?})", self.sites)
    }
}

impl<F> Intervention for ClosureIntervention<F>
where
    F: FnMut(Site, &Tensor, &Pass) -> Result<Edit> + Clone + Send + Sync + 'static,
{
    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    fn sites(&self) -> Vec<Site> {
        self.sites.clone()
    }

    fn bind(&self, _spec: &ModelSpec) -> Result<Bound> {
        Ok(Bound::Hook(Box::new(ClosureHook(self.f.clone()))))
    }
}

struct ClosureHook<F>(F);

impl<F> Hook for ClosureHook<F>
where
    F: FnMut(Site, &Tensor, &Pass) -> Result<Edit> + Clone + Send + Sync + 'static,
{
    fn apply(&mut self, site: Site, stream: &Tensor, pass: &Pass) -> Result<Edit> {
        (self.0)(site, stream, pass)
    }

    fn fork(&self) -> Box<dyn Hook> {
        Box::new(ClosureHook(self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_select_rows_of_a_pass() {
        let draws = &DrawKeys::default();
        let pass = Pass { start: 4, tokens: &[1, 2, 3, 4], prompt_len: 6, draws };
        assert_eq!(Positions::All.select(&pass), 0..4);
        assert_eq!(Positions::Prompt.select(&pass), 0..2);
        assert_eq!(Positions::Generated.select(&pass), 2..4);
        assert_eq!(Positions::Span(0..5).select(&pass), 0..1);
        assert!(Positions::Span(9..12).select(&pass).is_empty());
        assert_eq!(Positions::From(-1).select(&pass), 1..4);
        assert_eq!(Positions::From(9).select(&pass), 2..4);
        assert_eq!(Positions::PromptWindow(-1, None).select(&pass), 1..2);
        assert_eq!(Positions::PromptWindow(-9, Some(-1)).select(&pass), 0..1);
        assert_eq!(Positions::PromptWindow(1, Some(99)).select(&pass), 0..2);
        assert!(Positions::PromptWindow(6, None).select(&pass).is_empty());
        assert_eq!(Positions::GeneratedWindow(1..usize::MAX).select(&pass), 3..4);
        assert!(Positions::GeneratedWindow(7..9).select(&pass).is_empty());
        assert!(Positions::Generated.overlap(&(0..6), 6).is_empty());
        assert_eq!(Positions::Generated.overlap(&(0..7), 6), 6..7);
    }

    #[test]
    fn positions_that_no_sequence_has_are_found() {
        for some in [
            Positions::All,
            Positions::From(-3),
            Positions::PromptWindow(5, Some(-1)),
            Positions::GeneratedWindow(3..4),
        ] {
            assert_eq!(some.nowhere(16), None, "{some:?}");
        }
        for none in [
            Positions::Span(4..4),
            Positions::From(16),
            Positions::PromptWindow(-1, Some(-1)),
            Positions::PromptWindow(3, Some(2)),
            Positions::GeneratedWindow(0..0),
            Positions::GeneratedWindow(16..20),
        ] {
            assert!(none.nowhere(16).is_some(), "{none:?}");
        }
    }

    #[test]
    fn a_vector_that_is_not_finite_is_refused() {
        assert!(Addition::new(Site::Final, vec![f32::MAX, 1.0], 10.0).is_err());
        assert!(Addition::new(Site::Final, vec![f32::NAN], 1.0).is_err());
    }
}
