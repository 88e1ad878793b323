//! Byte-level BPE rebuilt from GGUF metadata (`tokenizer.ggml.model` = `gpt2`).
//!
//! The `tokenizers` crate does the work; this file gives it the split rules that `tokenizer.ggml.pre` names.
//! Control tokens are left out of what it sees, so that no merge and no whole-piece rule can reach one.

use super::error::{Error, Result, backend};
use super::gguf::{entries, need};
use super::pretokenizer::{self, Bos, Normalise, Rules, WholePiece};
use super::tokenizer::{Encoder, Leading};
use super::vocab::{Kind, Spelling, Vocabulary};
use crate::model::weights::metadata::Metadata;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, PreTokenizerWrapper, SplitDelimiterBehavior};

/// What a builder of one algorithm hands back.
pub(crate) struct Built {
    pub(crate) vocabulary: Vocabulary,
    pub(crate) encoder: Encoder,
    pub(crate) leading: Leading,
    pub(crate) bos: Bos,
}

/// Builds vocabulary and encoder.
pub(crate) fn build(metadata: &Metadata) -> Result<Built> {
    let pre = need(metadata.text("tokenizer.ggml.pre")?, "tokenizer.ggml.pre")?;
    let rules = pretokenizer::rules(pre)
        .ok_or_else(|| Error::UnknownPre { pre: pre.to_owned(), known: pretokenizer::known() })?;
    let vocabulary = Vocabulary::new(entries(metadata)?, Spelling::ByteLevel);
    let merges = need(metadata.texts("tokenizer.ggml.merges")?, "tokenizer.ggml.merges")?;
    let tokenizer = pipeline(&vocabulary, merges, rules)?;
    Ok(Built {
        encoder: Encoder::Pipeline { first: Box::new(tokenizer), later: None },
        vocabulary,
        leading: Leading::Keep,
        bos: rules.bos,
    })
}

fn pipeline(
    vocabulary: &Vocabulary,
    merges: &[String],
    rules: &Rules,
) -> Result<tokenizers::Tokenizer> {
    let visible: Vocab = vocabulary
        .iter()
        .filter(|(.., kind)| matches!(kind, Kind::Normal | Kind::UserDefined))
        .map(|(id, text, _)| (text.to_owned(), id))
        .collect();
    let merges = merges
        .iter()
        .enumerate()
        .map(|(index, rule)| pair(index, rule, |text| visible.contains_key(text)))
        .collect::<Result<Vec<_>>>()?;
    let model = BPE::builder()
        .vocab_and_merges(visible, merges)
        .ignore_merges(rules.whole_piece == WholePiece::Take)
        .build()
        .map_err(backend("building the merges"))?;
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(splitter(rules)?));
    if rules.normalise == Normalise::Nfc {
        tokenizer.with_normalizer(Some(NFC)).map_err(backend("setting the normaliser"))?;
    }
    let user_defined = vocabulary
        .iter()
        .filter(|(.., kind)| *kind == Kind::UserDefined)
        .map(|(_, text, _)| AddedToken::from(text, false).normalized(false));
    tokenizer
        .add_tokens(user_defined.collect::<Vec<_>>())
        .map_err(backend("adding user-defined tokens"))?;
    Ok(tokenizer)
}

/// A merge rule as its two halves, checked here because the crate would panic or blame no one.
fn pair(index: usize, rule: &str, is_token: impl Fn(&str) -> bool) -> Result<(String, String)> {
    let bad = || Error::BadMerge { index, rule: rule.to_owned() };
    let (left, right) = rule.split_once(' ').ok_or_else(bad)?;
    let fits = is_token(left) && is_token(right) && is_token(&format!("{left}{right}"));
    fits.then(|| (left.to_owned(), right.to_owned())).ok_or_else(bad)
}

fn splitter(rules: &Rules) -> Result<Sequence> {
    let mut steps = Vec::with_capacity(rules.splits.len() + 1);
    for pattern in rules.splits {
        let pattern = SplitPattern::Regex((*pattern).to_owned());
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
            .map_err(backend("compiling the split rules"))?;
        steps.push(PreTokenizerWrapper::Split(split));
    }
    steps.push(PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, false)));
    Ok(Sequence::new(steps))
}
