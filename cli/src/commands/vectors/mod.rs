//! Vectors: from their files to a plan that a model takes, with every refusal before the first token.

mod receipt;

pub use receipt::Receipt;

use super::opened::Opened;
use crate::args::Reach;
use crate::console::Console;
use crate::error::{Error, Result};
use crate::plan::{Asked, FileForm, Vectors};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use trimtab_runtime::hook::Intervention;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;
use trimtab_steering::compose::dose::{DoseLimit, Dosed, Doses, Note};
use trimtab_steering::file::card::{ModelPin, Operation, Pinned};
use trimtab_steering::file::{Warning, file_sha256};
use trimtab_steering::import::{self, ImportOptions};
use trimtab_steering::neutral::stream_norms;
use trimtab_steering::scope::Scope;
use trimtab_steering::{Error as Refusal, Steer, SteerOptions, VectorFile};

/// Tokens over which a stream's length is measured.
const NORM_TOKENS: usize = 512;

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

/// Reads the files of a plan, before any model is opened.
pub fn read(plan: &Vectors) -> Result<Vec<Source>> {
    plan.files.iter().map(|asked| source(asked, plan)).collect()
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
            warnings.iter().for_each(|warning| console.warn(told(&name, warning)));
            let (sites, scale) = (steer.sites(), steer.scale());
            let Source { sha256, file, .. } = source;
            vectors.push(Applied { sha256, file, options, sites, scale, warnings });
        }
        let missing = unknown_norms(&vectors, &pin);
        let measured = norms(opened, &missing, console)?;
        let steering = Steering { vectors, limit: plan.dose, measured, ..Steering::none() };
        let steering = steering.dosed()?;
        steering.tell(console);
        // What could never act is an error here, and not after an answer.
        steering.plan.bind(opened.model.decoder().spec())?;
        Ok(steering)
    }

    /// The same vectors within the dose limit, and their plan.
    fn dosed(mut self) -> Result<Steering> {
        let dosed: Vec<Dosed<'_>> =
            self.vectors.iter().map(|v| Dosed::new(&v.file, &v.options)).collect();
        let doses = self.limit.check(&dosed, &self.measured)?;
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
        let mut named = vectors.iter_mut().filter(|v| v.file.card().name == name);
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
        self.vectors.iter().map(|v| v.file.card().name.as_str())
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
    pub fn tell(&self, console: &Console) {
        self.notes().iter().for_each(|note| console.warn(note));
    }

    /// What is to be told about doses.
    fn notes(&self) -> &[Note] {
        self.doses.as_ref().map_or(&[], |doses| doses.notes.as_slice())
    }

    /// Vectors and scales, for people.
    pub fn label(&self) -> String {
        let each = self.vectors.iter().map(|v| format!("{} ×{}", v.file.card().name, v.scale));
        each.collect::<Vec<_>>().join(", ")
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
        scope: plan.reach.map(scope),
        blocks: plan.blocks.clone(),
        null: plan.null,
        ..SteerOptions::default()
    }
}

fn scope(reach: Reach) -> Scope {
    match reach {
        Reach::All => Scope::all(),
        Reach::Prompt => Scope::prompt(),
        Reach::Generated => Scope::generated(),
        Reach::Last => Scope::last(),
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

/// The sites whose stream must be measured: where a card does not say its length, and where it says that of another
/// model.
fn unknown_norms(vectors: &[Applied], pin: &ModelPin) -> Vec<Site> {
    let mut sites = BTreeSet::new();
    for vector in vectors {
        let card = vector.file.card();
        if matches!(card.operation, Operation::Project | Operation::Clamp { .. }) {
            continue;
        }
        let same =
            card.model.as_ref().is_some_and(|made_on| made_on.weights_sha256 == pin.weights_sha256);
        let known = |site: &Site| card.sites.get(site).is_some_and(|e| e.stream_norm.is_some());
        sites.extend(vector.sites.iter().filter(|site| !same || !known(site)));
    }
    sites.into_iter().collect()
}

/// The stream's median length at some sites of a model.
pub fn norms(opened: &Opened, sites: &[Site], console: &Console) -> Result<BTreeMap<Site, f32>> {
    if sites.is_empty() {
        return Ok(BTreeMap::new());
    }
    console.debug(format!("measuring the stream at {} sites", sites.len()));
    let norms = stream_norms(&opened.model, sites, NORM_TOKENS)?;
    Ok(norms.into_iter().map(|(site, norm)| (site, norm.median)).collect())
}
