//! What is measured on neutral text: the stream's length, and what steering costs.

use super::config::Purpose;
use crate::commands::opened::Opened;
use crate::commands::vectors;
use crate::console::Console;
use crate::error::Result;
use trimtab_runtime::site::Site;
use trimtab_steering::VectorFile;
use trimtab_steering::eval::Norms;
use trimtab_steering::neutral::Text;

/// How long the stream is at the vector's sites on this model.
pub fn norms(opened: &Opened, file: &VectorFile, console: &Console) -> Result<Norms> {
    let sites: Vec<Site> = file.directions().iter().map(|direction| direction.site()).collect();
    Ok(Norms::of(file, &vectors::norms(opened, &sites, console)?))
}

/// The prose that a purpose is measured on: what a scale was chosen on must not judge it.
pub fn prose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Compare { .. } => Text::test(),
        Purpose::Calibrate => Text::tune(),
    }
}
