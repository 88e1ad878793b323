//! `models info`: shape, tensors, template, memory and tokens of a model.

use super::tensors::{Tensors, by_type};
use crate::commands::opened::{Opened, files, open};
use crate::commands::table::{Column, markdown};
use crate::console::Console;
use crate::document::Head;
use crate::error::Result;
use crate::exit::with_sources;
use crate::flags::model::{Opening, PoolSize, Source, Template};
use serde::Serialize;
use std::path::PathBuf;
use trimtab_runtime::decoder::DecoderOptions;
use trimtab_runtime::decoder::weights::Weights;
use trimtab_runtime::device::DeviceChoice;
use trimtab_runtime::kv::KvType;
use trimtab_runtime::text::{Tokenizer, Variables};
use trimtab_runtime::{Error as Runtime, Model};

#[derive(Serialize)]
struct Description {
    #[serde(flatten)]
    head: Head,
    path: PathBuf,
    shape: Shape,
    tensors: Vec<Tensors>,
    template: Option<About>,
    memory: Memory,
    tokens: Option<Tokens>,
}

#[derive(Serialize)]
struct Shape {
    blocks: usize,
    d_model: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    d_ff: usize,
    vocab_size: usize,
    context_length: usize,
}

#[derive(Serialize)]
struct About {
    sha256: String,
    chars: usize,
}

#[derive(Serialize)]
struct Memory {
    file_bytes: u64,
    weight_bytes: usize,
    kv_bytes_per_token: usize,
    context: usize,
    kv_bytes_per_sequence: usize,
}

#[derive(Serialize)]
struct Tokens {
    vocabulary: usize,
    control: usize,
    bos: Option<u32>,
    eos: Option<u32>,
}

/// Describes a model.
pub fn run(source: &Source, console: &Console) -> Result<()> {
    let path = files(source, console)?.path;
    let weights = Weights::open(&path).map_err(Runtime::from)?;
    let opened = match open(&opening(source), console) {
        Ok(opened) => opened,
        Err(error) => return super::refused::run(path, &weights, &error, console),
    };
    let description = Description::new(path, &opened, &weights);
    if console.is_json() {
        return console.print(&description);
    }
    let rows = description.rows(&opened.model);
    let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    console.say_line(markdown(&[Column::Left("what"), Column::Left("value")], rows))
}

/// As the model is, in as little memory as can be.
fn opening(source: &Source) -> Opening {
    Opening {
        source: source.clone(),
        device: DeviceChoice::Cpu,
        decoder: DecoderOptions::default(),
        template: Template::OfModel,
        variables: Variables::new(),
        pool: PoolSize::Tokens(1),
        kv_type: KvType::default(),
        threads: None,
        chunk: 1,
    }
}

impl Description {
    fn new(path: PathBuf, opened: &Opened, weights: &Weights) -> Description {
        let (model, decoder) = (&opened.model, opened.model.decoder());
        let spec = decoder.spec();
        let kv_bytes = spec.kv_bytes_per_token(model.pool().kv_type());
        let about = |t: &trimtab_runtime::text::ChatTemplate| About {
            sha256: t.sha256().to_owned(),
            chars: t.source().chars().count(),
        };
        Description {
            head: opened.head("models info"),
            path,
            shape: Shape {
                blocks: spec.n_layers(),
                d_model: spec.d_model,
                heads: spec.n_heads,
                kv_heads: spec.n_kv_heads,
                head_dim: spec.head_dim,
                d_ff: spec.d_ff,
                vocab_size: spec.vocab_size,
                context_length: spec.context_length,
            },
            tensors: by_type(weights),
            template: model.template().ok().map(about),
            memory: Memory {
                file_bytes: weights.file_bytes(),
                weight_bytes: decoder.weight_bytes(),
                kv_bytes_per_token: kv_bytes,
                context: decoder.context(),
                kv_bytes_per_sequence: decoder.context() * kv_bytes,
            },
            tokens: model.tokenizer().ok().map(|tokenizer| Tokens::of(tokenizer)),
        }
    }

    /// The same for people.
    fn rows(&self, model: &Model) -> Vec<(&'static str, String)> {
        let (shape, memory) = (&self.shape, &self.memory);
        let mb = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        let heads = format!("{} ({} key-value) of {}", shape.heads, shape.kv_heads, shape.head_dim);
        let kv =
            format!("{} a sequence of {}", mb(memory.kv_bytes_per_sequence as u64), memory.context);
        let mut rows = vec![
            ("name", model.name().to_owned()),
            ("path", self.path.display().to_string()),
            ("architecture", model.decoder().spec().arch.name.to_owned()),
            ("weights_sha256", model.identity().weights_sha256.clone()),
            ("blocks", shape.blocks.to_string()),
            ("width", format!("{}, feed-forward {}", shape.d_model, shape.d_ff)),
            ("heads", heads),
            ("context", shape.context_length.to_string()),
        ];
        for kind in &self.tensors {
            rows.push((
                "tensors",
                format!("{} {}, {}", kind.tensors, kind.name, mb(kind.bytes as u64)),
            ));
        }
        rows.push((
            "weights",
            format!(
                "{} in memory, {} on disk",
                mb(memory.weight_bytes as u64),
                mb(memory.file_bytes)
            ),
        ));
        rows.push((
            "keys and values",
            format!("{} bytes a token, {kv}", memory.kv_bytes_per_token),
        ));
        rows.push((
            "template",
            self.template.as_ref().map_or_else(|| lacking(model.template()), |t| t.sha256.clone()),
        ));
        let tokens = self.tokens.as_ref();
        rows.push(("tokens", tokens.map_or_else(|| lacking(model.tokenizer()), Tokens::line)));
        rows
    }
}

/// That the files have none of something, or why what they have cannot be used.
fn lacking<T>(part: trimtab_runtime::Result<T>) -> String {
    match part {
        Err(error @ (Runtime::Tokenizer(_) | Runtime::Template(_))) => with_sources(&error),
        Err(_) | Ok(_) => "none".to_owned(),
    }
}

impl Tokens {
    fn of(tokenizer: &Tokenizer) -> Tokens {
        let vocabulary = tokenizer.vocab_size();
        Tokens {
            vocabulary,
            control: (0..vocabulary).filter(|id| tokenizer.is_control(*id as u32)).count(),
            bos: tokenizer.bos(),
            eos: tokenizer.eos(),
        }
    }

    fn line(&self) -> String {
        let id = |id: Option<u32>| id.map_or("none".to_owned(), |id| id.to_string());
        let Tokens { vocabulary, control, bos, eos } = self;
        format!("{vocabulary}, {control} of them control, BOS {}, EOS {}", id(*bos), id(*eos))
    }
}
