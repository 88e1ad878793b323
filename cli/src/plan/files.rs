//! What `inspect`, `verify`, `import` and `export` are to do.

use super::vectors::{Vectors, one_file};
use super::{Opening, choose};
use crate::args::{ExportArgs, ImportArgs, InspectArgs, Kind, ModelArgs, To, VerifyArgs};
use crate::error::{Error, Result};
use std::path::PathBuf;
use trimtab_steering::compose::dose::{DoseLimit, DosePolicy};
use trimtab_steering::export::BlockZero;
use trimtab_steering::import::{Effect, ImportOptions, Zeros};
use trimtab_steering::steer::NullVectors;

/// Files to show.
#[derive(Debug, PartialEq)]
pub struct Inspect {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Added to layer numbers that have two readings.
    pub layer_shift: Option<i64>,
    /// The model they are held against.
    pub opening: Option<Opening>,
}

/// A proof.
#[derive(Debug, PartialEq)]
pub struct Verify {
    /// The model.
    pub opening: Opening,
    /// The vector; empty for a throw-away one.
    pub vectors: Vectors,
    /// How much is proved.
    pub depth: Depth,
    /// Where the report goes as well.
    pub report: Option<PathBuf>,
}

/// How much is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Everything.
    Whole,
    /// Everything but times.
    Quick,
}

/// A file to make ours.
#[derive(Debug, PartialEq)]
pub struct Import {
    /// The file.
    pub file: PathBuf,
    /// Where it goes; `None` to show only what was understood.
    pub out: Option<PathBuf>,
    /// What is known about it.
    pub options: ImportOptions,
    /// The model it is for.
    pub opening: Option<Opening>,
}

/// A file to write for others.
#[derive(Debug, PartialEq, Eq)]
pub struct Export {
    /// The vector.
    pub file: PathBuf,
    /// Where it goes.
    pub out: PathBuf,
    /// What is written.
    pub form: ExportForm,
    /// What is done with block 0.
    pub block_zero: BlockZero,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportForm {
    /// A control vector that is added.
    Added,
    /// A projection for readers of GLP.
    Projected,
}

pub(super) fn inspect(args: InspectArgs) -> Result<Inspect> {
    Ok(Inspect { files: args.files, layer_shift: args.layer_shift, opening: if_named(args.model)? })
}

/// The model, if the user named one.
pub(super) fn if_named(args: ModelArgs) -> Result<Option<Opening>> {
    let named = args.model.is_some() || args.source.hf_repo.is_some();
    named.then(|| Opening::of(args)).transpose()
}

pub(super) fn verify(args: VerifyArgs) -> Result<Verify> {
    let files = args.file.as_deref().map(one_file).transpose()?;
    let vectors = Vectors {
        files: files.into_iter().collect(),
        layer_shift: args.layer_shift,
        accept: args.accept_model,
        null: choose(args.allow_null, NullVectors::Allow, NullVectors::Refuse),
        // What a vector does is to be seen, also if it is too much.
        dose: DoseLimit { policy: DosePolicy::Warn, ..DoseLimit::default() },
        ..Vectors::default()
    };
    Ok(Verify {
        opening: Opening::of(args.model)?,
        vectors,
        depth: choose(args.quick, Depth::Quick, Depth::Whole),
        report: args.report,
    })
}

pub(super) fn import(args: ImportArgs) -> Result<Import> {
    let shape = args.shape.as_deref().map(shape).transpose()?;
    let effect = args.op.map(|op| match op {
        Kind::Add => Effect::Add,
        Kind::Project => Effect::Project,
    });
    let options = ImportOptions {
        name: args.name,
        layer_shift: args.layer_shift,
        n_layers: None,
        effect,
        site: args.site,
        shape,
        zeros: choose(args.skip_zeros, Zeros::Skip, Zeros::Refuse),
    };
    Ok(Import { file: args.file, out: args.out, options, opening: if_named(args.model)? })
}

/// `LxD`: rows and width.
fn shape(text: &str) -> Result<[usize; 2]> {
    let numbers = text.split_once('x').and_then(|(rows, width)| {
        Some([rows.parse::<usize>().ok()?, width.parse::<usize>().ok()?])
    });
    let numbers = numbers.filter(|[rows, width]| *rows > 0 && *width > 0);
    numbers.ok_or_else(|| {
        Error::usage("--shape", format!("is {text:?}, expected rows x width such as 30x576"))
    })
}

pub(super) fn export(args: ExportArgs) -> Result<Export> {
    // The one format there is.
    let To::Gguf = args.to;
    let block_zero = match (args.drop_block_0.is_on(), args.keep_block_0.is_on()) {
        (true, _) => BlockZero::Drop,
        (false, true) => BlockZero::Keep,
        (false, false) => BlockZero::Refuse,
    };
    let form = choose(args.glp, ExportForm::Projected, ExportForm::Added);
    Ok(Export { file: args.file, out: args.out, form, block_zero })
}
