//! From a plan to an opened model, with its stages shown.

use crate::console::Console;
use crate::document::{self, Fields};
use crate::error::{Error, Result, read_text};
use crate::exit::with_sources;
use crate::flags::model::{Opening, Source};
use crate::progress::Meter;
use crate::threads;
use std::sync::Arc;
use std::time::Instant;
use trimtab_runtime::decoder::weights::Weights;
use trimtab_runtime::decoder::{Decoder, DenseType, read_spec};
use trimtab_runtime::hub::{Installer, Local, Resolver};
use trimtab_runtime::kv::{BLOCK_LEN, KvType};
use trimtab_runtime::model::TemplateChoice;
use trimtab_runtime::{Error as Runtime, Model, device};

pub struct Opened {
    pub model: Arc<Model>,
    /// Seconds that loading took, a download aside.
    pub load_s: f64,
    /// Tokens of one sequence in one pass.
    pub chunk: usize,
    dense: DenseType,
}

impl Opened {
    /// The beginning of this command's document.
    pub fn head(&self, command: &'static str) -> Fields {
        document::head(command, Some((&self.model, self.dense)))
    }

    /// Says, for a command that needs no tokenizer, that the model's cannot be used.
    pub fn warn_of_tokenizer(&self, console: &Console) {
        if let Err(error @ Runtime::Tokenizer(_)) = self.model.tokenizer() {
            console.warn(format!("{}; token ids need none", with_sources(&error)));
        }
    }
}

/// The beginning of the document of a command that may have opened a model.
pub fn head(command: &'static str, opened: Option<&Opened>) -> Fields {
    opened.map_or_else(|| document::head(command, None), |opened| opened.head(command))
}

/// Finds or fetches a model's files.
pub fn files(source: &Source, console: &Console) -> Result<Local> {
    let meter = Meter::new(console);
    let mut resolver = Resolver::new().with_installer(Installer::default()).with_progress(&meter);
    if let Some(reach) = source.reach {
        resolver = resolver.with_reach(reach);
    }
    let local = resolver.resolve(&source.model).map_err(Runtime::from)?;
    console.debug(format!("files of {}: {}", local.name, local.path.display()));
    Ok(local)
}

pub fn open(plan: &Opening, console: &Console) -> Result<Opened> {
    device::set_threads(threads::chosen(plan.threads, console))?;
    let local = files(&plan.source, console)?;
    let started = Instant::now();
    let mut options = plan.options.clone();
    if let Some(path) = &plan.template_file {
        options.template = TemplateChoice::Text(read_text(path)?);
    }
    if let Some(bytes) = plan.kv_bytes {
        options.pool_tokens = Some(pool_tokens(bytes, options.kv_type, &local)?);
    }
    let model = Model::from_local(&local, &options)?;
    let load_s = started.elapsed().as_secs_f64();
    if let Ok(template) = model.template() {
        for name in options.variables.keys().filter(|name| !template.reads(name)) {
            console.warn(format!("chat template does not read {name}: to set it changes nothing"));
        }
    }
    console.debug(format!(
        "loaded in {load_s:.2} s: {} on {}, context {}, pool of {} tokens, {} threads",
        model.decoder().spec().arch.name,
        model.decoder().device().kind(),
        model.decoder().context(),
        model.pool().usage().blocks * BLOCK_LEN,
        device::threads(),
    ));
    if let Some(line) = factors(model.decoder()) {
        console.note(line);
    }
    Ok(Opened { model: Arc::new(model), load_s, chunk: plan.chunk, dense: options.decoder.dense })
}

/// Which of LongRoPE's two lists of factors is in force, and how to get the other.
fn factors(decoder: &Decoder) -> Option<String> {
    let (spec, context) = (decoder.spec(), decoder.context());
    let border = spec.rope_border().filter(|border| *border < spec.context_length)?;
    Some(match context > border {
        true => format!(
            "context {context} is above {border}: texts of every length are read with this model's rotary factors \
             for long ones; -c {border} takes those for short ones"
        ),
        false => format!(
            "context {context}: this model was made for {}, with other rotary factors above {border}; -c N takes \
             those, for short texts too",
            spec.context_length
        ),
    })
}

fn pool_tokens(bytes: usize, kind: KvType, local: &Local) -> Result<usize> {
    let weights = Weights::open(&local.path).map_err(Runtime::from)?;
    let block = BLOCK_LEN * read_spec(&weights)?.kv_bytes_per_token(kind);
    match bytes / block {
        0 => {
            let problem =
                format!("is {bytes} bytes, {BLOCK_LEN} tokens of this model need {block}");
            Err(Error::usage("--kv-memory", problem))
        }
        blocks => Ok(blocks * BLOCK_LEN),
    }
}
