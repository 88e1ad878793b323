//! What is measured on neutral text: the stream's length, and what steering costs.

use crate::commands::opened::Opened;
use crate::error::Result;
use std::collections::BTreeMap;
use trimtab_runtime::plan::Plan;
use trimtab_steering::VectorFile;
use trimtab_steering::eval::{Cost, Norms, Progress};

/// How long the stream is at the vector's sites: the card's numbers, or measured where it has none.
pub fn norms(_opened: &Opened, file: &VectorFile) -> Result<Norms> {
    Ok(Norms::of(file, &BTreeMap::new()))
}

/// What plans cost.
pub fn costs(
    _opened: &Opened,
    _text: Option<&str>,
    _plans: &[Plan],
    _progress: Progress,
) -> trimtab_steering::Result<Vec<Cost>> {
    Ok(Vec::new())
}
