//! What `import` and `export` are to do.

use super::args::{ExportArgs, ImportArgs, To};
use crate::error::{Error, Result};
use crate::flags::model::{Opening, if_named};
use std::path::PathBuf;
use trimtab_steering::export::BlockZero;
use trimtab_steering::import::{ImportOptions, Zeros};

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

pub fn import(args: ImportArgs) -> Result<Import> {
    let shape = args.shape.as_deref().map(shape).transpose()?;
    let options = ImportOptions {
        name: args.name,
        layer_shift: args.layer_shift,
        n_layers: None,
        effect: args.op,
        site: args.site,
        shape,
        zeros: if args.skip_zeros { Zeros::Skip } else { Zeros::Refuse },
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

pub fn export(args: ExportArgs) -> Result<Export> {
    // The one format there is.
    let To::Gguf = args.to;
    let block_zero = match (args.drop_block_0, args.keep_block_0) {
        (true, _) => BlockZero::Drop,
        (false, true) => BlockZero::Keep,
        (false, false) => BlockZero::Refuse,
    };
    let form = if args.glp { ExportForm::Projected } else { ExportForm::Added };
    Ok(Export { file: args.file, out: args.out, form, block_zero })
}
