//! `models info`: shape, tensors, template, memory and tokens of a model.

use super::tensors::{by_type, megabytes};
use crate::commands::opened::{Opened, files, open};
use crate::commands::table::markdown;
use crate::console::Console;
use crate::document::Fields;
use crate::error::Result;
use crate::exit::with_sources;
use crate::flags::model::{Opening, Source};
use std::path::Path;
use trimtab_runtime::decoder::weights::Weights;
use trimtab_runtime::device::DeviceChoice;
use trimtab_runtime::text::Tokenizer;
use trimtab_runtime::{Error as Runtime, Model, OpenOptions};

pub fn run(source: &Source, console: &Console) -> Result<()> {
    let path = files(source, console)?.path;
    let weights = Weights::open(&path).map_err(Runtime::from)?;
    let opened = match open(&opening(source), console) {
        Ok(opened) => opened,
        Err(error) => return super::refused::run(&path, &weights, &error, console),
    };
    if console.is_json() {
        return console.print(&document(&path, &opened, &weights));
    }
    console.say_line(markdown("what;value", rows(&path, &opened.model, &weights)))
}

/// As the model is, in as little memory as can be.
fn opening(source: &Source) -> Opening {
    Opening {
        source: source.clone(),
        template_file: None,
        kv_bytes: None,
        options: OpenOptions {
            device: DeviceChoice::Cpu,
            pool_tokens: Some(1),
            ..OpenOptions::default()
        },
        threads: None,
        chunk: 1,
    }
}

/// Bytes of keys and values for a token.
fn kv_bytes(model: &Model) -> usize {
    model.decoder().spec().kv_bytes_per_token(model.pool().kv_type())
}

/// How many tokens of a vocabulary are control tokens.
fn controls(tokenizer: &Tokenizer) -> usize {
    (0..tokenizer.vocab_size()).filter(|id| tokenizer.is_control(*id as u32)).count()
}

fn document(path: &Path, opened: &Opened, weights: &Weights) -> Fields {
    let (model, decoder) = (&opened.model, opened.model.decoder());
    let (spec, kv_bytes) = (decoder.spec(), kv_bytes(model));
    let shape = Fields::new("blocks", spec.n_layers())
        .with("d_model", spec.d_model)
        .with("heads", spec.n_heads)
        .with("kv_heads", spec.n_kv_heads)
        .with("head_dim", spec.head_dim)
        .with("d_ff", spec.d_ff)
        .with("vocab_size", spec.vocab_size)
        .with("context_length", spec.context_length);
    let template = model.template().ok();
    let template = template.map(|template| {
        let chars = template.source().chars().count();
        Fields::new("sha256", template.sha256()).with("chars", chars)
    });
    let memory = Fields::new("file_bytes", weights.file_bytes())
        .with("weight_bytes", decoder.weight_bytes())
        .with("kv_bytes_per_token", kv_bytes)
        .with("context", decoder.context())
        .with("kv_bytes_per_sequence", decoder.context() * kv_bytes);
    let tokens = model.tokenizer().ok().map(|tokenizer| {
        Fields::new("vocabulary", tokenizer.vocab_size())
            .with("control", controls(tokenizer))
            .with("bos", tokenizer.bos())
            .with("eos", tokenizer.eos())
    });
    opened
        .head("models info")
        .with("path", path)
        .with("shape", shape)
        .with("tensors", by_type(weights))
        .with("template", template)
        .with("memory", memory)
        .with("tokens", tokens)
}

/// The same for people.
fn rows(path: &Path, model: &Model, weights: &Weights) -> Vec<[String; 2]> {
    let (decoder, spec) = (model.decoder(), model.decoder().spec());
    let (context, kv_bytes) = (decoder.context(), kv_bytes(model));
    let heads = format!("{} ({} key-value) of {}", spec.n_heads, spec.n_kv_heads, spec.head_dim);
    let kv = megabytes((context * kv_bytes) as u64);
    let held = megabytes(decoder.weight_bytes() as u64);
    let template = model.template().map(|template| template.sha256().to_owned());
    let mut rows = vec![
        ("name", model.name().to_owned()),
        ("path", path.display().to_string()),
        ("architecture", spec.arch.name.to_owned()),
        ("weights_sha256", model.identity().weights_sha256.clone()),
        ("blocks", spec.n_layers().to_string()),
        ("width", format!("{}, feed-forward {}", spec.d_model, spec.d_ff)),
        ("heads", heads),
        ("context", spec.context_length.to_string()),
    ];
    rows.extend(by_type(weights).iter().map(|kind| ("tensors", kind.line())));
    rows.extend([
        ("weights", format!("{held} in memory, {} on disk", megabytes(weights.file_bytes()))),
        ("keys and values", format!("{kv_bytes} bytes a token, {kv} a sequence of {context}")),
        ("template", template.unwrap_or_else(lacking)),
        ("tokens", model.tokenizer().map_or_else(lacking, |tokenizer| tokens(tokenizer))),
    ]);
    rows.into_iter().map(|(name, value)| [name.to_owned(), value]).collect()
}

/// That the files have none of something, or why what they have cannot be used.
fn lacking(error: Runtime) -> String {
    match error {
        Runtime::Tokenizer(_) | Runtime::Template(_) => with_sources(&error),
        _ => "none".to_owned(),
    }
}

fn tokens(tokenizer: &Tokenizer) -> String {
    let id = |id: Option<u32>| id.map_or("none".to_owned(), |id| id.to_string());
    let (all, control) = (tokenizer.vocab_size(), controls(tokenizer));
    let (bos, eos) = (id(tokenizer.bos()), id(tokenizer.eos()));
    format!("{all}, {control} of them control, BOS {bos}, EOS {eos}")
}
