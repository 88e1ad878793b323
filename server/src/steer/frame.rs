//! What steering has to know of the model it acts on.

use crate::refusal::Refusal;
use std::collections::BTreeMap;
use std::sync::Arc;
use trimtab_runtime::Model;
use trimtab_runtime::model::spec::ModelSpec;
use trimtab_runtime::site::Site;
use trimtab_runtime::text::Tokenizer;
use trimtab_steering::file::card::{ModelPin, Pinned};
use trimtab_steering::neutral::medians;
use trimtab_steering::receipt::ReceiptModel;

/// Whether an answer depends on who else is served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Invariance {
    /// It never does.
    #[default]
    Holds,
    /// Its last bits may.
    Unproven,
}

/// The served model, as far as steering is concerned.
#[derive(Debug, Clone)]
pub struct Frame {
    /// What vectors are held against.
    pub pin: ModelPin,
    /// The numbers of the architecture, to bind plans.
    pub spec: ModelSpec,
    /// What reads an answer's text for spans; `None` for a model of token ids only.
    pub tokenizer: Option<Arc<Tokenizer>>,
    /// Text of the chat template; empty without one.
    pub template: String,
    /// Median length of the stream at each site, where it was measured.
    pub norms: BTreeMap<Site, f32>,
    /// What receipts say about other requests' influence.
    pub invariance: Invariance,
}

impl Frame {
    /// What receipts say about it.
    pub(crate) fn receipt(&self) -> ReceiptModel {
        ReceiptModel {
            weights_sha256: self.pin.weights_sha256.clone(),
            template_sha256: self.pin.template_sha256.clone(),
            batch_invariant: self.invariance == Invariance::Holds,
        }
    }

    /// Of an opened model. Measures the stream's length at every site on neutral text, in one pass over 512 tokens; a
    /// model without a tokenizer cannot read text, and there the cards' lengths count.
    pub fn of(model: &Model) -> Result<Frame, Refusal> {
        let spec = model.decoder().spec().clone();
        let tokenizer = model.tokenizer().ok().cloned();
        let norms = match tokenizer {
            None => BTreeMap::new(),
            Some(_) => {
                let sites: Vec<Site> = Site::all(spec.n_layers()).collect();
                medians(model, &sites, &mut |_, _| {})?
            }
        };
        Ok(Frame {
            pin: ModelPin::of(model, Pinned::Extract)?,
            spec,
            template: model.template().map(|t| t.source().to_owned()).unwrap_or_default(),
            tokenizer,
            norms,
            invariance: match ReceiptModel::of(model).batch_invariant {
                true => Invariance::Holds,
                false => Invariance::Unproven,
            },
        })
    }
}
