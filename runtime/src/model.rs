//! From a name to a model that can talk: files, decoder, tokenizer, template and a pool, opened together.
//!
//! A tokenizer or template that cannot be used does not keep a model from being opened: token ids need none. Who asks
//! for it is told why it cannot be had.

use crate::decoder::weights::Weights;
use crate::decoder::{Decoder, DecoderOptions};
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::filetype;
use crate::fingerprint::Fingerprint;
use crate::hub::{Local, ModelRef, Resolver};
use crate::kv::{KvPool, KvType};
use crate::plan::Plan;
use crate::sample::SamplingParams;
use crate::session::Session;
use crate::text::{ChatTemplate, Message, RenderOptions, Rendered, Special, Tokenizer, Variables};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Bytes of keys and values a model's own pool may take unless more is asked for.
const POOL_BYTES: usize = 1 << 30;
/// Full-length sequences a model's own pool is made for, if that fits.
const POOL_SEQUENCES: usize = 4;

/// Which chat template is used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TemplateChoice {
    /// The model's own.
    #[default]
    OfModel,
    /// The one of this name, where the model has several.
    Named(String),
    /// This Jinja text.
    Text(String),
}

/// How a model is opened.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// Where it runs.
    pub device: DeviceChoice,
    /// How its weights are loaded.
    pub decoder: DecoderOptions,
    /// Its chat template.
    pub template: TemplateChoice,
    /// Variables that the template is given unless a rendering says otherwise.
    pub variables: Variables,
    /// Tokens the key–value pool holds; `None` for full sequences, at most 1 GiB.
    pub pool_tokens: Option<usize>,
    /// How many full sequences that are; `None` for four.
    pub pool_sequences: Option<usize>,
    /// What keys and values are kept as.
    pub kv_type: KvType,
}

/// An opened model: shared weights, tokenizer and template, and a pool that its sessions share.
#[derive(Debug)]
pub struct Model {
    name: String,
    revision: Option<String>,
    decoder: Arc<Decoder>,
    tokenizer: Part<Arc<Tokenizer>>,
    template: Part<ChatTemplate>,
    sampling: SamplingParams,
    pool: KvPool,
    identity: Identity,
}

/// A part of a model that not every use needs.
#[derive(Debug)]
enum Part<T> {
    Ready(T),
    /// The files have none.
    Absent,
    /// The files have one that cannot be used.
    Flawed(Arc<crate::text::Error>),
}

impl<T> Part<T> {
    fn of(found: std::result::Result<Option<T>, crate::text::Error>) -> Part<T> {
        match found {
            Ok(Some(part)) => Part::Ready(part),
            Ok(None) | Err(crate::text::Error::NoTemplate) => Part::Absent,
            Err(error) => Part::Flawed(Arc::new(error)),
        }
    }
}

/// What tells one build of a model from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Cheap digest over all tensors.
    pub weights_sha256: String,
    /// The stored type most of the weights have, such as `Q4_1`.
    pub quantization: String,
}

impl Model {
    /// Opens a model by what users type after `--model`, fetching it if it is not here yet.
    pub fn open(name: &str) -> Result<Model> {
        let local = Resolver::new().resolve(&ModelRef::parse(name)?)?;
        Model::from_local(&local, &OpenOptions::default())
    }

    /// Opens files that are on this machine.
    pub fn from_local(local: &Local, options: &OpenOptions) -> Result<Model> {
        let weights = Weights::open(&local.path)?;
        let device = options.device.open()?;
        let decoder = Arc::new(Decoder::load(&weights, &options.decoder, &device)?);
        let tokenizer = Part::of(tokenizer(&weights, &local.path).map(|t| t.map(Arc::new)));
        let template = match &tokenizer {
            Part::Ready(tokenizer) => template(&weights, &local.path, options, tokenizer)?,
            Part::Absent | Part::Flawed(_) => Part::Absent,
        };
        let tokens = pool_tokens(&decoder, options);
        let pool = KvPool::with_type(decoder.spec(), tokens, options.kv_type, &device)?;
        let identity =
            Identity { weights_sha256: weights.sha256(), quantization: quantization(&weights) };
        // What was read is in memory; the mapped pages need not stay resident beside it.
        weights.release_pages();
        Ok(Model {
            name: local.name.clone(),
            revision: local.revision.clone(),
            sampling: sampling(&local.path)?,
            decoder,
            tokenizer,
            template,
            pool,
            identity,
        })
    }

    /// Its short name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The commit its files come from, if known.
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    /// What tells this build from others.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The weights.
    pub fn decoder(&self) -> &Arc<Decoder> {
        &self.decoder
    }

    /// The tokenizer; a model folder without `tokenizer.json` has none and takes token ids only.
    pub fn tokenizer(&self) -> Result<&Arc<Tokenizer>> {
        match &self.tokenizer {
            Part::Ready(tokenizer) => Ok(tokenizer),
            Part::Absent => Err(Error::NoTokenizer),
            Part::Flawed(error) => Err(Error::Tokenizer(error.clone())),
        }
    }

    /// The chat template. Without a tokenizer there is none, and then that is the error.
    pub fn template(&self) -> Result<&ChatTemplate> {
        self.tokenizer()?;
        match &self.template {
            Part::Ready(template) => Ok(template),
            Part::Absent => Err(crate::text::Error::NoTemplate.into()),
            Part::Flawed(error) => Err(Error::Template(error.clone())),
        }
    }

    /// The pool its sessions share.
    pub fn pool(&self) -> &KvPool {
        &self.pool
    }

    /// Sampling defaults of the model's `generation_config.json`, or none.
    pub fn sampling(&self) -> SamplingParams {
        self.sampling
    }

    /// An empty sequence under a plan.
    pub fn session(&self, plan: Plan) -> Result<Session> {
        Session::new(self.decoder.clone(), &self.pool, plan)
    }

    /// A conversation as the tokens of a prompt that asks for the next answer.
    pub fn chat_prompt(&self, messages: &[Message]) -> Result<Vec<u32>> {
        let rendered = self.template()?.render(messages, &RenderOptions::default())?;
        Ok(self.tokenizer()?.encode_rendered(&rendered)?)
    }

    /// Plain text as the tokens of a prompt; control tokens written in it stay text.
    pub fn text_prompt(&self, text: &str) -> Result<Vec<u32>> {
        self.raw_prompt(text, Special::Plain)
    }

    /// A text as the tokens of a prompt, and what control tokens written in it are.
    pub fn raw_prompt(&self, text: &str, special: Special) -> Result<Vec<u32>> {
        let tokenizer = self.tokenizer()?;
        Ok(tokenizer.with_bos(tokenizer.encode(text, special)?))
    }

    /// Tokens that a prompt and its answer may have together.
    pub fn room(&self) -> usize {
        self.decoder.context().min(self.pool.tokens())
    }

    /// The tokens of a rendered conversation; what cannot fit [`Model::room`] is refused before it is tokenised, as far as
    /// its length tells. Only then is tokenising bounded by the context, whatever people send.
    pub fn rendered_prompt_within(&self, rendered: &Rendered) -> Result<Vec<u32>> {
        let tokenizer = self.tokenizer()?;
        self.admits(tokenizer.fewest_tokens_rendered(rendered))?;
        Ok(tokenizer.encode_rendered(rendered)?)
    }

    /// As [`Model::raw_prompt`], and refused as by [`Model::rendered_prompt_within`].
    pub fn raw_prompt_within(&self, text: &str, special: Special) -> Result<Vec<u32>> {
        self.admits(self.tokenizer()?.fewest_tokens(text, special))?;
        self.raw_prompt(text, special)
    }

    /// Refuses a text that has at least so many tokens if that leaves no room for an answer.
    pub fn admits(&self, at_least: usize) -> Result<()> {
        match self.room() {
            room if at_least < room => Ok(()),
            room => Err(Error::PromptTooLong { at_least, room }),
        }
    }

    /// What a prompt's keys and values depend on besides tokens, plan and decoder, for prefix sharing.
    pub fn prefix_space(&self, owner: &str) -> Fingerprint {
        let template = self.template().map_or("", ChatTemplate::sha256);
        Fingerprint::builder("trimtab.space").text(template).text(owner).finish()
    }
}

fn pool_tokens(decoder: &Decoder, options: &OpenOptions) -> usize {
    let fits = POOL_BYTES / decoder.spec().kv_bytes_per_token(options.kv_type).max(1);
    // One full sequence must fit whatever it costs.
    let sequences = options.pool_sequences.unwrap_or(POOL_SEQUENCES);
    let default = sequences.saturating_mul(decoder.context()).min(fits).max(decoder.context());
    options.pool_tokens.unwrap_or(default)
}

fn tokenizer(
    weights: &Weights,
    path: &Path,
) -> std::result::Result<Option<Tokenizer>, crate::text::Error> {
    match weights.metadata() {
        None => Tokenizer::from_folder(path),
        Some(metadata) => match metadata.value("tokenizer.ggml.model") {
            None => Ok(None),
            Some(_) => Tokenizer::from_metadata(metadata).map(Some),
        },
    }
}

/// The template. One that was given and cannot be used is an error; the model's own then only cannot be had.
fn template(
    weights: &Weights,
    path: &Path,
    options: &OpenOptions,
    tokenizer: &Arc<Tokenizer>,
) -> Result<Part<ChatTemplate>> {
    let name = match &options.template {
        TemplateChoice::OfModel | TemplateChoice::Text(_) => None,
        TemplateChoice::Named(name) => Some(name.as_str()),
    };
    let found = match (&options.template, weights.metadata()) {
        (TemplateChoice::Text(source), _) => ChatTemplate::new(source, tokenizer.clone()),
        (_, Some(metadata)) => ChatTemplate::from_metadata(metadata, name, tokenizer.clone()),
        (_, None) => ChatTemplate::from_folder(path, name, tokenizer.clone()),
    };
    let found = match found {
        Ok(template) => Ok(Some(template.with_variables(options.variables.clone())?)),
        Err(error) if options.template == TemplateChoice::OfModel => Err(error),
        Err(error) => return Err(error.into()),
    };
    Ok(Part::of(found))
}

/// The type that holds most bytes of the matrices.
fn quantization(weights: &Weights) -> String {
    let mut bytes: BTreeMap<String, usize> = BTreeMap::new();
    for entry in weights.tensors().filter(|t| t.shape.len() == 2) {
        *bytes.entry(entry.dtype.to_string()).or_default() += entry.bytes;
    }
    bytes.into_iter().max_by_key(|(_, n)| *n).map_or("none".to_owned(), |(dtype, _)| dtype)
}

fn sampling(path: &Path) -> Result<SamplingParams> {
    let file = path.join("generation_config.json");
    let defaults = SamplingParams::default();
    if !file.exists() {
        return Ok(defaults);
    }
    let io = |source| Error::Io { path: file.display().to_string(), source };
    let text = filetype::read_text(&file, 1 << 20).map_err(|e| io(e.into()))?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| io(std::io::Error::other(e)))?;
    let number = |key: &str| json.get(key).and_then(serde_json::Value::as_f64).map(|v| v as f32);
    Ok(SamplingParams {
        temperature: number("temperature").unwrap_or(defaults.temperature),
        top_k: number("top_k").map_or(defaults.top_k, |k| k as usize),
        top_p: number("top_p").unwrap_or(defaults.top_p),
        min_p: number("min_p").unwrap_or(defaults.min_p),
    })
}
