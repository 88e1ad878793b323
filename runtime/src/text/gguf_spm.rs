//! SentencePiece BPE rebuilt from GGUF metadata (`tokenizer.ggml.model` = `llama`): Llama 2, Gemma, Phi-3.

use super::error::{Result, malformed};
use super::gguf::{entries, need, token_id};
use super::gguf_bpe::Built;
use super::pretokenizer::Bos;
use super::special::{Special, Specials};
use super::spm::{Fallback, Piece, Prefix, Spm, Use};
use super::tokenizer::{Encoder, Leading};
use super::vocab::{Kind, Spelling, Vocabulary, byte_piece};
use crate::model::weights::metadata::Metadata;
use std::collections::HashMap;

/// Builds vocabulary and encoder.
pub(crate) fn build(metadata: &Metadata) -> Result<Built> {
    let vocabulary = Vocabulary::new(entries(metadata)?, Spelling::SentencePiece);
    let scores = need(metadata.floats("tokenizer.ggml.scores")?, "tokenizer.ggml.scores")?;
    if scores.len() != vocabulary.len() || scores.iter().any(|score| score.is_nan()) {
        return Err(malformed("tokenizer.ggml.scores"));
    }
    let spaced = metadata.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let user_defined = vocabulary.iter().filter(|(.., kind)| *kind == Kind::UserDefined);
    let spm = Spm {
        pieces: pieces(&vocabulary, scores),
        frozen: Specials::new(user_defined.map(|(id, text, _)| Special::plain(text, id))),
        fallback: fallback(metadata, &vocabulary)?,
        prefix: if spaced { Prefix::Space } else { Prefix::Nothing },
    };
    Ok(Built {
        encoder: Encoder::Spm(spm),
        vocabulary,
        leading: if spaced { Leading::Drop } else { Leading::Keep },
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
        pieces.entry(text.to_owned()).or_insert(piece);
    }
    pieces
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
