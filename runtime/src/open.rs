//! From a name to a model that can talk: files, decoder, tokenizer, template and a pool, opened together.

use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::hub::{Local, ModelRef, Resolver};
use crate::kv::{KvPool, KvType};
use crate::model::weights::Weights;
use crate::model::{Decoder, DecoderOptions};
use crate::plan::Plan;
use crate::sample::SamplingParams;
use crate::session::Session;
use crate::text::{ChatTemplate, Message, RenderOptions, Special, Tokenizer};
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
    tokenizer: Option<Arc<Tokenizer>>,
    template: Option<ChatTemplate>,
    sampling: SamplingParams,
    pool: KvPool,
    identity: Identity,
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
        let tokenizer = tokenizer(&weights, &local.path)?.map(Arc::new);
        let template = match &tokenizer {
            Some(tokenizer) => template(&weights, &local.path, options, tokenizer)?,
            None => None,
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
        self.tokenizer.as_ref().ok_or(Error::NoTokenizer)
    }

    /// The chat template.
    pub fn template(&self) -> Result<&ChatTemplate> {
        self.template.as_ref().ok_or_else(|| crate::text::Error::NoTemplate.into())
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
        let tokenizer = self.tokenizer()?;
        Ok(tokenizer.with_bos(tokenizer.encode(text, Special::Plain)?))
    }

    /// What a prompt's keys and values depend on besides tokens, plan and decoder, for prefix sharing.
    pub fn prefix_space(&self, owner: &str) -> Fingerprint {
        let template = self.template.as_ref().map_or("", ChatTemplate::sha256);
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

fn tokenizer(weights: &Weights, path: &Path) -> Result<Option<Tokenizer>> {
    if let Some(metadata) = weights.metadata() {
        let known = metadata.value("tokenizer.ggml.model").is_some();
        return Ok(if known { Some(Tokenizer::from_metadata(metadata)?) } else { None });
    }
    let file = path.join("tokenizer.json");
    Ok(if file.exists() { Some(Tokenizer::from_file(&file)?) } else { None })
}

fn template(
    weights: &Weights,
    path: &Path,
    options: &OpenOptions,
    tokenizer: &Arc<Tokenizer>,
) -> Result<Option<ChatTemplate>> {
    use crate::text::Error::NoTemplate;
    let found = match (&options.template, weights.metadata()) {
        (TemplateChoice::Text(source), _) => ChatTemplate::new(source, tokenizer.clone()),
        (TemplateChoice::OfModel, Some(m)) => ChatTemplate::from_metadata(m, tokenizer.clone()),
        (TemplateChoice::OfModel, None) => ChatTemplate::from_folder(path, tokenizer.clone()),
    };
    match found {
        Ok(template) => Ok(Some(template)),
        // Base models have none; whoever wants to chat is told then.
        Err(NoTemplate) => Ok(None),
        Err(e) => Err(e.into()),
    }
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
    let text = std::fs::read_to_string(&file).map_err(io)?;
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
