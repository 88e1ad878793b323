//! What is asked of an extraction.

use super::{Position, Refusal};
use crate::estimate::{ETA_RANGE, Selection};
use crate::file::card::MethodName;
use crate::file::{NAME_LIMIT, SUMMARY_LIMIT};
use crate::pairs::{Shares, Sides};
use serde::{Deserialize, Serialize};
use trimtab_runtime::printable::is_hidden;

/// What the name of the file that detects ends with.
pub(super) const READ_SUFFIX: &str = ".read";
/// Fewest pairs to fit on, unless told otherwise.
pub const MIN_PAIRS: usize = 20;
/// Below this many pairs to fit on there is a warning.
pub const FEW_PAIRS: usize = 40;

/// Which sites are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The one that is chosen.
    #[default]
    Best,
    /// All, each at the place of the one that is chosen.
    All,
}

/// What happens to examples longer than the context.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Long {
    /// The data is refused, and all of them are named.
    #[default]
    Refuse,
    /// They are left out.
    Skip,
}

/// How a text becomes a prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wording {
    /// Conversations in the chat template, and labelled texts as plain text.
    #[default]
    Chat,
    /// As it is written, without a template; control tokens written in it are tokens.
    Raw,
}

/// What is only written where it is not as usual, so that files of states stay what they were.
fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Everything that decides the file, data and model aside. What is `None` has a default that depends on the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The estimator.
    pub method: MethodName,
    /// Which tokens are read; by default those the method and the data are read at.
    pub position: Option<Position>,
    /// Which sites are written.
    pub keep: Keep,
    /// How a candidate is chosen; by default as the method's authors did, or by separation.
    pub rule: Option<Selection>,
    /// Shares of fitting, selection and test.
    pub shares: [f64; 3],
    /// Of the split, and of controls that draw.
    pub seed: u64,
    /// Fewest pairs to fit on.
    pub min_pairs: usize,
    /// What happens to examples longer than the context.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub long: Long,
    /// How texts become prompts.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub wording: Wording,
    /// How likely a label is right, for weights that make little of pairs that look turned round (inspired by RE-PO,
    /// arXiv 2509.24159); `None` weighs all alike. Only of differences of means.
    pub eta: Option<f64>,
    /// What PaLRS multiplies the mean positive state's length by.
    pub alpha: f32,
    /// A system prompt before every conversation that has none.
    pub system: Option<String>,
    /// The file's name.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// The data's licence.
    pub licence: String,
    /// What is set against what.
    pub contrast: String,
}

impl Recipe {
    /// The defaults of a method.
    pub fn new(method: MethodName, name: &str) -> Recipe {
        Recipe {
            method,
            position: None,
            keep: Keep::Best,
            rule: None,
            shares: Shares::default().to_array(),
            seed: 0,
            min_pairs: MIN_PAIRS,
            long: Long::default(),
            wording: Wording::default(),
            eta: None,
            alpha: 0.1,
            system: None,
            name: name.to_owned(),
            summary: String::new(),
            licence: "unknown".to_owned(),
            contrast: String::new(),
        }
    }

    /// The position, where none was asked for.
    pub fn position_for(&self, sides: &Sides) -> Position {
        let usual = match (sides, self.method) {
            (Sides::Answers { .. }, MethodName::Palrs) => Position::ResponseAsUser,
            (Sides::Answers { .. }, _) => Position::DialogueTail,
            (Sides::Prompts { .. }, _) => Position::LastPrompt,
            (Sides::Labelled { .. }, _) => Position::Text,
        };
        self.position.unwrap_or(usual)
    }

    /// The rule, where none was asked for.
    pub fn rule(&self) -> Selection {
        let usual = match self.method {
            MethodName::Palrs => Selection::PaperCosine,
            _ => Selection::HeldoutAuroc,
        };
        self.rule.unwrap_or(usual)
    }

    /// The shares, checked.
    pub(super) fn shares(&self) -> Result<Shares, Refusal> {
        let [fit, select, test] = self.shares;
        Shares::new(fit, select, test).ok_or_else(|| Refusal::Setting {
            field: "split",
            problem: format!(
                "is {fit},{select},{test}, expected three shares with sum 1, the first above 0"
            ),
        })
    }

    pub(super) fn check(&self) -> Result<(), Refusal> {
        let [_, select, _] = self.shares()?.to_array();
        let refuse =
            |field, problem: &str| Err(Refusal::Setting { field, problem: problem.to_owned() });
        if select == 0.0 && self.rule() == Selection::HeldoutAuroc {
            return refuse("split", "leaves nothing to choose by, which heldout_auroc needs");
        }
        if self.min_pairs < 2 {
            return refuse("min-pairs", "is below 2, one pair has no mean");
        }
        if !self.alpha.is_finite() || self.alpha == 0.0 {
            return refuse(
                "alpha",
                "is 0 or not finite, expected a share of the mean state's length",
            );
        }
        let of_means = matches!(self.method, MethodName::Palrs | MethodName::MeanDifference);
        if self.eta.is_some() && !of_means {
            return refuse("weights", "can be robust for palrs and mean_difference only");
        }
        if let Some(eta) = self.eta.filter(|eta| !ETA_RANGE.contains(eta)) {
            let (least, most) = (ETA_RANGE.start(), ETA_RANGE.end());
            return refuse("eta", &format!("is {eta}, expected {least} to {most}"));
        }
        if self.keep == Keep::All && self.method == MethodName::Palrs {
            return refuse(
                "select",
                "is all, but the scale of palrs is one site's: a file has one scale, and α‖μ⁺‖ differs from site to site; \
                 take mean_difference",
            );
        }
        self.check_texts()
    }

    /// Whether a card can hold the name, also that of the file that detects, and the summary.
    fn check_texts(&self) -> Result<(), Refusal> {
        let reads = matches!(self.method, MethodName::LinearProbe | MethodName::LogisticProbe);
        let most = NAME_LIMIT - if reads { READ_SUFFIX.len() } else { 0 };
        let (name, summary) = (self.name.chars().count(), self.summary.chars().count());
        if !(1..=most).contains(&name) || self.name.chars().any(is_hidden) {
            let problem =
                format!("has {name} characters, expected 1 to {most} on one line, none hidden");
            return Err(Refusal::Setting { field: "name", problem });
        }
        if summary > SUMMARY_LIMIT {
            let problem = format!("has {summary} characters, expected at most {SUMMARY_LIMIT}");
            return Err(Refusal::Setting { field: "summary", problem });
        }
        Ok(())
    }

    /// What of it examples of this kind cannot have.
    pub(super) fn check_sides(&self, sides: &Sides) -> Result<(), Refusal> {
        let labelled = matches!(sides, Sides::Labelled { .. });
        let paired = matches!(self.method, MethodName::PcaDifference | MethodName::LogisticProbe);
        let problem =
            |field, problem: &str| Err(Refusal::Setting { field, problem: problem.to_owned() });
        if labelled && self.system.is_some() {
            return problem(
                "system",
                "is for conversations; labelled texts are read without a template",
            );
        }
        if labelled && paired {
            return problem("method", "needs pairs, and labelled texts have no partners");
        }
        if self.wording == Wording::Raw && matches!(sides, Sides::Answers { .. }) {
            return problem(
                "raw",
                "is for pairs of prompts and labelled texts; answers stand in a conversation, which the template writes",
            );
        }
        if self.wording == Wording::Raw && self.system.is_some() {
            return problem("system", "is for conversations; raw texts are read as they are");
        }
        if labelled && self.eta.is_some() {
            return problem(
                "weights",
                "can be robust for pairs only, and labelled texts have no partners",
            );
        }
        Ok(())
    }
}
