//! The laws of putting vectors together, on made-up vectors and the tiny model.

mod dose;

use crate::direction::Direction;
use crate::file::VectorFile;
use crate::file::card::{Card, Method, MethodName, Operation, SiteCard};
use trimtab_runtime::site::Site;

/// An additive vector: at each site a row of any length, which becomes the magnitude, in a stream 10 long.
fn vector(name: &str, rows: &[(Site, Vec<f32>)]) -> VectorFile {
    built(name, rows, |_| {})
}

/// The same with a changed card.
fn built(name: &str, rows: &[(Site, Vec<f32>)], change: impl FnOnce(&mut Card)) -> VectorFile {
    let method = Method::named(MethodName::MeanDifference);
    let mut card = Card::unmeasured(name, "made up", Operation::Add, method);
    let mut directions = Vec::new();
    for (site, row) in rows {
        let (direction, gap) = Direction::normalised(*site, row).unwrap();
        let entry = SiteCard { stream_norm: Some(10.0), ..SiteCard::of(*site, Some(gap)) };
        card.sites.insert(*site, entry);
        directions.push(direction);
    }
    change(&mut card);
    VectorFile::new(card, directions).unwrap()
}
