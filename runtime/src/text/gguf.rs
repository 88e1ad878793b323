//! What all GGUF vocabularies share: tokens, kinds, the ids with a role, BOS custom, fingerprint.

use super::bound::{Blanks, Bound};
use super::error::{Error, Result, malformed};
use super::pretokenizer::Bos;
use super::special::{Special, Specials, Strip};
use super::tokenizer::{Ends, Parts, Tokenizer};
use super::vocab::{Kind, Vocabulary, settle};
use super::{gguf_bpe, gguf_spm};
use crate::decoder::weights::metadata::{Metadata, Value};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The key of a tokenizer's algorithm and what builds it.
type Builder = fn(&Metadata) -> Result<gguf_bpe::Built>;
const MODELS: &[(&str, Builder)] = &[("gpt2", gguf_bpe::build), ("llama", gguf_spm::build)];

/// Rebuilds a tokenizer from GGUF metadata.
pub(crate) fn tokenizer(metadata: &Metadata) -> Result<Tokenizer> {
    let model = need(metadata.text("tokenizer.ggml.model")?, "tokenizer.ggml.model")?;
    let Some((_, build)) = MODELS.iter().find(|(name, _)| *name == model) else {
        let known: Vec<&str> = MODELS.iter().map(|(name, _)| *name).collect();
        return Err(Error::UnknownModel { model: model.to_owned(), known: known.join(", ") });
    };
    let built = build(metadata)?;
    let bos = match metadata.flag("tokenizer.ggml.add_bos_token")? {
        Some(true) => Bos::Add,
        Some(false) => Bos::Leave,
        None => built.bos,
    };
    let bos_id = bos_id(metadata, model, &built.vocabulary)?;
    if (metadata.flag("tokenizer.ggml.add_bos_token")?, bos_id) == (Some(true), None) {
        return Err(Error::MissingKey { key: "tokenizer.ggml.bos_token_id" });
    }
    let swallow = swallowing(metadata, model)?;
    let controls = built.vocabulary.iter().filter(|(id, ..)| built.vocabulary.is_control(*id));
    let specials = Specials::new(
        controls.map(|(id, text, _)| Special { strip: swallow(text), ..Special::plain(text, id) }),
    );
    let swallows = built.vocabulary.iter().any(|(_, text, _)| swallow(text) != Strip::Nothing);
    let blanks = if swallows { Blanks::Vanish } else { Blanks::Stay };
    Ok(Tokenizer::assemble(Parts {
        bound: Bound::new(&built.vocabulary, built.spelling, (built.changes, blanks)),
        ends: Ends {
            bos: bos_id,
            eos: token_id(metadata, "tokenizer.ggml.eos_token_id", &built.vocabulary)?,
            more: [
                optional_id(metadata, "tokenizer.ggml.eot_token_id", &built.vocabulary)?,
                optional_id(metadata, "tokenizer.ggml.eom_token_id", &built.vocabulary)?,
            ]
            .into_iter()
            .flatten()
            .collect(),
            custom: bos,
        },
        vocabulary: built.vocabulary,
        encoder: built.encoder,
        specials,
        leading: built.leading,
        unresolved: Vec::new(),
        sha256: fingerprint(metadata),
    }))
}

/// The id that begins a text. A file that does not name it means id 1 with this algorithm, as in llama.cpp, if the
/// token's name agrees.
fn bos_id(metadata: &Metadata, model: &str, vocabulary: &Vocabulary) -> Result<Option<u32>> {
    const KEY: &str = "tokenizer.ggml.bos_token_id";
    if model == "llama" && metadata.value(KEY).is_none() {
        let named = matches!(vocabulary.text(1), Some("<s>" | "<bos>"));
        return Ok(named.then_some(1));
    }
    token_id(metadata, KEY, vocabulary)
}

/// What control tokens swallow, by their text. GGUF has no key for it, so it is known by the architecture: the
/// `tokenizer.json` of Phi-3 and 3.5 says `rstrip` for all but three.
fn swallowing(metadata: &Metadata, model: &str) -> Result<fn(&str) -> Strip> {
    let phi3 = model == "llama" && metadata.text("general.architecture")? == Some("phi3");
    Ok(if phi3 { of_phi3 } else { |_| Strip::Nothing })
}

fn of_phi3(token: &str) -> Strip {
    match token {
        "<unk>" | "<s>" | "<|endoftext|>" => Strip::Nothing,
        _ => Strip::Right,
    }
}

/// The tokens with their kinds.
pub(crate) fn entries(metadata: &Metadata) -> Result<Vec<(String, Kind)>> {
    let tokens = need(metadata.texts("tokenizer.ggml.tokens")?, "tokenizer.ggml.tokens")?;
    let codes = metadata.integers("tokenizer.ggml.token_type")?;
    if codes.is_some_and(|codes| codes.len() != tokens.len())
        || u32::try_from(tokens.len()).is_err()
    {
        return Err(malformed("tokenizer.ggml.token_type"));
    }
    let kind = |index: usize| match codes.and_then(|codes| codes.get(index)) {
        Some(code) => Kind::from_gguf(*code).ok_or_else(|| malformed("tokenizer.ggml.token_type")),
        None => Ok(Kind::Normal),
    };
    let entry = |(index, text): (usize, &String)| Ok((text.clone(), settle(text, kind(index)?)));
    tokens.iter().enumerate().map(entry).collect()
}

/// A token id stored under `key`, if it is one of the vocabulary.
pub(crate) fn token_id(
    metadata: &Metadata,
    key: &str,
    vocabulary: &Vocabulary,
) -> Result<Option<u32>> {
    match metadata.value(key) {
        // -1 is how some writers say "none".
        None | Some(Value::Signed(_)) => Ok(None),
        Some(_) => match metadata.integer(key)?.map(u32::try_from) {
            Some(Ok(id)) if vocabulary.kind(id).is_some() => Ok(Some(id)),
            Some(Ok(id)) => {
                Err(Error::NoSuchId { key: key.to_owned(), id, size: vocabulary.len() })
            }
            _ => Err(malformed(key)),
        },
    }
}

/// The same for a key that repeats what other keys and the tokens' names say: one that does not fit is left out.
fn optional_id(metadata: &Metadata, key: &str, vocabulary: &Vocabulary) -> Result<Option<u32>> {
    match token_id(metadata, key, vocabulary) {
        Err(Error::NoSuchId { .. }) => Ok(None),
        other => other,
    }
}

pub(crate) fn need<T>(value: Option<T>, key: &'static str) -> Result<T> {
    value.ok_or(Error::MissingKey { key })
}

/// Hash over every tokenizer key except the template, which has its own.
fn fingerprint(metadata: &Metadata) -> String {
    let mut hash = Sha256::new();
    let keys = metadata
        .iter()
        .filter(|(key, _)| key.starts_with("tokenizer.") && !key.contains("chat_template"));
    for (key, value) in keys {
        field(&mut hash, key.as_bytes());
        match value {
            Value::Texts(texts) => texts.iter().for_each(|text| field(&mut hash, text.as_bytes())),
            Value::Floats(floats) => floats.iter().for_each(|x| hash.update(x.to_le_bytes())),
            Value::Integers(numbers) => numbers.iter().for_each(|n| hash.update(n.to_le_bytes())),
            other => field(&mut hash, format!("{other:?}").as_bytes()),
        }
    }
    hex(&hash.finalize())
}

fn field(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
