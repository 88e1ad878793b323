//! What steering has to know of the model it acts on.

use crate::error::Result;
use crate::file::card::{ModelPin, Pinned};
use crate::neutral::medians;
use crate::receipt::ReceiptModel;
use std::collections::BTreeMap;
use std::sync::Arc;
use trimtab_runtime::Model;
use trimtab_runtime::decoder::spec::ModelSpec;
use trimtab_runtime::site::Site;
use trimtab_runtime::text::Tokenizer;

/// A model, as far as steering is concerned.
#[derive(Debug, Clone)]
pub struct SteeredModel {
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
    /// What receipts say about it.
    pub receipt: ReceiptModel,
}

impl SteeredModel {
    /// Of an opened model. Measures the stream's length at every site on neutral text, in one pass over 512 tokens; a
    /// model without a tokenizer cannot read text, and there the cards' lengths count.
    pub fn of(model: &Model) -> Result<SteeredModel> {
        let spec = model.decoder().spec().clone();
        let tokenizer = model.tokenizer().ok().cloned();
        let norms = match tokenizer {
            None => BTreeMap::new(),
            Some(_) => {
                let sites: Vec<Site> = Site::all(spec.n_layers()).collect();
                medians(model, &sites, &mut |_, _| {})?
            }
        };
        Ok(SteeredModel {
            pin: ModelPin::of(model, Pinned::Extract)?,
            spec,
            template: model.template().map(|t| t.source().to_owned()).unwrap_or_default(),
            tokenizer,
            norms,
            receipt: ReceiptModel::of(model),
        })
    }
}
