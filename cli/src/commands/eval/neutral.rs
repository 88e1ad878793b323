//! What is measured on neutral text: the stream's length, and what steering costs.

use crate::commands::opened::Opened;
use crate::error::Result;
use crate::plan::Purpose;
use std::collections::BTreeMap;
use trimtab_runtime::site::Site;
use trimtab_steering::VectorFile;
use trimtab_steering::eval::Norms;
use trimtab_steering::neutral::{Text, stream_norms};

/// Tokens that the stream's length is measured on, as the server does it.
const TOKENS: usize = 512;

/// How long the stream is at the vector's sites on this model.
pub fn norms(opened: &Opened, file: &VectorFile) -> Result<Norms> {
    let sites: Vec<Site> = file.directions().iter().map(|direction| direction.site()).collect();
    let measured = stream_norms(&opened.model, &sites, TOKENS)?;
    let medians: BTreeMap<Site, f32> =
        measured.into_iter().map(|(site, norm)| (site, norm.median)).collect();
    Ok(Norms::of(file, &medians))
}

/// The prose that a purpose is measured on: what a scale was chosen on must not judge it.
pub fn prose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Compare { .. } => Text::test(),
        Purpose::Calibrate => Text::tune(),
    }
}
