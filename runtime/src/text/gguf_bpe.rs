//! Byte-level BPE rebuilt from GGUF metadata (`tokenizer.ggml.model` = `gpt2`).
//!
//! The `tokenizers` crate does the work; this file gives it the split rules that `tokenizer.ggml.pre` names.
//! Control tokens are left out of what it sees, so that no merge and no whole-piece rule can reach one.

use super::bound::Changes;
use super::error::{Error, Result, backend};
use super::gguf::{entries, need};
use super::pretokenizer::{self, Bos, Normalise, Rules, WholePiece};
use super::tokenizer::{Encoder, Leading};
use super::vocab::{Kind, Spelling, Vocabulary};
use crate::decoder::weights::metadata::Metadata;
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
    pub(crate) spelling: Spelling,
    pub(crate) changes: Changes,
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
    let changes = match rules.normalise {
        Normalise::Nothing => Changes::None,
        Normalise::Nfc => Changes::Nfc,
    };
    Ok(Built {
        spelling: Spelling::ByteLevel,
        changes,
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

#[cfg(test)]
mod tests {
    use super::super::gguf::hex;
    use super::super::golden::{json, list};
    use super::*;
    use sha2::{Digest, Sha256};
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

    /// A digest of the pieces a name cuts a text into.
    fn pieces(name: &str, text: &str) -> String {
        let mut cut = PreTokenizedString::from(text);
        splitter(pretokenizer::rules(name).unwrap()).unwrap().pre_tokenize(&mut cut).unwrap();
        let splits = cut.get_splits(OffsetReferential::Original, OffsetType::Byte);
        let pieces: Vec<&str> = splits.into_iter().map(|(piece, ..)| piece).collect();
        hex(&Sha256::digest(pieces.join("\n")))[..6].to_owned()
    }

    #[test]
    fn each_name_cuts_texts_as_tokenizers_does() {
        let golden = json("splits.json");
        let corpus = json("corpus.json");
        let texts = list(&golden["texts"]).iter().chain(list(&corpus));
        let texts: Vec<&str> = texts.map(|text| text.as_str().unwrap()).collect();
        let rows = golden["pieces"].as_object().unwrap();
        for (name, digests) in rows {
            let digests: Vec<&str> = digests.as_str().unwrap().split(' ').collect();
            assert_eq!(digests.len(), texts.len());
            for (text, digest) in texts.iter().zip(digests) {
                assert_eq!(pieces(name, text), digest, "{name} {text:?}");
            }
        }
        // The texts tell every two rules apart, so agreement means something.
        let different: std::collections::HashSet<&str> =
            rows.values().map(|digests| digests.as_str().unwrap()).collect();
        // MiniCPM 5 writes Llama 3's rule in two steps.
        assert_eq!(rows["minicpm5"], rows["llama-bpe"]);
        assert_eq!(different.len(), rows.len() - 1);
        let cuts = |r: &Rules| r.splits;
        let all: std::collections::HashSet<_> = pretokenizer::TABLE.iter().map(cuts).collect();
        assert_eq!(all.len(), different.len(), "a rule has no golden row");
    }

    #[test]
    fn names_stand_once_and_share_what_llama_cpp_has_them_share() {
        let names: Vec<&str> =
            pretokenizer::TABLE.iter().flat_map(|r| r.names.iter().copied()).collect();
        let once: std::collections::HashSet<&str> = names.iter().copied().collect();
        assert_eq!(once.len(), names.len());
        let takes = |name| pretokenizer::rules(name).unwrap().whole_piece == WholePiece::Take;
        let begins = |name| pretokenizer::rules(name).unwrap().bos == Bos::Add;
        let taking: Vec<&str> = names.iter().copied().filter(|name| takes(name)).collect();
        let llama3 = ["llama-bpe", "llama3", "llama-v3", "falcon3", "midm-2.0"];
        assert_eq!(taking, [&llama3[..], &["tekken", "minicpm5"]].concat());
        let beginning: Vec<&str> = names.iter().copied().filter(|name| begins(name)).collect();
        assert_eq!(beginning, [&llama3[..], &["tekken"]].concat());
    }
}
