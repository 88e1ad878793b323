//! A tokenizer from a Hugging Face `tokenizer.json` and the files beside it.
//!
//! The definition is edited before the `tokenizers` crate sees it: special tokens are taken out (this layer
//! recognises them itself, see [`super::tokenizer`]) and so is the post-processor (templates write their own
//! BOS). Merges are checked first, because the crate panics on some malformed ones. Byte-level BPE and
//! SentencePiece-style BPE are read; Unigram and WordPiece are errors.

use super::bound::{Blanks, Bound, Changes};
use super::error::{Error, Result, backend, malformed};
use super::gguf::hex;
use super::hf_files::Beside;
use super::pretokenizer::Bos;
use super::special::{Special, Specials, Standing, Strip};
use super::tokenizer::{Encoder, Ends, Leading, Parts, Tokenizer};
use super::vocab::{Kind, SPACE, Spelling, Vocabulary, byte_piece, settle};
use crate::filetype::{FileType, NotText, Unreadable, bytes_without_bom};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

/// Ids above this are a malformed file, not a vocabulary.
const LARGEST_ID: u32 = 1 << 20;

/// Tokenizers of other forms that model folders hold.
const OTHERS: &[&str] =
    &["tokenizer.model", "tekken.json", "vocab.json", "spiece.model", "vocab.txt"];

/// Reads the tokenizer of a model folder, if it has one.
pub(crate) fn of_folder(folder: &Path) -> Result<Option<Tokenizer>> {
    let file = folder.join("tokenizer.json");
    if file.exists() {
        return tokenizer(&file).map(Some);
    }
    match OTHERS.iter().find(|name| folder.join(name).exists()) {
        Some(file) => Err(Error::OtherTokenizer { file }),
        None => Ok(None),
    }
}

pub(crate) fn tokenizer(path: &Path) -> Result<Tokenizer> {
    let bytes =
        std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    if let Some(kind) = FileType::of(&bytes) {
        let source = std::io::Error::from(Unreadable::from(NotText::Type(kind)));
        return Err(Error::Read { path: path.to_owned(), source });
    }
    let json: Value = serde_json::from_slice(bytes_without_bom(&bytes))
        .map_err(|source| Error::Json { path: path.to_owned(), source })?;
    let beside = Beside::read(path)?;
    let parts = parts(json, &beside, &bytes)?;
    Ok(Tokenizer::assemble(parts))
}

fn parts(mut json: Value, beside: &Beside, bytes: &[u8]) -> Result<Parts> {
    let style = style(json.get("decoder").unwrap_or(&Value::Null))?;
    let vocab = read_vocab(&json)?;
    let adopted = adopt(&mut json, &beside.added, &vocab)?;
    let merged = check_merges(&json, &vocab)?;
    let added = read_added(&json)?;
    let vocabulary = vocabulary(&vocab, &added, &json, &style)?;
    let post = starts_with(&json);
    let specials =
        Specials::new(added.iter().filter(|a| a.kind == Kind::Control).map(|a| a.special.clone()));
    let swallows = added.iter().any(|token| token.special.strip != Strip::Nothing);
    let blanks = if swallows { Blanks::Vanish } else { Blanks::Stay };
    let bound = Bound::new(&vocabulary, style.spelling, (changes(&json), blanks));
    detach(&mut json, &added, &merged)?;
    let id = |text: &Option<String>| text.as_ref().and_then(|text| vocabulary.id_of(text));
    let (bos, eos) = (id(&beside.bos), id(&beside.eos));
    let roles = [("bos_token", &beside.bos, bos), ("eos_token", &beside.eos, eos)];
    let absent = roles.into_iter().filter(|(.., id)| id.is_none());
    let unresolved: Vec<(&'static str, String)> =
        absent.filter_map(|(role, token, _)| Some((role, token.clone()?))).collect();
    if let (Some(Bos::Add), None, Some(token)) = (beside.adds_bos, bos, &beside.bos) {
        return Err(Error::NotInVocabulary { role: "bos_token", token: token.clone() });
    }
    let custom = match beside.adds_bos {
        Some(custom) => custom,
        None if bos.is_some() && post == bos => Bos::Add,
        None => Bos::Leave,
    };
    let mut hash = Sha256::new();
    hash.update(bytes);
    hash.update(format!("{:?} {:?} {custom:?} {:?}", beside.bos, beside.eos, beside.ends));
    adopted.iter().for_each(|entry| hash.update(entry.to_string()));
    Ok(Parts {
        ends: Ends { bos, eos, more: beside.ends.clone(), custom },
        unresolved,
        encoder: encoder(json)?,
        specials,
        leading: style.leading,
        bound,
        vocabulary,
        sha256: hex(&hash.finalize()),
    })
}

/// Takes over the added tokens of `tokenizer_config.json`, as transformers does, and returns what they change. Their
/// flags win over those of the file. A token keeps its id in the file or in the vocabulary, or else gets the next one
/// after the largest, whatever id the configuration gives it.
fn adopt(json: &mut Value, more: &[Value], vocab: &HashMap<String, u32>) -> Result<Vec<Value>> {
    let bad = || malformed("added_tokens_decoder");
    let root = json.as_object_mut().ok_or_else(|| malformed("tokenizer.json"))?;
    let list = root.entry("added_tokens").or_insert(Value::Null);
    if list.is_null() {
        *list = Value::Array(Vec::new());
    }
    let list = list.as_array_mut().ok_or_else(|| malformed("added_tokens"))?;
    let listed = list.iter().filter_map(|entry| entry.get("id").and_then(Value::as_u64));
    let largest = vocab.values().copied().map(u64::from).chain(listed).max();
    let mut free = largest.map_or(0, |id| id.saturating_add(1));
    let mut adopted = Vec::new();
    for entry in more {
        let content = entry.get("content").and_then(Value::as_str).ok_or_else(bad)?;
        let known = list.iter_mut().find(|own| own.get("content") == entry.get("content"));
        let new = match &known {
            Some(own) => flagged(own, entry),
            None => {
                let id = vocab.get(content).copied().map_or(free, u64::from);
                free = free.max(id.saturating_add(1));
                let mut new = entry.clone();
                *new.get_mut("id").ok_or_else(bad)? = id.into();
                new
            }
        };
        match known {
            Some(own) if *own == new => continue,
            Some(own) => *own = new.clone(),
            None => list.push(new.clone()),
        }
        adopted.push(new);
    }
    Ok(adopted)
}

/// An entry of `added_tokens` with the flags of another. A special token stays one: transformers hides it whatever the
/// configuration says.
fn flagged(entry: &Value, flags: &Value) -> Value {
    let special = |entry: &Value| entry.get("special") == Some(&Value::Bool(true));
    let usual = ["lstrip", "rstrip", "single_word", "normalized"];
    let more = (!special(entry)).then_some("special");
    let mut entry = entry.clone();
    for key in usual.into_iter().chain(more) {
        if let (Some(entry), Some(flag)) = (entry.as_object_mut(), flags.get(key)) {
            entry.insert(key.to_owned(), flag.clone());
        }
    }
    entry
}

/// What the steps before the merges do to a text.
fn changes(json: &Value) -> Changes {
    let affixes = ["continuing_subword_prefix", "end_of_word_suffix"];
    let affix = |key: &&str| {
        let affix = json.get("model").and_then(|model| model.get(key)).and_then(Value::as_str);
        affix.is_some_and(|affix| !affix.is_empty())
    };
    if affixes.iter().any(affix) {
        return Changes::Any;
    }
    let step = |key: &str| step_changes(json.get(key).unwrap_or(&Value::Null));
    step("normalizer").max(step("pre_tokenizer"))
}

/// What one step does; what is not known here may do anything.
fn step_changes(step: &Value) -> Changes {
    let text = |key: &str| step.get(key).and_then(Value::as_str);
    let is_space = |text: Option<&str>| text.is_some_and(|text| text.chars().eq([SPACE]));
    let all = |key: &str| {
        let steps = step.get(key).and_then(Value::as_array).map(Vec::as_slice);
        steps.unwrap_or_default().iter().map(step_changes).max().unwrap_or(Changes::None)
    };
    match text("type") {
        None if step.is_null() => Changes::None,
        Some("Sequence") => all("normalizers").max(all("pretokenizers")),
        Some("Prepend" | "ByteLevel" | "Digits") => Changes::None,
        Some("Replace")
            if step.get("pattern").and_then(|p| p.get("String")) == Some(&Value::from(" ")) =>
        {
            if is_space(text("content")) {
                Changes::None
            } else {
                Changes::Any
            }
        }
        Some("Metaspace") if is_space(text("replacement")) => Changes::None,
        Some("Split" | "Punctuation") if text("behavior").is_some_and(|b| b != "Removed") => {
            Changes::None
        }
        Some("NFC") => Changes::Nfc,
        _ => Changes::Any,
    }
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

#[cfg(test)]
mod tests {
    use super::super::golden::json;
    use super::super::tokenizer::Special::Parse;
    use super::super::{ChatTemplate, RenderOptions};
    use super::*;
    use std::path::PathBuf;
    use std::sync::Arc;

    /// A model folder of these files, gone with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn of(name: &str, files: &[(&str, &Value)]) -> Folder {
            let name = format!("trimtab-{name}-{}", std::process::id());
            let folder = Folder(std::env::temp_dir().join(name));
            std::fs::create_dir_all(folder.0.join("additional_chat_templates")).unwrap();
            for (file, content) in files {
                let text = content.as_str().map_or_else(|| content.to_string(), str::to_owned);
                std::fs::write(folder.0.join(file), text).unwrap();
            }
            folder
        }

        fn tokenizer(&self) -> Result<Tokenizer> {
            Ok(of_folder(&self.0)?.unwrap())
        }

        fn template(&self, name: Option<&str>) -> Result<String> {
            let template = ChatTemplate::from_folder(&self.0, name, Arc::new(self.tokenizer()?))?;
            Ok(template.render(&[], &RenderOptions::default())?.text())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn tokens_that_only_the_configuration_adds_are_added() {
        let mut file = json("bpe-gpt-2.tokenizer.json");
        let listed = std::mem::take(file["added_tokens"].as_array_mut().unwrap());
        let entry = |token: &Value| (token["id"].to_string(), token.clone());
        let mut decoder: Map<String, Value> = listed.iter().map(entry).collect();
        decoder["0"]["rstrip"] = true.into();
        let config = serde_json::json!({"added_tokens_decoder": decoder});
        let files = [("tokenizer.json", &file), ("tokenizer_config.json", &config)];
        let tokenizer = Folder::of("added", &files).tokenizer().unwrap();
        // The ids of transformers' AutoTokenizer for the same two files.
        let ids = |text| tokenizer.encode(text, Parse).unwrap();
        let turn = "hi<|im_start|>user<|im_end|> <think>x</think>";
        assert_eq!(ids(turn), [655, 1, 433, 2, 239, 720, 106, 721]);
        assert_eq!(ids("<|endoftext|>  a"), [0, 83]);
        let bare = Folder::of("bare", &[("tokenizer.json", &file)]).tokenizer().unwrap();
        assert_ne!(bare.sha256(), tokenizer.sha256());
    }

    #[test]
    fn the_configuration_decides_flags_and_never_ids() {
        let file = json("bpe-gpt-2.tokenizer.json");
        // The ids of transformers' AutoTokenizer for the same two files; 721 is the largest of the file.
        for (name, decoder, text, expected) in [
            (
                "gap",
                serde_json::json!({"9000": {"content": "<new>"}}),
                "a<new>b",
                &[83, 722, 84][..],
            ),
            ("taken", serde_json::json!({"5": {"content": "<new>"}}), "a<new>b", &[83, 722, 84]),
            ("other", serde_json::json!({"2": {"content": "<new>"}}), "a<new>b", &[83, 722, 84]),
            (
                "order",
                serde_json::json!({"10000": {"content": "<b>"}, "9000": {"content": "<a>"}}),
                "a<a><b>",
                &[83, 722, 723],
            ),
            (
                "vocabulary",
                serde_json::json!({"9000": {"content": "hi"}}),
                "a hi<b>hi",
                &[83, 239, 655, 46, 84, 48, 655],
            ),
            (
                "flags",
                serde_json::json!({"2": {"content": "<|im_end|>", "rstrip": true}}),
                "<|im_end|>  a",
                &[2, 83],
            ),
            (
                "elsewhere",
                serde_json::json!({"7": {"content": "<|im_end|>", "rstrip": true, "special": true}}),
                "<|im_end|>  a",
                &[2, 83],
            ),
        ] {
            let config = serde_json::json!({"added_tokens_decoder": decoder});
            let files = [("tokenizer.json", &file), ("tokenizer_config.json", &config)];
            let tokenizer = Folder::of(name, &files).tokenizer().unwrap();
            assert_eq!(tokenizer.encode(text, Parse).unwrap(), expected, "{name}");
            assert!(tokenizer.is_control(2), "{name}");
        }
    }

    #[test]
    fn a_bos_outside_the_vocabulary_is_no_empty_text() {
        let file = json("bpe-gpt-2.tokenizer.json");
        let config =
            serde_json::json!({"bos_token": "<nope>", "chat_template": "{{ bos_token }}x"});
        let files = [("tokenizer.json", &file), ("tokenizer_config.json", &config)];
        let error = Folder::of("nope", &files).template(None).unwrap_err().to_string();
        assert_eq!(error, "bos_token \"<nope>\" is not in the vocabulary");
        let config = serde_json::json!({"bos_token": "<nope>", "add_bos_token": true});
        let files = [("tokenizer.json", &file), ("tokenizer_config.json", &config)];
        let error = Folder::of("wanted", &files).tokenizer().unwrap_err().to_string();
        assert_eq!(error, "bos_token \"<nope>\" is not in the vocabulary");
        let config = serde_json::json!({"bos_token": "<nope>", "chat_template": "x"});
        let files = [("tokenizer.json", &file), ("tokenizer_config.json", &config)];
        assert_eq!(Folder::of("unread", &files).template(None).unwrap(), "x");
    }

    #[test]
    fn a_tokenizer_in_another_form_is_named() {
        let folder = Folder::of("form", &[("tokenizer.model", &"".into())]);
        let error = folder.tokenizer().unwrap_err().to_string();
        assert_eq!(error, "tokenizer.model is not read, and there is no tokenizer.json beside it");
        assert!(of_folder(&Folder::of("none", &[]).0).unwrap().is_none());
    }

    #[test]
    fn templates_are_found_where_transformers_writes_them() {
        let file = json("bpe-gpt-2.tokenizer.json");
        let config = serde_json::json!({"chat_template": "config"});
        let legacy = serde_json::json!({"chat_template": "legacy"});
        let base = [("tokenizer.json", &file), ("tokenizer_config.json", &config)];
        assert_eq!(Folder::of("in-config", &base).template(None).unwrap(), "config");
        let files = [&base[..], &[("chat_template.json", &legacy)]].concat();
        assert_eq!(Folder::of("in-json", &files).template(None).unwrap(), "legacy");
        let own = [
            ("chat_template.jinja", &"own".into()),
            ("additional_chat_templates/tool_use.jinja", &"tools".into()),
        ];
        let folder = Folder::of("in-files", &[&files[..], &own].concat());
        assert_eq!(folder.template(None).unwrap(), "own");
        assert_eq!(folder.template(Some("tool_use")).unwrap(), "tools");
        let error = folder.template(Some("rag")).unwrap_err().to_string();
        assert_eq!(error, "chat template \"rag\" is missing (there are: default, tool_use)");
    }

    #[test]
    fn a_list_without_a_default_has_one_or_must_be_chosen_from() {
        let file = json("bpe-gpt-2.tokenizer.json");
        let of = |names: &[&str]| {
            let entry = |name: &&str| serde_json::json!({"name": name, "template": name});
            let list: Vec<Value> = names.iter().map(entry).collect();
            let config = serde_json::json!({"chat_template": list});
            let files = [("tokenizer.json", &file), ("tokenizer_config.json", &config)];
            Folder::of(&format!("list-{}", names.concat()), &files)
        };
        assert_eq!(of(&["rag"]).template(None).unwrap(), "rag");
        assert_eq!(of(&["rag", "tools"]).template(Some("tools")).unwrap(), "tools");
        let error = of(&["a", "b"]).template(None).unwrap_err().to_string();
        assert_eq!(error, "chat template \"default\" is missing (there are: a, b)");
    }
}
