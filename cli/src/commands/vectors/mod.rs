//! Vectors: from their files to a plan that a model takes, with every refusal before the first token.

mod receipt;

pub use receipt::Receipt;

use super::opened::Opened;
use crate::console::Console;
use crate::error::{Error, Result};
use crate::plan::vectors::{Asked, FileForm, Vectors};
use crate::progress::Meter;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use trimtab_runtime::hook::Intervention;
use trimtab_runtime::hub::Progress;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;
use trimtab_steering::compose::dose::{self, DoseLimit, Dosed, Doses, Note};
use trimtab_steering::file::card::{ModelPin, Pinned};
use trimtab_steering::file::{Warning, file_sha256};
use trimtab_steering::import::{self, ImportOptions};
use trimtab_steering::neutral::medians;
use trimtab_steering::scope::Scope;
use trimtab_steering::{Error as Refusal, Steer, SteerOptions, VectorFile};

/// How long measuring goes on before it is told.
const TOLD_AFTER: Duration = Duration::from_millis(400);

/// A vector file that was read.
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// SHA-256 of the whole file.
    pub sha256: String,
    /// What is in it, imported if it was another program's.
    pub file: VectorFile,
    /// What the import has to tell.
    pub warnings: Vec<String>,
}

/// Reads the files of a plan, before any model is opened. What no model could be steered with is refused here.
pub fn read(plan: &Vectors) -> Result<Vec<Source>> {
    let sources: Vec<Source> =
        plan.files.iter().map(|asked| source(asked, plan)).collect::<Result<_>>()?;
    for (source, asked) in sources.iter().zip(&plan.files) {
        Steer::new(&source.file, &options(asked, plan))?;
    }
    Ok(sources)
}

fn source(asked: &Asked, plan: &Vectors) -> Result<Source> {
    let path = asked.path.as_path();
    let options = ImportOptions { layer_shift: plan.layer_shift, ..ImportOptions::default() };
    match asked.form {
        FileForm::Any => read_any(path, &options),
        FileForm::Native => read_native(path, &options),
    }
}

/// Reads a file of ours.
fn read_native(path: &Path, options: &ImportOptions) -> Result<Source> {
    let file = VectorFile::open(path).map_err(unreadable)?;
    if options.layer_shift.is_some_and(|shift| shift != 0) {
        let reason = format!("{} says at which sites it acts", path.display());
        return Err(Refusal::Refused { what: "layer shift", reason }.into());
    }
    let sha256 = file_sha256(path).map_err(unreadable)?;
    Ok(Source { path: path.to_owned(), sha256, file, warnings: Vec::new() })
}

/// Reads a file of ours, or one that says enough to be imported.
pub fn read_any(path: &Path, options: &ImportOptions) -> Result<Source> {
    if !import::is_foreign(path).map_err(unreadable)? {
        return read_native(path, options);
    }
    let sha256 = file_sha256(path).map_err(unreadable)?;
    let imported = import::read(path, options).map_err(unreadable)?;
    let warnings = imported.warnings;
    Ok(Source { path: path.to_owned(), sha256, file: imported.file, warnings })
}

/// A file that cannot be read is the user's input, whatever the system says about it.
pub fn unreadable(error: Refusal) -> Error {
    match error {
        Refusal::Io { path, source } => Error::Read { path, source },
        error => error.into(),
    }
}

/// Vectors on a model: their plan, and what is known about it.
pub struct Steering {
    vectors: Vec<Applied>,
    limit: DoseLimit,
    /// The stream's length where it was measured on this model.
    measured: BTreeMap<Site, f32>,
    doses: Option<Doses>,
    plan: Plan,
}

/// A vector and how it is applied.
#[derive(Clone)]
struct Applied {
    /// The card's name, with a number where another vector has the same.
    name: String,
    sha256: String,
    file: VectorFile,
    options: SteerOptions,
    /// Where it acts.
    sites: Vec<Site>,
    /// The scale in force.
    scale: f32,
    warnings: Vec<Warning>,
}

impl Steering {
    /// No vector at all.
    pub fn none() -> Steering {
        Steering {
            vectors: Vec::new(),
            limit: DoseLimit::default(),
            measured: BTreeMap::new(),
            doses: None,
            plan: Plan::empty(),
        }
    }

    /// Vectors that this model takes. What is to be told about them is told.
    pub fn open(
        sources: Vec<Source>,
        plan: &Vectors,
        opened: &Opened,
        console: &Console,
    ) -> Result<Steering> {
        if sources.is_empty() {
            return Ok(Steering::none());
        }
        let pin = ModelPin::of(&opened.model, Pinned::Extract)?;
        let mut vectors = Vec::with_capacity(sources.len());
        for (source, asked) in sources.into_iter().zip(&plan.files) {
            source.warnings.iter().for_each(|text| console.warn(text));
            let warnings = admit(&source.file, &pin, &plan.accept)?;
            let options = options(asked, plan);
            let steer = Steer::new(&source.file, &options)?;
            let name = source.file.card().name.clone();
            let (sites, scale) = (steer.sites(), steer.scale());
            let Source { sha256, file, .. } = source;
            vectors.push(Applied { name, sha256, file, options, sites, scale, warnings });
        }
        dose::name_apart(vectors.iter_mut().map(|vector| &mut vector.name));
        for vector in &vectors {
            let name = &vector.name;
            vector.warnings.iter().for_each(|warning| console.warn(told(name, warning)));
        }
        let steering = Steering { vectors, limit: plan.dose, ..Steering::none() };
        // What a file says of the stream's length is a claim, which the model must bear out.
        let listed = steering.listed();
        let measured = match measurable(opened, console) {
            true => timed(console, &mut |progress| {
                dose::stream_lengths(&opened.model, &listed, progress)
            })?,
            false => BTreeMap::new(),
        };
        drop(listed);
        let steering = Steering { measured, ..steering };
        let steering = steering.dosed()?;
        steering.tell(console);
        // What could never act is an error here, and not after an answer.
        steering.plan.bind(opened.model.decoder().spec())?;
        Ok(steering)
    }

    /// The vectors as their doses are reckoned.
    fn listed(&self) -> Vec<Dosed<'_>> {
        let named = |v: &Applied| v.name.clone();
        self.vectors
            .iter()
            .map(|v| Dosed { name: named(v), ..Dosed::new(&v.file, &v.options) })
            .collect()
    }

    /// The same vectors within the dose limit, and their plan.
    fn dosed(mut self) -> Result<Steering> {
        let doses = self.limit.check(&self.listed(), &self.measured)?;
        let mut plan = Plan::empty();
        for (vector, scale) in self.vectors.iter_mut().zip(doses.scales()) {
            vector.scale = *scale;
            let options = SteerOptions { scale: Some(*scale), ..vector.options.clone() };
            plan = plan.then(Steer::new(&vector.file, &options)?);
        }
        Ok(Steering { doses: Some(doses), plan, ..self })
    }

    /// The same vectors with another scale for one of them.
    pub fn rescaled(&self, name: &str, scale: f32) -> Result<Steering> {
        let mut vectors = self.vectors.clone();
        let mut named = vectors.iter_mut().filter(|v| v.name == name);
        let Some(vector) = named.next() else {
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
        vector.options.scale = Some(scale);
        let (limit, measured) = (self.limit, self.measured.clone());
        Steering { vectors, limit, measured, ..Steering::none() }.dosed()
    }

    /// The names of the vectors, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.vectors.iter().map(|v| v.name.as_str())
    }

    /// Whether nothing is steered.
    pub fn is_empty(&self) -> bool {
        self.vectors.is_empty()
    }

    /// What a session runs under.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The tokens that each vector acts on, of those that act.
    pub fn scopes(&self) -> Vec<Scope> {
        let acting = self.vectors.iter().filter(|vector| vector.scale != 0.0);
        let scope = |v: &Applied| v.options.scope.clone().unwrap_or(v.file.card().scope.clone());
        acting.map(scope).collect()
    }

    /// Refuses a prompt on which a vector would act on no token, now or later.
    pub fn admit(&self, prompt: &[u32]) -> Result<()> {
        Ok(self.scopes().iter().try_for_each(|scope| scope.admit(prompt))?)
    }

    /// How many different operations, and which.
    pub fn operations(&self) -> BTreeSet<&'static str> {
        self.vectors.iter().map(|v| v.file.card().operation.kind()).collect()
    }

    /// Tells what is to be told about doses.
    fn tell(&self, console: &Console) {
        self.notes().iter().for_each(|note| console.warn(note));
    }

    /// The same after a change of scale, without what was told of the files at first.
    pub fn tell_again(&self, console: &Console) {
        let of_file = |note: &&Note| matches!(note, Note::NormDrift { .. });
        self.notes().iter().filter(|note| !of_file(note)).for_each(|note| console.warn(note));
    }

    /// What is to be told about doses.
    fn notes(&self) -> &[Note] {
        self.doses.as_ref().map_or(&[], |doses| doses.notes.as_slice())
    }

    /// Vectors and scales, for people.
    pub fn label(&self) -> String {
        let each = self.vectors.iter().map(|v| format!("{} ×{}", v.name, v.scale));
        each.collect::<Vec<_>>().join(", ")
    }

    /// What all vectors push at each site, as far as it is known beforehand.
    pub fn site_doses(&self) -> BTreeMap<Site, f64> {
        let sites = self.doses.iter().flat_map(|doses| &doses.sites);
        sites.map(|at| (at.site, at.dose)).collect()
    }

    /// The dose of a vector at a site, if it is known beforehand.
    fn dose(&self, vector: usize, site: Site) -> Option<f64> {
        let mut doses = self.doses.iter().flat_map(|doses| &doses.vectors);
        doses.find(|dose| dose.vector == vector && dose.site == site).map(|dose| dose.dose)
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
pub fn admit(file: &VectorFile, pin: &ModelPin, accept: &[String]) -> Result<Vec<Warning>> {
    let words = accept.iter().map(|word| Some(word.as_str()));
    let mut found = file.admit(pin, None);
    for word in words {
        if found.is_ok() {
            break;
        }
        // The refusal that says how to accept is the one without a word.
        found = file.admit(pin, word).or(found);
    }
    Ok(found?)
}

/// A warning, for people.
pub fn told(name: &str, warning: &Warning) -> String {
    match warning {
        Warning::ModelDiffers { made_on } => {
            format!("vector {name} was made on {made_on}; it is used as you asked")
        }
        Warning::TemplateDiffers => {
            format!("vector {name} was made under another chat template")
        }
        Warning::TokenizerDiffers => format!("vector {name} was made with another tokenizer"),
    }
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
