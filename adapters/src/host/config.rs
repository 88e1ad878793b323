//! What an adapter is made with: its method and the method's parameters, fixed when it is made.

use crate::error::{Error, Result};
use crate::rosa::{Rosa, RosaParams};
use crate::tpop::{DuelLevel, HeadKind, TokenFeatureKind, Tpop, TpopParams};
use serde::{Deserialize, Serialize};

/// Most settings that duels choose between.
const MOST_ARMS: usize = 16;

/// A setting that duels choose: what a name stands for is a `steering` object with, beside it, an instruction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DuelArm {
    /// What receipts and reports call it.
    pub name: String,
    /// Put behind the conversation's system prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instruction: Option<String>,
    /// What the model is steered by, as in a request's `steering`; absent for plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub steering: Option<serde_json::Value>,
}

/// The parameters of a learner of tastes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TasteConfig {
    /// `tpop.*`.
    pub params: TpopParams,
    /// Settings that duels choose between; without any, duels are between sampled answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arms: Vec<DuelArm>,
}

/// How an adapter learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "method")]
pub enum AdapterConfig {
    /// One step from each judgement.
    Rosa {
        /// `rosa.*`.
        #[serde(default)]
        params: RosaParams,
    },
    /// A taste, from choices between two.
    Tpop(TasteConfig),
}

/// A checked configuration.
#[derive(Debug, Clone, PartialEq)]
pub enum Learner {
    /// One step from each judgement.
    Rosa(Rosa),
    /// A taste, from choices between two.
    Tpop(Tpop),
}

impl AdapterConfig {
    /// The configuration that a method's name stands for: its defaults.
    ///
    /// # Errors
    ///
    /// Another name than `rosa` or `tpop`.
    pub fn of_method(name: &str) -> Result<AdapterConfig> {
        match name {
            "rosa" => Ok(AdapterConfig::Rosa { params: RosaParams::default() }),
            "tpop" => Ok(AdapterConfig::Tpop(TasteConfig::default())),
            other => {
                let problem = format!("is {other:?}; rosa and tpop are known");
                Err(Error::invalid("method", problem))
            }
        }
    }

    /// The method's name.
    pub fn method(&self) -> &'static str {
        match self {
            AdapterConfig::Rosa { .. } => "rosa",
            AdapterConfig::Tpop(_) => "tpop",
        }
    }

    /// The checked form.
    ///
    /// # Errors
    ///
    /// The first key that is out of its range; arms that are too few, too many, or two of one name; arms at the token
    /// level.
    pub fn check(&self) -> Result<Learner> {
        match self {
            AdapterConfig::Rosa { params } => Ok(Learner::Rosa(params.clone().check()?)),
            AdapterConfig::Tpop(taste) => {
                taste.check_arms()?;
                taste.check_tokens()?;
                Ok(Learner::Tpop(taste.params.check()?))
            }
        }
    }
}

impl TasteConfig {
    /// Duels token by token learn wording, with one linear head.
    fn check_tokens(&self) -> Result<()> {
        let TpopParams { level, token_features, head, .. } = self.params;
        if level == DuelLevel::Token && token_features == TokenFeatureKind::Lookahead {
            return Err(Error::invalid(
                "tpop.token_features",
                "is lookahead, which needs a model of its own for each duel (tpop::Lookahead of the library); embed is served",
            ));
        }
        if level == DuelLevel::Token && head == HeadKind::Mlp {
            return Err(Error::invalid("tpop.head", "is mlp; level token needs linear"));
        }
        Ok(())
    }

    fn check_arms(&self) -> Result<()> {
        let arms = self.arms.len();
        if arms == 1 || arms > MOST_ARMS {
            let problem = format!("has {arms} settings; none, or 2 to {MOST_ARMS}");
            return Err(Error::invalid("arms", problem));
        }
        if arms > 0 && self.params.level == DuelLevel::Token {
            return Err(Error::invalid("arms", "are settings; level token compares samples"));
        }
        let mut names: Vec<&str> = self.arms.iter().map(|arm| arm.name.as_str()).collect();
        names.sort_unstable();
        if let Some([twice, _]) = names.array_windows::<2>().find(|[a, b]| a == b) {
            return Err(Error::invalid("arms", format!("has {twice:?} twice")));
        }
        Ok(())
    }
}
