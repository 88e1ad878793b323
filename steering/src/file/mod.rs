//! The native vector file: safetensors with a header that says operation, sites and model.
//!
//! Three rules above all others. A file says what it does, and a reader that does not understand a part of it stops.
//! Strength is never part of a direction. Nothing is guessed: what a file does not say, the caller must.

mod apply;
pub mod card;
mod check;
mod container;
mod decode;
mod digest;
mod disk;
pub(crate) mod json;
mod pin;
mod sniff;

pub use apply::{Apply, Whole};
pub use card::Card;
pub use digest::{content_sha256, sha256};
pub use disk::{FILE_LIMIT, file_sha256, write};
pub use json::said;
pub use pin::{Warning, family_sha256};

pub(crate) use check::{EXTRA_LIMIT, NAME_LIMIT, SUMMARY_LIMIT};
pub(crate) use container::{HEADER_LIMIT, floats, halves, is_ours, stored};
pub(crate) use decode::header;
pub(crate) use disk::{measured, read, read_head, read_stream};
pub(crate) use sniff::refuse_type;

use crate::direction::Direction;
use crate::error::{Error, Result};
use crate::scope::Scope;
use card::{DataCard, Evaluation, Method, ModelPin, Operation, Role, Scale, SiteCard, Status};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use trimtab_runtime::site::Site;

/// Directions and their card, checked. Immutable.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorFile {
    card: Card,
    directions: Vec<Direction>,
    content_sha256: String,
}

impl VectorFile {
    /// Joins a card and its directions, in any order.
    ///
    /// ```
    /// use trimtab_runtime::site::Site;
    /// use trimtab_steering::file::card::{Card, Method, MethodName, Operation, SiteCard};
    /// use trimtab_steering::{Direction, VectorFile};
    ///
    /// let (direction, gap) = Direction::normalised(Site::ResidPost(1), &[3.0, 0.0, 4.0]).unwrap();
    /// let method = Method::named(MethodName::MeanDifference);
    /// let mut card = Card::unmeasured("calm", "less urgent tone", Operation::Add, method);
    /// card.sites.insert(direction.site(), SiteCard::of(direction.site(), Some(gap)));
    /// let file = VectorFile::new(card, vec![direction]).unwrap();
    /// assert_eq!(VectorFile::from_bytes(&file.to_bytes().unwrap()).unwrap(), file);
    /// ```
    pub fn new(card: Card, mut directions: Vec<Direction>) -> Result<Self> {
        directions.sort_by_key(Direction::site);
        check::check(&card, &directions)?;
        let content_sha256 = content_sha256(&directions);
        let file = VectorFile { card, directions, content_sha256 };
        let (bytes, limit) = (file.header()?.len(), HEADER_LIMIT);
        if bytes > limit {
            return Err(Error::TooLarge {
                what: "header",
                bytes: bytes as u64,
                limit: limit as u64,
            });
        }
        Ok(file)
    }

    /// A vector from one activation to another, `[d_model]` each, added at their site: its magnitude is their
    /// distance, and its anchor is where the first lies along it. It is not measured.
    ///
    /// ```
    /// use trimtab_runtime::site::Site;
    /// use trimtab_steering::VectorFile;
    ///
    /// let file = VectorFile::from_difference("calm", Site::ResidPost(8), &[1.0, 0.0], &[1.0, 4.0])?;
    /// assert_eq!(file.directions()[0].values(), [0.0, 1.0]);
    /// # Ok::<(), trimtab_steering::Error>(())
    /// ```
    pub fn from_difference(name: &str, site: Site, from: &[f32], to: &[f32]) -> Result<Self> {
        if from.len() != to.len() {
            let problem = format!("has {} and {} values on its two sides", from.len(), to.len());
            return Err(Error::tensor(site, problem));
        }
        let difference: Vec<f32> = to.iter().zip(from).map(|(to, from)| to - from).collect();
        let (direction, gap) = Direction::normalised(site, &difference)?;
        let anchor = from.iter().zip(direction.values()).map(|(x, v)| x * v).sum();
        let method = Method::named(card::MethodName::MeanDifference);
        let mut card =
            Card::unmeasured(name, "difference of two activations", Operation::Add, method);
        card.sites.insert(site, SiteCard { anchor: Some(anchor), ..SiteCard::of(site, Some(gap)) });
        VectorFile::new(card, vec![direction])
    }

    /// Reads a native file.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = disk::read(path, FILE_LIMIT)?;
        VectorFile::from_bytes(&bytes).map_err(|e| e.within(path))
    }

    /// Reads the bytes of a native file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        refuse_type(bytes)?;
        if bytes.starts_with(b"GGUF") {
            return Err(Error::not_a_vector("it is a GGUF control vector; import it first"));
        }
        let parts = container::read(bytes)?;
        let header = decode::header(parts.header.as_bytes())?;
        if let Some(other) = parts.directions.iter().find(|d| d.rank() != header.rank) {
            let problem = format!("has {} rows, /rank is {}", other.rank(), header.rank);
            return Err(Error::tensor(other.site(), problem));
        }
        let file = VectorFile::new(header.card, parts.directions)?;
        if file.content_sha256 != header.content_sha256 {
            return Err(Error::ContentHash {
                field: "/content_sha256",
                stated: header.content_sha256,
                computed: file.content_sha256,
            });
        }
        Ok(file)
    }

    /// The bytes of the file. Equal vectors give equal bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        container::write(self.header()?, &self.directions)
    }

    /// Writes the file, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        disk::write(path, &self.to_bytes()?)
    }

    /// What the file says about its directions.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// The directions in forward order.
    pub fn directions(&self) -> &[Direction] {
        &self.directions
    }

    /// Width of the stream it is for.
    pub fn width(&self) -> usize {
        self.directions.first().map_or(0, Direction::width)
    }

    /// Hash of the directions.
    pub fn content_sha256(&self) -> &str {
        &self.content_sha256
    }

    /// What is added at scale 1, site by site: magnitude times row. Refused for other operations than `add`.
    // -> [d_model] per site
    pub fn offsets(&self) -> Result<Vec<(trimtab_runtime::site::Site, Vec<f32>)>> {
        if self.card.operation != Operation::Add {
            return Err(Error::Refused {
                what: "addition",
                reason: format!("{} is a {} vector", self.card.name, self.card.operation.kind()),
            });
        }
        let scaled = self.directions.iter().map(|direction| {
            let site = direction.site();
            let magnitude = self.card.sites.get(&site).and_then(|entry| entry.magnitude);
            let magnitude =
                magnitude.ok_or_else(|| Error::at_site(site, "magnitude", "is null"))?;
            Ok((site, direction.values().iter().map(|v| v * magnitude).collect()))
        });
        scaled.collect()
    }

    /// Whether it may be used on a model: `accept` is what the caller wrote to use it although the model differs, among it the
    /// first 12 or more digits of the file's own `weights_sha256`, or `unpinned`.
    pub fn admit<'a>(
        &self,
        model: &ModelPin,
        accept: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<Warning>> {
        let (found, expected) = (self.width(), model.d_model);
        if found != expected {
            return Err(Error::ModelShape { field: "d_model", found, expected });
        }
        self.inside(model)?;
        pin::admit(self.card.model.as_ref(), model, accept)
    }

    /// The same vector, said to belong to a model. Its width and sites must fit.
    pub fn pinned_to(&self, model: ModelPin) -> Result<VectorFile> {
        let (found, expected) = (self.width(), model.d_model);
        if found != expected {
            return Err(Error::ModelShape { field: "d_model", found, expected });
        }
        self.inside(&model)?;
        let card = Card { model: Some(model), ..self.card.clone() };
        VectorFile::new(card, self.directions.clone())
    }

    fn inside(&self, model: &ModelPin) -> Result<()> {
        let n_layers = model.n_layers;
        match self.directions.iter().find(|d| !d.site().exists_in(n_layers)) {
            None => Ok(()),
            Some(d) => Err(trimtab_runtime::Error::NoSuchSite { site: d.site(), n_layers }.into()),
        }
    }

    /// The header as compact JSON with sorted keys.
    pub fn header(&self) -> Result<String> {
        let card = &self.card;
        let sites = card.sites.iter().map(|(site, entry)| (site.to_string(), entry));
        let wire = Wire {
            content_sha256: &self.content_sha256,
            data: card.data.as_ref(),
            evaluation: card.evaluation.as_ref(),
            extra: &card.extra,
            format: decode::FORMAT,
            method: &card.method,
            model: card.model.as_ref(),
            name: &card.name,
            operation: card.operation,
            rank: self.directions.first().map_or(1, Direction::rank),
            role: card.role,
            scale: card.scale,
            scope: &card.scope,
            sign: decode::SIGN,
            sites: sites.collect(),
            spec: decode::SPEC,
            status: card.status,
            summary: &card.summary,
            writer: &card.writer,
        };
        serde_json::to_string(&wire)
            .map_err(|e| Error::header("/", format!("cannot be written: {e}")))
    }
}

/// The header as it is written: fields in the order of their names.
#[derive(Serialize)]
struct Wire<'a> {
    content_sha256: &'a str,
    data: Option<&'a DataCard>,
    evaluation: Option<&'a Evaluation>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra: &'a BTreeMap<String, String>,
    format: &'static str,
    method: &'a Method,
    model: Option<&'a ModelPin>,
    name: &'a str,
    operation: Operation,
    rank: usize,
    role: Role,
    scale: Scale,
    scope: &'a Scope,
    sign: &'static str,
    /// By text, as all keys: `resid_post.10` before `resid_post.2`.
    sites: BTreeMap<String, &'a SiteCard>,
    spec: usize,
    status: Status,
    summary: &'a str,
    writer: &'a str,
}
