//! Vector files of other programs.
//!
//! Two things are never guessed: which block a number means, and what is done with a direction. Where the file does not
//! say and its writer cannot be told, the caller must. What was understood is returned as a mapping, to be shown
//! before anything is written.

mod bare;
mod gguf;
mod glp;
mod origin;
mod pattern;
mod svec;

pub use origin::Origin;

use crate::direction::Direction;
use crate::error::{Error, Result};
use crate::file::card::{Card, Method, MethodName, Operation, Param, SiteCard};
use crate::file::{EXTRA_LIMIT, NAME_LIMIT, VectorFile, file_sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use trimtab_runtime::filetype::{self, bytes_without_bom};
use trimtab_runtime::printable::is_hidden;
use trimtab_runtime::site::Site;

/// Bytes by which a file's kind is told.
const HEAD: u64 = filetype::HEAD as u64;

/// What the caller knows about a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Label of the vector; that of its header, or the file's name, unless given.
    pub name: Option<String>,
    /// Added to every layer number of a GGUF file.
    pub layer_shift: Option<i64>,
    /// Blocks of the model it is for, if that is known.
    pub n_layers: Option<usize>,
    /// What is done with the directions, where the file does not say it.
    pub effect: Option<Effect>,
    /// Where the directions act, where the file does not say it: a site with `{n}` for the block, behind an optional
    /// pattern of tensor names and `=`, such as `layers.{n}.vector=resid_post.{n}`.
    pub site: Option<String>,
    /// Rows and width of a file of bare f32 values.
    pub shape: Option<[usize; 2]>,
    /// What happens to rows of zeros, which point nowhere.
    pub zeros: Zeros,
}

/// What happens to rows of zeros.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Zeros {
    /// The file is refused.
    #[default]
    Refuse,
    /// They are left out, and told.
    Skip,
}

/// What is done with directions whose file does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// They are added.
    Add,
    /// They are projected out.
    Project,
}

impl Effect {
    /// The operation of a card.
    fn operation(self) -> Operation {
        match self {
            Effect::Add => Operation::Add,
            Effect::Project => Operation::Project,
        }
    }
}

/// A file that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The vector, not yet pinned to a model unless it was ours.
    pub file: VectorFile,
    /// Which program wrote it, and how that was told.
    pub origin: Origin,
    /// Where each tensor went.
    pub mapping: Vec<Mapped>,
    /// What the caller should know.
    pub warnings: Vec<String>,
}

/// Where one tensor went.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapped {
    /// Its name in the file.
    pub tensor: String,
    /// The site it acts at.
    pub site: Site,
    /// Its length, which became the magnitude.
    pub norm: f32,
}

/// A vector file as it lay on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceFile {
    /// Where it lies.
    pub path: PathBuf,
    /// The vector.
    pub file: VectorFile,
    /// SHA-256 of the whole file.
    pub sha256: String,
    /// What the import has to tell.
    pub warnings: Vec<String>,
}

/// Opens one of our files. It says at which sites it acts, so they cannot be shifted.
pub fn open_native(path: &Path, options: &ImportOptions) -> Result<SourceFile> {
    let file = VectorFile::open(path)?;
    if options.layer_shift.is_some_and(|shift| shift != 0) {
        let reason = format!("{} says at which sites it acts", path.display());
        return Err(Error::Refused { what: "layer shift", reason });
    }
    let sha256 = file_sha256(path)?;
    Ok(SourceFile { path: path.to_owned(), file, sha256, warnings: Vec::new() })
}

/// Opens one of our files, or one that says enough to be imported.
pub fn open(path: &Path, options: &ImportOptions) -> Result<SourceFile> {
    if !is_foreign(path)? {
        return open_native(path, options);
    }
    let Imported { file, warnings, .. } = read(path, options)?;
    Ok(SourceFile { path: path.to_owned(), file, sha256: file_sha256(path)?, warnings })
}

/// Whether a file is another program's and says enough to be read without options: GGUF, or the JSON of `.svec`.
pub fn is_foreign(path: &Path) -> Result<bool> {
    let size = crate::file::measured(path, crate::file::FILE_LIMIT)?;
    let head = crate::file::read_head(path, size.min(HEAD))?;
    Ok(head.starts_with(b"GGUF") || is_json(&head))
}

/// Whether these are the first bytes of an object as text. A safetensors file may begin with the same byte, which is
/// then its header's length, with zeros behind it.
fn is_json(head: &[u8]) -> bool {
    let head = bytes_without_bom(head);
    !head.contains(&0) && head.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{')
}

/// Reads a vector file of another program, told by its content: GGUF, the JSON of `.svec`, or safetensors without our
/// header. Bare f32 values have no mark: they are read where a shape is given.
pub fn read(path: &Path, options: &ImportOptions) -> Result<Imported> {
    let size = crate::file::measured(path, crate::file::FILE_LIMIT)?;
    let imported = match options.shape {
        Some(shape) => bare::values(path, size, shape, options),
        None => told_by_content(path, size, options),
    };
    imported.map_err(|e| e.within(path))
}

fn told_by_content(path: &Path, size: u64, options: &ImportOptions) -> Result<Imported> {
    let head = crate::file::read_head(path, size.min(HEAD))?;
    crate::file::refuse_type(&head)?;
    if head.get(8) == Some(&b'{') && !is_json(&head) {
        return bare::tensors(&crate::file::read(path, size)?, label(path, options), options);
    }
    if options.site.is_some() {
        let reason = "the file says where its directions act".to_owned();
        return Err(Error::Refused { what: "--site", reason });
    }
    let imported = if head.starts_with(b"GGUF") {
        gguf::read(path, options)?
    } else if is_json(&head) {
        let bytes = crate::file::read(path, svec::LIMIT)?;
        svec::read(bytes_without_bom(&bytes), label(path, options), options)?
    } else {
        let reason = "it is neither GGUF nor safetensors nor the JSON of a .svec file; bare f32 values need --shape LxD";
        return Err(Error::not_a_vector(reason));
    };
    let operation = imported.file.card().operation;
    match options.effect {
        Some(effect) if effect.operation() != operation => {
            let reason = format!("the file says {}, and is not turned around", operation.kind());
            Err(Error::Refused { what: "--op", reason })
        }
        _ => Ok(imported),
    }
}

fn label(path: &Path, options: &ImportOptions) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = options.name.clone().or(stem).unwrap_or_default();
    let name: String = name.chars().filter(|c| !is_hidden(*c)).take(NAME_LIMIT).collect();
    if name.is_empty() { "imported".to_owned() } else { name }
}

/// A row of another program's file, placed.
struct Placed {
    tensor: String,
    site: Site,
    derived_at: Site,
    values: Vec<f32>,
}

/// What a file became: rows of any length, and the card's fields the file speaks of.
struct Draft {
    name: String,
    origin: Origin,
    operation: Operation,
    /// The file's own default scale.
    scale: Option<f32>,
    /// What the caller said about its layer numbers.
    layer_shift: Option<i64>,
    zeros: Zeros,
    rows: Vec<Placed>,
    extra: BTreeMap<String, String>,
    warnings: Vec<String>,
}

impl Draft {
    /// Lengths become magnitudes, notes that find no room are named.
    fn finish(mut self) -> Result<Imported> {
        self.trim_extra();
        let summary = format!("imported: {}", self.origin.evidence());
        let method = Method::named(MethodName::Imported);
        let mut card = Card::unmeasured(&self.name, &summary, self.operation, method);
        card.extra = self.extra;
        let shift = self.layer_shift.map(|k| ("layer_shift".to_owned(), Param::Integer(k)));
        card.method.params.extend(shift);
        card.scale.default = self.scale.unwrap_or(card.scale.default);
        let (mut directions, mut mapping) = (Vec::new(), Vec::new());
        let is_zero = |row: &Placed| row.values.iter().all(|value| *value == 0.0);
        for row in self.rows {
            if self.zeros == Zeros::Skip && is_zero(&row) {
                self.warnings.push(format!("tensor {} is zero and left out", row.tensor));
                continue;
            }
            let (direction, norm) = Direction::normalised(row.site, &row.values)?;
            let magnitude = (self.operation == Operation::Add).then_some(norm);
            if card.sites.insert(row.site, SiteCard::of(row.derived_at, magnitude)).is_some() {
                let problem = format!("acts at {} as another tensor does", row.site);
                return Err(Error::tensor(&row.tensor, problem));
            }
            directions.push(direction);
            mapping.push(Mapped { tensor: row.tensor, site: row.site, norm });
        }
        let file = VectorFile::new(card, directions)?;
        Ok(Imported { file, origin: self.origin, mapping, warnings: self.warnings })
    }

    fn trim_extra(&mut self) {
        let mut left = EXTRA_LIMIT;
        let mut dropped = Vec::new();
        for (key, value) in &self.extra {
            match left.checked_sub(key.len() + value.len()) {
                Some(rest) => left = rest,
                None => dropped.push(key.clone()),
            }
        }
        for key in dropped {
            self.extra.remove(&key);
            self.warnings.push(format!("metadata key {key} is left out: /extra is full"));
        }
    }
}
