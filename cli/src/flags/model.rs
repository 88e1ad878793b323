//! Which model, where it runs and how it is loaded: the flags, and what they come to.

use super::words;
use crate::error::{Error, Result};
use clap::Args;
use std::path::PathBuf;
use trimtab_runtime::OpenOptions;
use trimtab_runtime::decoder::{DecoderOptions, DenseType};
use trimtab_runtime::device::{Device, DeviceChoice};
use trimtab_runtime::hub::{DEFAULT, ModelRef, Reach};
use trimtab_runtime::kv::KvType;
use trimtab_runtime::model::TemplateChoice;
use trimtab_runtime::text::{Variables, check_variables};

/// A choice that is written out, because neither is the default everywhere.
const ON_OFF: [(&str, bool); 2] = [("on", true), ("off", false)];

/// Where a model's files come from.
#[derive(Debug, Clone, Args)]
pub struct SourceArgs {
    /// A repository of the Hugging Face hub (also -hf, -hfr).
    #[arg(long, value_name = "USER/REPO[:QUANT]", help_heading = "Model")]
    pub hf_repo: Option<String>,
    /// The file to take from the repository (also -hff).
    #[arg(long, value_name = "FILE", help_heading = "Model")]
    pub hf_file: Option<String>,
    /// Branch, tag or commit of the repository.
    #[arg(long, value_name = "REV", help_heading = "Model")]
    pub revision: Option<String>,
    /// Use no network.
    #[arg(long, help_heading = "Model")]
    pub offline: bool,
}

/// Flags of every command that opens a model.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// A .gguf file, a folder, hf:owner/repo[:file], or a name that `models list` shows
    /// [default: smollm2-135m-instruct].
    #[arg(
        short,
        long,
        visible_alias = "model-id",
        value_name = "WHAT",
        conflicts_with = "hf_repo"
    )]
    pub model: Option<String>,
    #[command(flatten)]
    pub source: SourceArgs,
    /// Tokens a sequence may have [default: the model's, at most 8192].
    #[arg(short, long, value_name = "N")]
    pub ctx_size: Option<usize>,
    /// CPU threads [default: physical cores]
    #[arg(short, long, value_name = "N")]
    pub threads: Option<usize>,
    /// Tokens of one sequence that are run in one pass.
    #[arg(short, long, value_name = "N", default_value_t = 512)]
    pub batch_size: usize,
    /// cpu, cuda[:N] or metal [default: the best that is built in] (also -dev).
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// The same as --device cpu.
    #[arg(long, conflicts_with = "device")]
    pub cpu: bool,
    /// Blocks on the GPU: 0 or all [default: all] (also -ngl).
    #[arg(long, visible_alias = "n-gpu-layers", value_name = "N")]
    pub gpu_layers: Option<String>,
    /// Type of dense weights; f32 only on the CPU [default: f32 on the CPU, bf16 elsewhere].
    #[arg(
        long,
        value_name = "f32|f16|bf16", value_parser = words([("f32", DenseType::F32), ("f16", DenseType::F16), ("bf16", DenseType::Bf16)]), hide_possible_values = true
    )]
    pub dtype: Option<DenseType>,
    /// chatml, or a template's Jinja text [default: the model's].
    #[arg(long, value_name = "chatml|JINJA")]
    pub chat_template: Option<String>,
    /// A file with the chat template.
    #[arg(long, value_name = "FILE", conflicts_with = "chat_template")]
    pub chat_template_file: Option<PathBuf>,
    /// Whether a sequence's results are independent of the others in its batch: always so on the CPU,
    /// not promised elsewhere.
    #[arg(long, value_name = "on|off", value_parser = words(ON_OFF), hide_possible_values = true)]
    pub batch_invariant: Option<bool>,
    /// Type of keys and values; f16 takes half the memory [default: f32].
    #[arg(
        long,
        value_name = "f32|f16", value_parser = words([("f32", KvType::F32), ("f16", KvType::F16)]), hide_possible_values = true
    )]
    pub kv_type: Option<KvType>,
    /// Memory for keys and values, with K, M or G for multiples of 1024
    /// [default: four full sequences, at most 1G].
    #[arg(long, value_name = "BYTES")]
    pub kv_memory: Option<String>,
}

/// What the chat template is given.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Model")]
pub struct TemplateArgs {
    /// Variables of the chat template, such as '{"enable_thinking": false}'.
    #[arg(long, value_name = "JSON")]
    pub chat_template_kwargs: Option<String>,
    /// Whether the model is to think before it answers: the template's enable_thinking.
    #[arg(long, value_name = "on|off", value_parser = words(ON_OFF), hide_possible_values = true)]
    pub thinking: Option<bool>,
}

/// The one template that has a name here.
const CHATML: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n\
    {{ message.content }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// Where a model's files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What is asked for.
    pub model: ModelRef,
    /// Whether the network may be used; `None` leaves it to `HF_HUB_OFFLINE`.
    pub reach: Option<Reach>,
}

/// Which model, where it runs and how it is loaded.
#[derive(Debug, Clone)]
pub struct Opening {
    pub source: Source,
    /// A file with the chat template, instead of the template in the options.
    pub template_file: Option<PathBuf>,
    /// Bytes of keys and values, instead of the pool's size in the options.
    pub kv_bytes: Option<usize>,
    pub options: OpenOptions,
    /// CPU threads; `None` for one per physical core.
    pub threads: Option<usize>,
    /// Tokens of one sequence in one pass.
    pub chunk: usize,
}

impl Opening {
    /// Understands the shared flags.
    pub fn of(args: ModelArgs) -> Result<Opening> {
        let device = device(&args)?;
        check_batch_invariant(args.batch_invariant, device)?;
        for (flag, value) in [("--threads", args.threads), ("--batch-size", Some(args.batch_size))]
        {
            at_least_one(flag, value)?;
        }
        let decoder = DecoderOptions {
            // llama.cpp's 0 means the model's own.
            context: args.ctx_size.filter(|n| *n > 0),
            dense: args.dtype.unwrap_or(DenseType::Default),
            ..DecoderOptions::default()
        };
        Ok(Opening {
            options: OpenOptions {
                device,
                decoder,
                template: args.chat_template.map_or(TemplateChoice::OfModel, template),
                kv_type: args.kv_type.unwrap_or(KvType::F32),
                ..OpenOptions::default()
            },
            template_file: args.chat_template_file,
            kv_bytes: args.kv_memory.as_deref().map(pool).transpose()?,
            threads: args.threads,
            chunk: args.batch_size,
            source: Source::of(args.model, args.source)?,
        })
    }

    /// The same, with variables for the chat template.
    pub fn with_variables(args: ModelArgs, template: TemplateArgs) -> Result<Opening> {
        let variables = variables(template)?;
        let mut opening = Opening::of(args)?;
        opening.options.variables = variables;
        Ok(opening)
    }
}

/// Refuses a count of 0.
pub fn at_least_one(flag: &'static str, value: Option<usize>) -> Result<()> {
    match value {
        Some(0) => Err(Error::usage(flag, "is 0, at least 1 is needed")),
        None | Some(_) => Ok(()),
    }
}

impl Source {
    /// Understands what was typed for the model and its repository.
    pub fn of(model: Option<String>, args: SourceArgs) -> Result<Source> {
        let (file, revision) = (args.hf_file.as_deref(), args.revision.as_deref());
        let text = model.as_deref().unwrap_or(DEFAULT).trim();
        let repo = args.hf_repo.as_deref().or(text.strip_prefix("hf:"));
        let model = match repo {
            Some(repo) => hub(repo, file, revision)?,
            None if file.is_some() => return Err(needs_repository("--hf-file")),
            None if revision.is_some() => return Err(needs_repository("--revision")),
            None => ModelRef::parse(text).map_err(runtime)?,
        };
        Ok(Source { model, reach: args.offline.then_some(Reach::Offline) })
    }
}

fn hub(repo: &str, file: Option<&str>, revision: Option<&str>) -> Result<ModelRef> {
    ModelRef::from_hf_flag(repo, file, revision).map_err(runtime)
}

fn runtime(e: trimtab_runtime::hub::Error) -> Error {
    trimtab_runtime::Error::from(e).into()
}

fn needs_repository(flag: &'static str) -> Error {
    Error::usage(flag, "needs a repository of the hub: --hf-repo or --model hf:owner/repo")
}

fn device(args: &ModelArgs) -> Result<DeviceChoice> {
    let named = args.device.as_deref().map(str::parse).transpose()?;
    let named = if args.cpu { Some(DeviceChoice::Cpu) } else { named };
    match (args.gpu_layers.as_deref(), named) {
        (None | Some("all"), named) => Ok(named.unwrap_or_default()),
        (Some("0"), None | Some(DeviceChoice::Cpu)) => Ok(DeviceChoice::Cpu),
        (Some("0"), Some(_)) => Err(Error::usage("--gpu-layers", "is 0, but --device names a GPU")),
        (Some(n), _) => {
            let problem = format!("is {n}, only 0 and all can be had");
            Err(Error::usage("--gpu-layers", problem))
        }
    }
}

/// On the CPU it is always so and cannot be had otherwise; elsewhere it is not promised.
fn check_batch_invariant(asked: Option<bool>, device: DeviceChoice) -> Result<()> {
    let may_be_gpu = device != DeviceChoice::Cpu && Device::built_in().len() > 1;
    let why = match asked {
        Some(true) if may_be_gpu => "is kept on the CPU only: add --device cpu",
        Some(false) if !may_be_gpu => {
            "off is refused: on the CPU sequences are always independent of each other, at no cost"
        }
        None | Some(_) => return Ok(()),
    };
    Err(Error::usage("--batch-invariant", why))
}

fn template(text: String) -> TemplateChoice {
    match text.as_str() {
        "chatml" => TemplateChoice::Text(CHATML.to_owned()),
        _ if text.contains('{') => TemplateChoice::Text(text),
        _ => TemplateChoice::Named(text),
    }
}

/// The variable by which templates ask whether the model is to think.
const THINKING: &str = "enable_thinking";

/// Understands what a chat template is to be given.
fn variables(args: TemplateArgs) -> Result<Variables> {
    const FLAG: &str = "--chat-template-kwargs";
    let text = args.chat_template_kwargs.as_deref().unwrap_or("{}");
    let mut variables: Variables = serde_json::from_str(text).map_err(|error| {
        let problem = format!("is no JSON object such as '{{\"{THINKING}\": false}}': {error}");
        Error::usage(FLAG, problem)
    })?;
    check_variables(&variables).map_err(|error| Error::usage(FLAG, error.to_string()))?;
    if let Some(thinking) = args.thinking
        && variables.insert(THINKING.to_owned(), thinking.into()).is_some()
    {
        let problem = format!("sets {THINKING}, and so does --thinking");
        return Err(Error::usage(FLAG, problem));
    }
    Ok(variables)
}

fn pool(text: &str) -> Result<usize> {
    bytes(text).map_err(|problem| Error::usage("--kv-memory", format!("{text:?} {problem}")))
}

/// Bytes, at least 1, with K, M or G for multiples of 1024.
pub fn bytes(text: &str) -> Result<usize, &'static str> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let bytes = digits.parse::<usize>().ok().and_then(|n| n.checked_mul(unit));
    bytes.filter(|n| *n > 0).ok_or("is no size such as 512M")
}

/// The model, if the user named one.
pub fn if_named(args: ModelArgs) -> Result<Option<Opening>> {
    is_named(&args).then(|| Opening::of(args)).transpose()
}

/// Whether the user named a model.
pub fn is_named(args: &ModelArgs) -> bool {
    args.model.is_some() || args.source.hf_repo.is_some()
}
