//! A tokenizer from a Hugging Face `tokenizer.json` and the files beside it.
//!
//! The definition is edited before the `tokenizers` crate sees it: special tokens are taken out (this layer
//! recognises them itself, see [`super::tokenizer`]) and so is the post-processor (templates write their own
//! BOS). Merges are checked first, because the crate panics on some malformed ones. Byte-level BPE and
//! SentencePiece-style BPE are read; Unigram and WordPiece are errors.

use super::error::{Error, Result, backend, malformed};
use super::gguf::hex;
use super::hf_files::Beside;
use super::pretokenizer::Bos;
use super::special::{Special, Specials, Standing, Strip};
use super::tokenizer::{Encoder, Ends, Leading, Parts, Tokenizer};
use super::vocab::{Kind, Spelling, Vocabulary, byte_piece, settle};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

/// Ids above this are a malformed file, not a vocabulary.
const LARGEST_ID: u32 = 1 << 20;

/// Reads the files.
pub(crate) fn tokenizer(path: &Path) -> Result<Tokenizer> {
    let bytes =
        std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let json: Value = serde_json::from_slice(&bytes)
        .map_err(|source| Error::Json { path: path.to_owned(), source })?;
    let beside = Beside::read(path)?;
    let parts = parts(json, &beside, &bytes)?;
    Ok(Tokenizer::assemble(parts))
}

fn parts(mut json: Value, beside: &Beside, bytes: &[u8]) -> Result<Parts> {
    let style = style(json.get("decoder").unwrap_or(&Value::Null))?;
    let vocab = read_vocab(&json)?;
    let merged = check_merges(&json, &vocab)?;
    let added = read_added(&json)?;
    let vocabulary = vocabulary(&vocab, &added, &json, &style)?;
    let post = starts_with(&json);
    let specials =
        Specials::new(added.iter().filter(|a| a.kind == Kind::Control).map(|a| a.special.clone()));
    detach(&mut json, &added, &merged)?;
    let id = |text: &Option<String>| text.as_ref().and_then(|text| vocabulary.id_of(text));
    let bos = id(&beside.bos);
    let custom = match beside.adds_bos {
        Some(custom) => custom,
        None if bos.is_some() && post == bos => Bos::Add,
        None => Bos::Leave,
    };
    let mut hash = Sha256::new();
    hash.update(bytes);
    hash.update(format!("{:?} {:?} {custom:?} {:?}", beside.bos, beside.eos, beside.ends));
    Ok(Parts {
        ends: Ends { bos, eos: id(&beside.eos), more: beside.ends.clone(), custom },
        encoder: encoder(json)?,
        specials,
        leading: style.leading,
        vocabulary,
        sha256: hex(&hash.finalize()),
    })
}

/// How the ids become text again.
struct Style {
    spelling: Spelling,
    leading: Leading,
}

fn style(decoder: &Value) -> Result<Style> {
    let nested = decoder.get("decoders").and_then(Value::as_array).map(Vec::as_slice);
    let steps = nested.unwrap_or(std::slice::from_ref(decoder));
    let step = |name: &str| steps.iter().find(|step| step.get("type") == Some(&Value::from(name)));
    if step("ByteLevel").is_some() {
        return Ok(Style { spelling: Spelling::ByteLevel, leading: Leading::Keep });
    }
    let strips = step("Strip").is_some_and(|strip| strip.get("start") == Some(&Value::from(1)));
    let scheme = step("Metaspace").map(|space| {
        let scheme = space.get("prepend_scheme").and_then(Value::as_str);
        let legacy = space.get("add_prefix_space").and_then(Value::as_bool);
        scheme.map_or(legacy.unwrap_or(true), |scheme| scheme != "never")
    });
    if step("ByteFallback").is_none() && scheme.is_none() {
        return Err(malformed("decoder"));
    }
    let drops = strips || scheme.unwrap_or(false);
    let leading = if drops { Leading::Drop } else { Leading::Keep };
    Ok(Style { spelling: Spelling::SentencePiece, leading })
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok()).filter(|id| *id <= LARGEST_ID)
}

fn read_vocab(json: &Value) -> Result<HashMap<String, u32>> {
    let model = json.get("model").ok_or_else(|| malformed("model"))?;
    let name = model.get("type").and_then(Value::as_str).unwrap_or("BPE");
    if name != "BPE" {
        return Err(Error::UnknownModel { model: name.to_owned(), known: "BPE".to_owned() });
    }
    let vocab =
        model.get("vocab").and_then(Value::as_object).ok_or_else(|| malformed("model.vocab"))?;
    let entry = |(text, id): (&String, &Value)| Some((text.clone(), number(id)?));
    vocab.iter().map(entry).collect::<Option<_>>().ok_or_else(|| malformed("model.vocab"))
}

/// Checks every merge and returns the texts that merges read or make.
fn check_merges(json: &Value, vocab: &HashMap<String, u32>) -> Result<HashSet<String>> {
    let model = json.get("model").unwrap_or(&Value::Null);
    let prefix = model.get("continuing_subword_prefix").and_then(Value::as_str).unwrap_or("");
    let merges =
        model.get("merges").and_then(Value::as_array).ok_or_else(|| malformed("model.merges"))?;
    let mut texts = HashSet::new();
    for (index, merge) in merges.iter().enumerate() {
        let bad = || Error::BadMerge { index, rule: merge.to_string() };
        let (left, right) = match merge {
            Value::String(rule) => rule.split_once(' '),
            Value::Array(pair) => match pair.as_slice() {
                [Value::String(left), Value::String(right)] => {
                    Some((left.as_str(), right.as_str()))
                }
                _ => None,
            },
            _ => None,
        }
        .ok_or_else(bad)?;
        let whole = format!("{left}{}", right.strip_prefix(prefix).ok_or_else(bad)?);
        if !(vocab.contains_key(left) && vocab.contains_key(right) && vocab.contains_key(&whole)) {
            return Err(bad());
        }
        texts.extend([left.to_owned(), right.to_owned(), whole]);
    }
    Ok(texts)
}

/// An entry of `added_tokens`.
struct Added {
    special: Special,
    kind: Kind,
}

fn read_added(json: &Value) -> Result<Vec<Added>> {
    let list = json.get("added_tokens").and_then(Value::as_array).map(Vec::as_slice);
    let entry = |token: &Value| {
        let on = |key: &str| token.get(key).and_then(Value::as_bool).unwrap_or(false);
        let special = Special {
            text: token.get("content")?.as_str()?.to_owned(),
            id: number(token.get("id")?)?,
            strip: match (on("lstrip"), on("rstrip")) {
                (false, false) => Strip::Nothing,
                (true, false) => Strip::Left,
                (false, true) => Strip::Right,
                (true, true) => Strip::Both,
            },
            standing: if on("single_word") { Standing::WholeWord } else { Standing::Anywhere },
        };
        let kind = if on("special") { Kind::Control } else { Kind::UserDefined };
        Some(Added { kind: settle(&special.text, kind), special })
    };
    let entries = list.unwrap_or_default().iter().map(entry).collect::<Option<_>>();
    entries.ok_or_else(|| malformed("added_tokens"))
}

fn vocabulary(
    vocab: &HashMap<String, u32>,
    added: &[Added],
    json: &Value,
    style: &Style,
) -> Result<Vocabulary> {
    let model = json.get("model").unwrap_or(&Value::Null);
    let falls_back = model.get("byte_fallback").and_then(Value::as_bool).unwrap_or(false);
    let unknown = model.get("unk_token").and_then(Value::as_str);
    let mut by_id: BTreeMap<u32, (String, Kind)> = BTreeMap::new();
    for (text, id) in vocab {
        let kind = match byte_piece(text) {
            Some(_) if falls_back => Kind::Byte,
            _ => Kind::Normal,
        };
        by_id.insert(*id, (text.clone(), kind));
    }
    for token in added {
        let is_unknown = unknown == Some(token.special.text.as_str());
        let kind =
            if is_unknown && token.kind == Kind::Control { Kind::Unknown } else { token.kind };
        by_id.insert(token.special.id, (token.special.text.clone(), kind));
    }
    let size = by_id.keys().next_back().map_or(0, |last| u64::from(*last) + 1);
    let size = usize::try_from(size).map_err(|_| malformed("model.vocab"))?;
    let mut entries = vec![(String::new(), Kind::Unused); size];
    for (slot, entry) in by_id {
        if let Some(place) = usize::try_from(slot).ok().and_then(|slot| entries.get_mut(slot)) {
            *place = entry;
        }
    }
    Ok(Vocabulary::new(entries, style.spelling))
}

/// The id that the post-processor puts first, if it puts one.
fn starts_with(json: &Value) -> Option<u32> {
    let post = json.get("post_processor")?;
    let nested = post.get("processors").and_then(Value::as_array).map(Vec::as_slice);
    let template = nested
        .unwrap_or(std::slice::from_ref(post))
        .iter()
        .find(|step| step.get("type") == Some(&Value::from("TemplateProcessing")))?;
    let name = template.pointer("/single/0/SpecialToken/id")?.as_str()?;
    number(template.get("special_tokens")?.get(name)?.get("ids")?.get(0)?)
}

/// Takes the special tokens and everything that adds tokens out of the definition.
fn detach(json: &mut Value, added: &[Added], merged: &HashSet<String>) -> Result<()> {
    let root = json.as_object_mut().ok_or_else(|| malformed("tokenizer.json"))?;
    for key in ["post_processor", "truncation", "padding"] {
        root.insert(key.to_owned(), Value::Null);
    }
    if let Some(list) = root.get_mut("added_tokens").and_then(Value::as_array_mut) {
        let kept = added.iter().filter(|token| token.kind == Kind::UserDefined);
        let kept: HashSet<&str> = kept.map(|token| token.special.text.as_str()).collect();
        list.retain(|token| {
            token.get("content").and_then(Value::as_str).is_some_and(|text| kept.contains(text))
        });
    }
    let model = root.get_mut("model").and_then(Value::as_object_mut);
    let model = model.ok_or_else(|| malformed("model"))?;
    // A dropout would make the same text give different ids.
    model.insert("dropout".to_owned(), Value::Null);
    let unknown = model.get("unk_token").and_then(Value::as_str).map(str::to_owned);
    let vocab = model.get_mut("vocab").and_then(Value::as_object_mut);
    edit_vocab(vocab.ok_or_else(|| malformed("model.vocab"))?, added, merged, unknown.as_deref())
}

fn edit_vocab(
    vocab: &mut Map<String, Value>,
    added: &[Added],
    merged: &HashSet<String>,
    unknown: Option<&str>,
) -> Result<()> {
    for token in added {
        let text = &token.special.text;
        if token.kind == Kind::UserDefined {
            // The crate numbers added tokens by their place unless the vocabulary has them.
            vocab.insert(text.clone(), Value::from(token.special.id));
        } else if merged.contains(text) && text.chars().nth(1).is_some() {
            return Err(Error::ControlFromText { token: text.clone() });
        } else if unknown != Some(text) && !merged.contains(text) {
            vocab.remove(text);
        }
    }
    Ok(())
}

fn encoder(mut json: Value) -> Result<Encoder> {
    let build = |json: &Value| {
        let text =
            serde_json::to_vec(json).map_err(|e| backend("reading the definition")(e.into()))?;
        let tokenizer = tokenizers::Tokenizer::from_bytes(text);
        tokenizer.map(Box::new).map_err(backend("reading the definition"))
    };
    let first = build(&json)?;
    let later = if only_first_is_prefixed(&mut json) { Some(build(&json)?) } else { None };
    Ok(Encoder::Pipeline { first, later })
}

/// Turns "a space before the first piece" into "no space", and says whether there was such a rule.
fn only_first_is_prefixed(json: &mut Value) -> bool {
    let mut first = false;
    if let Some(scheme) = json.get_mut("prepend_scheme").filter(|scheme| *scheme == "first") {
        *scheme = Value::from("never");
        first = true;
    }
    if let Some(step) = json.get_mut("pre_tokenizer") {
        first |= only_first_is_prefixed(step);
    }
    let steps = json.get_mut("pretokenizers").and_then(Value::as_array_mut);
    for step in steps.into_iter().flatten() {
        first |= only_first_is_prefixed(step);
    }
    first
}
