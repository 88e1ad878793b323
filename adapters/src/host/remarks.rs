//! From what is said to what is taught: judgements of remarks, names of subjects, digests of what was said.

use super::evidence::Evidence;
use super::feedback::{AnswerRef, ForeignAnswer, Remark, Thumb};
use super::pinned::AnswerRecord;
use super::rosa_lessons::Judged;
use crate::error::{Error, Result};
use crate::rosa::{Judgement, JudgementSource, RewardRules};
use serde_json::{Value, json};
use std::sync::Arc;
use trimtab_runtime::fingerprint::{Fingerprint, FingerprintBuilder};

/// What a remark comes to.
#[derive(Clone)]
pub(super) enum Heard {
    /// A judgement of the answer.
    Judgement(Judgement),
    /// The answer as it should have been.
    Rewritten(Vec<u32>, Judgement),
    /// It teaches nothing, for this reason.
    Nothing(&'static str),
}

/// What a remark says of an answer with these tokens, in a vocabulary of this size.
///
/// # Errors
///
/// Numbers out of range, a span outside the answer, tokens outside the vocabulary.
pub(super) fn heard(remark: &Remark, answer: &[u32], vocabulary: usize) -> Result<Heard> {
    let judgement = match remark {
        Remark::Reward { reward, confidence, span } => Judgement {
            confidence: *confidence,
            span: span.clone().map(|span| vec![span]),
            ..Judgement::value(*reward)
        },
        Remark::Thumb(Thumb::Up) => Judgement::up(),
        Remark::Thumb(Thumb::Down) => Judgement::down(),
        Remark::Text(text) => match RewardRules::english()?.judge(text) {
            Some(judgement) => judgement,
            None => return Ok(Heard::Nothing("no_rule")),
        },
        Remark::Edited(tokens) => {
            in_vocabulary("edited", tokens, vocabulary)?;
            return Ok(match Judgement::edited(answer, tokens) {
                Some(judgement) => Heard::Rewritten(tokens.clone(), judgement),
                None => Heard::Nothing("no_change"),
            });
        }
    };
    judgement.check(answer.len())?;
    Ok(Heard::Judgement(judgement))
}

/// Refuses a token that the model does not have.
pub(super) fn in_vocabulary(field: &'static str, tokens: &[u32], vocabulary: usize) -> Result<()> {
    match tokens.iter().find(|id| **id as usize >= vocabulary) {
        Some(id) => {
            let problem = format!("has token {id}, the vocabulary {vocabulary}");
            Err(Error::invalid(field, problem))
        }
        None => Ok(()),
    }
}

/// What a remark teaches about a recorded answer.
pub(super) fn about(
    id: String,
    record: &Arc<AnswerRecord>,
    heard: Heard,
) -> std::result::Result<Judged, &'static str> {
    match heard {
        Heard::Nothing(why) => Err(why),
        Heard::Judgement(_) if record.recording.inserted > 0 => Err("inserted_tokens"),
        Heard::Judgement(judgement) => {
            Ok(Judged { evidence: Evidence::recorded(id, record), judgement })
        }
        Heard::Rewritten(tokens, judgement) => {
            Ok(Judged { evidence: Evidence::rewritten(id, record, tokens), judgement })
        }
    }
}

/// What is shown of a remark beside the version that it led to; never what was typed.
pub(super) fn said(heard: &Heard) -> Value {
    let of = |judgement: &Judgement| {
        let Judgement { reward, confidence, source, .. } = judgement;
        let source = match source {
            JudgementSource::Value => "value",
            JudgementSource::Thumb => "thumb",
            JudgementSource::Text => "text",
            JudgementSource::Edit => "edit",
            JudgementSource::Model => "model",
        };
        json!({"reward": reward, "confidence": confidence, "source": source})
    };
    match heard {
        Heard::Judgement(judgement) | Heard::Rewritten(_, judgement) => of(judgement),
        Heard::Nothing(why) => json!({"nothing": why}),
    }
}

/// The name of a kept answer as the subject of a lesson.
pub(super) fn name_of(answer: &AnswerRef) -> String {
    format!("{}#{}", answer.response, answer.choice)
}

/// The name of a text from elsewhere.
pub(super) fn name_of_text(answer: &ForeignAnswer) -> String {
    let digest = Fingerprint::builder("trimtab.lesson.text");
    let digest = digest.number(answer.prompt.len() as u64).tokens(&answer.prompt);
    format!("text:{}", digest.tokens(&answer.tokens).finish())
}

/// The name of a pair, whichever of the two was preferred.
pub(super) fn name_of_pair(a: &str, b: &str) -> String {
    let (first, second) = if a <= b { (a, b) } else { (b, a) };
    format!("{first}>{second}")
}

/// Digest of a remark: the same remark again has the same.
pub(super) fn digest_of(remark: &Remark) -> String {
    let digest = Fingerprint::builder("trimtab.remark");
    let float = |digest: FingerprintBuilder, x: f64| digest.number(x.to_bits());
    let digest = match remark {
        Remark::Reward { reward, confidence, span } => {
            let digest = float(float(digest.text("reward"), *reward), *confidence);
            span.iter().fold(digest, |digest, span| {
                digest.number(span.start as u64).number(span.end as u64)
            })
        }
        Remark::Thumb(Thumb::Up) => digest.text("up"),
        Remark::Thumb(Thumb::Down) => digest.text("down"),
        Remark::Text(text) => digest.text("text").text(text),
        Remark::Edited(tokens) => digest.text("edited").tokens(tokens),
    };
    digest.finish().to_string()
}
