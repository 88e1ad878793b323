//! Vectors: from their files to a plan that a model takes, with every refusal before the first token.

mod receipt;

use super::opened::{self, Opened};
use crate::console::Console;
use crate::error::{Error, Result};
use crate::flags::model::Opening;
use crate::flags::vectors::{Asked, FileForm, Vectors};
use crate::progress::Meter;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use trimtab_runtime::Model;
use trimtab_runtime::hub::Progress;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;
use trimtab_steering::compose::dose::{self, Note, Standing};
use trimtab_steering::file::Warning;
use trimtab_steering::file::card::{ModelPin, Pinned};
use trimtab_steering::import::{self, ImportOptions, SourceFile};
use trimtab_steering::neutral::medians;
use trimtab_steering::stack::{Lowered, Stack, StackVector};
use trimtab_steering::{Error as Refusal, Steer, SteerOptions, VectorFile};

/// How long measuring goes on before it is told.
const TOLD_AFTER: Duration = Duration::from_millis(400);

/// Reads the files of a plan, before any model is opened. What no model could be steered with is refused here.
pub fn read(plan: &Vectors) -> Result<Vec<SourceFile>> {
    let sources: Vec<SourceFile> =
        plan.files.iter().map(|asked| source(asked, plan)).collect::<Result<_>>()?;
    for (source, asked) in sources.iter().zip(&plan.files) {
        Steer::new(&source.file, &options(asked, plan))?;
    }
    Ok(sources)
}

/// A model, and the vectors that it takes. Their files are read first.
pub fn open(opening: &Opening, plan: &Vectors, console: &Console) -> Result<(Opened, Steering)> {
    let sources = read(plan)?;
    let opened = opened::open(opening, console)?;
    let steering = Steering::open(sources, plan, &opened, console)?;
    Ok((opened, steering))
}

fn source(asked: &Asked, plan: &Vectors) -> Result<SourceFile> {
    let options = ImportOptions { layer_shift: plan.layer_shift, ..ImportOptions::default() };
    let source = match asked.form {
        FileForm::Any => import::open(&asked.path, &options),
        FileForm::Native => import::open_native(&asked.path, &options),
    };
    source.map_err(unreadable)
}

/// A file that cannot be read is the user's input, whatever the system says about it.
pub fn unreadable(error: Refusal) -> Error {
    match error {
        Refusal::Io { path, source } => Error::Read { path, source },
        error => error.into(),
    }
}

/// Vectors on a model: their plan, and what is known about it.
#[derive(Clone, Default)]
pub struct Steering {
    stack: Stack,
    /// The stream's length where it was measured on this model.
    lengths: BTreeMap<Site, f32>,
    lowered: Lowered,
    /// The model; none where nothing steers.
    model: Option<Arc<Model>>,
}

impl Steering {
    /// No vector at all.
    pub fn none() -> Steering {
        Steering::default()
    }

    /// Vectors that this model takes. What is to be told about them is told.
    fn open(
        sources: Vec<SourceFile>,
        plan: &Vectors,
        opened: &Opened,
        console: &Console,
    ) -> Result<Steering> {
        if sources.is_empty() {
            return Ok(Steering::none());
        }
        let mut ids: Vec<String> =
            sources.iter().map(|source| source.file.card().name.clone()).collect();
        dose::name_apart(&mut ids);
        let mut stack = Stack::new(plan.dose);
        for ((source, asked), id) in sources.into_iter().zip(&plan.files).zip(ids) {
            source.warnings.iter().for_each(|text| console.warn(text));
            let warnings = admit(&source.file, &opened.model, &plan.accept)?;
            let (file, options) = (Arc::new(source.file), options(asked, plan));
            let (sha256, standing) = (source.sha256, Standing::Free);
            stack.push(StackVector { id, sha256, file, warnings, options, standing })?;
        }
        for vector in stack.vectors() {
            let tell = |warning| console.warn(format!("vector {} {warning}", vector.id));
            vector.warnings.iter().for_each(tell);
        }
        // What a file says of the stream's length is a claim, which the model must bear out.
        let lengths = match measurable(opened, console) {
            true => timed(console, &mut |progress| stack.stream_lengths(&opened.model, progress))?,
            false => BTreeMap::new(),
        };
        // What could never act is an error here, and not after an answer.
        let steering = Steering::lower(stack, lengths, opened.model.clone())?;
        steering.tell(console);
        Ok(steering)
    }

    fn lower(stack: Stack, lengths: BTreeMap<Site, f32>, model: Arc<Model>) -> Result<Steering> {
        let lowered = stack.lower(&lengths, model.decoder().spec()).map_err(|e| *e.source)?;
        Ok(Steering { stack, lengths, lowered, model: Some(model) })
    }

    /// The same vectors with another scale for one of them.
    pub fn rescaled(&self, name: &str, scale: f32) -> Result<Steering> {
        let index = self.stack.vectors().position(|vector| vector.id == name);
        let (Some(index), Some(model)) = (index, &self.model) else {
            let names: Vec<&str> = self.names().collect();
            let problem = match names.is_empty() {
                true => "names no vector: none was given with --steer".to_owned(),
                false => format!("names none of {}", names.join(", ")),
            };
            return Err(Error::usage("/steer", problem));
        };
        if !scale.is_finite() {
            return Err(Error::usage("/steer", "has a scale that is not finite"));
        }
        let stack = self.stack.rescaled(index, scale)?;
        Steering::lower(stack, self.lengths.clone(), model.clone())
    }

    /// The stream's length at each site where the vectors were held against one that was measured.
    pub fn lengths(&self) -> impl Iterator<Item = (Site, f32)> {
        self.lengths.iter().map(|(site, length)| (*site, *length))
    }

    /// The names of the vectors, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.stack.vectors().map(|vector| vector.id.as_str())
    }

    /// Whether nothing is steered.
    pub fn is_empty(&self) -> bool {
        self.stack.is_empty()
    }

    /// What a session runs under.
    pub fn plan(&self) -> &Plan {
        &self.lowered.plan
    }

    /// Refuses a prompt on which a vector would act on no token, now or later.
    pub fn admit(&self, prompt: &[u32]) -> Result<()> {
        let each = self.stack.vectors().zip(&self.lowered.applied);
        let mut acting = each.filter(|(_, applied)| applied.scale != 0.0);
        Ok(acting.try_for_each(|(vector, _)| vector.scope().admit(prompt))?)
    }

    /// How many different operations, and which.
    pub fn operations(&self) -> BTreeSet<&'static str> {
        self.lowered.applied.iter().map(|applied| applied.op.as_str()).collect()
    }

    /// Tells what is to be told about doses.
    fn tell(&self, console: &Console) {
        self.lowered.doses.notes.iter().for_each(|note| console.warn(note));
    }

    /// The same after a change of scale, without what was told of the files at first.
    pub fn tell_again(&self, console: &Console) {
        let of_file = |note: &&Note| matches!(note, Note::NormDrift { .. });
        let notes = self.lowered.doses.notes.iter();
        notes.filter(|note| !of_file(note)).for_each(|note| console.warn(note));
    }

    /// Vectors and scales, for people.
    pub fn label(&self) -> String {
        let each = self.lowered.applied.iter().map(|v| format!("{} ×{}", v.id, v.scale));
        each.collect::<Vec<_>>().join(", ")
    }

    /// The vectors as they were asked for.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The vectors as they act on the model.
    pub fn lowered(&self) -> &Lowered {
        &self.lowered
    }
}

/// How a vector is to be applied.
fn options(asked: &Asked, plan: &Vectors) -> SteerOptions {
    SteerOptions {
        scale: asked.scale,
        scope: plan.reach.clone(),
        blocks: plan.blocks.clone(),
        null: plan.null,
        ..SteerOptions::default()
    }
}

/// Whether the model may be steered with a file, under any of the words the caller gave.
pub fn admit(file: &VectorFile, model: &Model, accept: &[String]) -> Result<Vec<Warning>> {
    let pin = ModelPin::of(model, Pinned::Extract)?;
    Ok(file.admit(&pin, accept.iter().map(String::as_str))?)
}

/// The stream's median length at some sites of a model, measured once in a process. It is told where it takes long.
pub fn norms(opened: &Opened, sites: &[Site], console: &Console) -> Result<BTreeMap<Site, f32>> {
    if sites.is_empty() || !measurable(opened, console) {
        return Ok(BTreeMap::new());
    }
    console.debug(format!("measuring the stream at {} sites", sites.len()));
    timed(console, &mut |progress| medians(&opened.model, sites, progress))
}

/// Whether the model reads text, on which its stream is measured. Where it reads none, files are believed, and it is told.
fn measurable(opened: &Opened, console: &Console) -> bool {
    let readable = opened.model.tokenizer().is_ok();
    if !readable {
        console.note("the model has no tokenizer to measure its stream with; doses are those of the files' own stream_norm");
    }
    readable
}

/// Hears how many windows of how many are measured.
type Windows<'p> = &'p mut dyn FnMut(usize, usize);
/// Lengths by site, or why there are none.
type Lengths = std::result::Result<BTreeMap<Site, f32>, Refusal>;

/// Measures, and tells of it where it takes long.
fn timed(
    console: &Console,
    measure: &mut dyn FnMut(Windows<'_>) -> Lengths,
) -> Result<BTreeMap<Site, f32>> {
    let (meter, started, mut told) = (Meter::new(console), Instant::now(), false);
    let norms = measure(&mut |done, all| {
        if told {
            meter.advance(1);
        } else if done < all && started.elapsed() > TOLD_AFTER {
            told = true;
            meter.begin_items("measuring the stream's length", all);
            meter.advance(done as u64);
        }
    });
    meter.end();
    Ok(norms?)
}
