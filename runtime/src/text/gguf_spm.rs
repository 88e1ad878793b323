//! SentencePiece BPE rebuilt from GGUF metadata (`tokenizer.ggml.model` = `llama`): Llama 2, Gemma, Phi-3.
//!
//! Files differ in how they write a piece. llama.cpp's converter stores user-defined pieces with real spaces and
//! normal ones with U+2581; some other writers type the 256 byte pieces as normal ones. Both forms are read.

use super::bound::Changes;
use super::error::{Error, Result, malformed};
use super::gguf::{entries, need, token_id};
use super::gguf_bpe::Built;
use super::pretokenizer::Bos;
use super::special::{Special, Specials};
use super::spm::{Fallback, Piece, Prefix, Spm, Use};
use super::tokenizer::{Encoder, Leading};
use super::vocab::{Kind, SPACE_TEXT, Spelling, Vocabulary, byte_piece};
use crate::decoder::weights::metadata::Metadata;
use std::collections::{HashMap, HashSet};

/// Builds vocabulary and encoder.
pub(crate) fn build(metadata: &Metadata) -> Result<Built> {
    check_normaliser(metadata)?;
    let vocabulary = Vocabulary::new(typed(entries(metadata)?), Spelling::SentencePiece);
    let scores = need(metadata.floats("tokenizer.ggml.scores")?, "tokenizer.ggml.scores")?;
    if scores.len() != vocabulary.len() || scores.iter().any(|score| score.is_nan()) {
        return Err(malformed("tokenizer.ggml.scores"));
    }
    let prefixed = metadata.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let user_defined = vocabulary.iter().filter(|(.., kind)| *kind == Kind::UserDefined);
    let spm = Spm {
        pieces: pieces(&vocabulary, scores),
        frozen: Specials::new(user_defined.map(|(id, text, _)| Special::plain(&spaced(text), id))),
        fallback: fallback(metadata, &vocabulary)?,
        prefix: if prefixed { Prefix::Space } else { Prefix::Nothing },
    };
    Ok(Built {
        spelling: Spelling::SentencePiece,
        changes: Changes::None,
        encoder: Encoder::Spm(spm),
        vocabulary,
        leading: if prefixed { Leading::Drop } else { Leading::Keep },
        bos: Bos::Add,
    })
}

fn pieces(vocabulary: &Vocabulary, scores: &[f32]) -> HashMap<String, Piece> {
    let mut pieces = HashMap::with_capacity(vocabulary.len());
    for ((id, text, kind), score) in vocabulary.iter().zip(scores) {
        let usage = match kind {
            Kind::Normal | Kind::UserDefined => Use::Stays,
            Kind::Unused => Use::FallsApart,
            Kind::Control | Kind::Unknown | Kind::Byte => continue,
        };
        // Adding zero turns -0.0 into 0.0, which the merge order must not tell apart.
        let piece = Piece { id, score: score + 0.0, usage };
        pieces.entry(spaced(text)).or_insert(piece);
    }
    pieces
}

/// A piece as the encoder meets it in a text: spaces are U+2581 there.
fn spaced(piece: &str) -> String {
    piece.replace(' ', SPACE_TEXT)
}

/// The entries, with byte pieces typed as such where the file has all 256 of them and calls them normal.
fn typed(mut entries: Vec<(String, Kind)>) -> Vec<(String, Kind)> {
    let byte = |(text, kind): &(String, Kind)| {
        byte_piece(text).filter(|_| matches!(kind, Kind::Normal | Kind::Byte))
    };
    let found: HashSet<u8> = entries.iter().filter_map(byte).collect();
    if found.len() == 256 {
        let pieces = entries.iter_mut().filter(|entry| byte(entry).is_some());
        pieces.for_each(|(_, kind)| *kind = Kind::Byte);
    }
    entries
}

/// The text must reach the pieces as it is written: rules that rewrite it first are not built.
fn check_normaliser(metadata: &Metadata) -> Result<()> {
    const CHARSMAP: &str = "tokenizer.ggml.precompiled_charsmap";
    const SQUEEZE: &str = "tokenizer.ggml.remove_extra_whitespaces";
    let squeezes = metadata.flag(SQUEEZE)?.unwrap_or(false);
    let key = match metadata.value(CHARSMAP) {
        Some(_) => CHARSMAP,
        None if squeezes => SQUEEZE,
        None => return Ok(()),
    };
    Err(Error::Unsupported { key })
}

fn fallback(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<Fallback> {
    let mut table = vec![None; 256];
    for (id, text, kind) in vocabulary.iter() {
        let byte = byte_piece(text).filter(|_| kind == Kind::Byte);
        if let Some(slot) = byte.and_then(|byte| table.get_mut(usize::from(byte))) {
            *slot = Some(id);
        }
    }
    if let Some(bytes) = table.into_iter().collect::<Option<Vec<u32>>>() {
        return Ok(Fallback::Bytes(bytes));
    }
    let unknown = token_id(metadata, "tokenizer.ggml.unknown_token_id", vocabulary)?;
    let first = || vocabulary.iter().find(|(.., kind)| *kind == Kind::Unknown).map(|(id, ..)| id);
    unknown
        .or_else(first)
        .map(Fallback::Unknown)
        .ok_or_else(|| malformed("tokenizer.ggml.unknown_token_id"))
}

#[cfg(test)]
mod tests {
    use super::super::golden::metadata;
    use super::super::tokenizer::Special::{Parse, Plain};
    use super::super::{Control, Tokenizer};
    use serde_json::{Value, json};

    /// Three specials and the bytes, then normal pieces, then what a test is about.
    fn file(normal: &[&str], last: &[(&str, u8)]) -> Value {
        let bytes = (0..256).map(|byte| format!("<0x{byte:02X}>"));
        let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(str::to_owned).to_vec();
        tokens.extend(bytes);
        tokens
            .extend(normal.iter().chain(last.iter().map(|(text, _)| text)).map(|t| t.to_string()));
        let mut types = vec![2, 3, 3];
        types.extend([6; 256]);
        types.extend(vec![1; normal.len()]);
        types.extend(last.iter().map(|(_, kind)| *kind));
        let scores: Vec<f32> = (0..tokens.len()).map(|id| -(id as f32)).collect();
        json!({
            "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": types, "tokenizer.ggml.scores": scores,
            "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.add_space_prefix": false,
        })
    }

    fn built(file: &Value) -> Tokenizer {
        Tokenizer::from_metadata(&metadata(file)).unwrap()
    }

    #[test]
    fn runs_of_spaces_are_their_pieces_however_a_file_writes_them() {
        // llama.cpp's ids for the file with real spaces, as its converter writes Gemma's.
        for two in ["  ", "\u{2581}\u{2581}", " \u{2581}"] {
            let tokenizer = built(&file(&["\u{2581}", "a", "b", "\u{2581}b"], &[(two, 4)]));
            for (text, ids) in [
                ("a  b", vec![260, 263, 261]),
                ("a   b", vec![260, 263, 262]),
                ("a b", vec![260, 262]),
                ("    a", vec![263, 263, 260]),
            ] {
                assert_eq!(tokenizer.encode(text, Plain).unwrap(), ids, "{two:?} {text:?}");
                assert_eq!(tokenizer.decode(&ids, Control::Hide), text);
            }
        }
    }

    #[test]
    fn phi3s_control_tokens_swallow_white_space_behind_them() {
        let controls = [("<|user|>", 3), ("<|end|>", 3), ("<|endoftext|>", 3)];
        let mut file = file(&["\u{2581}", "H", "i", "\u{2581}H", "\u{2581}Hi"], &controls);
        file["tokenizer.ggml.add_space_prefix"] = true.into();
        let text = "<|user|>\nHi<|end|>\n\u{a0}<|endoftext|>\n</s> Hi";
        let ids = |file: &Value| built(file).encode(text, Parse).unwrap();
        file["general.architecture"] = "phi3".into();
        // One new line stays behind <|endoftext|>, with the prefix in front of it.
        assert_eq!(ids(&file), [264, 263, 265, 266, 259, 13, 2, 263]);
        file["general.architecture"] = "llama".into();
        assert_ne!(ids(&file), [264, 263, 265, 266, 259, 13, 2, 263]);
    }

    #[test]
    fn a_file_that_names_no_bos_means_its_second_token() {
        let mut file = file(&["\u{2581}", "a"], &[]);
        file.as_object_mut().unwrap().remove("tokenizer.ggml.bos_token_id");
        let begins = |file: &Value| built(file).with_bos(vec![260]);
        assert_eq!(begins(&file), [1, 260]);
        file["tokenizer.ggml.add_bos_token"] = true.into();
        assert_eq!(begins(&file), [1, 260]);
        file["tokenizer.ggml.tokens"][1] = "<eos>".into();
        let error = Tokenizer::from_metadata(&metadata(&file)).unwrap_err().to_string();
        assert!(error.contains("tokenizer.ggml.bos_token_id"), "{error}");
        file["tokenizer.ggml.add_bos_token"] = false.into();
        assert_eq!(begins(&file), [260]);
    }

    #[test]
    fn byte_pieces_that_a_file_calls_normal_are_bytes() {
        let right = file(&["\u{2581}", "a"], &[]);
        let mut wrong = right.clone();
        for kind in &mut wrong["tokenizer.ggml.token_type"].as_array_mut().unwrap()[3..259] {
            *kind = 1.into();
        }
        let (right, wrong) = (built(&right), built(&wrong));
        let text = "a\n\u{e9}<0x0A>";
        let ids = right.encode(text, Plain).unwrap();
        assert_eq!(ids[..2], [260, 13]);
        assert_eq!(wrong.encode(text, Plain).unwrap(), ids);
        assert_eq!(wrong.decode(&ids, Control::Hide), text);
    }

    #[test]
    fn rules_that_rewrite_the_text_are_refused() {
        for (key, value) in [
            ("tokenizer.ggml.precompiled_charsmap", json!([1, 2, 3])),
            ("tokenizer.ggml.remove_extra_whitespaces", json!(true)),
        ] {
            let mut file = file(&["a"], &[]);
            file[key] = value;
            let error = Tokenizer::from_metadata(&metadata(&file)).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
