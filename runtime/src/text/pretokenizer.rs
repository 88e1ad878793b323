//! Split rules of byte-level BPE vocabularies, by the name in `tokenizer.ggml.pre`.
//!
//! A row says which regular expressions cut the text (one after the other, each inside the pieces of the one
//! before), how the text is normalised first, whether a whole piece found in the vocabulary skips the merges,
//! and whether a BOS token is the custom. Rules are those of the models' own `tokenizer.json`; names that
//! share a row in llama.cpp share one here. A name that is not here is an error, because a wrong split gives
//! plausible ids and a worse model.

/// Unicode normalisation before splitting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Normalise {
    /// Text as it is.
    Nothing,
    /// Canonical composition.
    Nfc,
}

/// What a piece that is itself a vocabulary entry does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WholePiece {
    /// Goes through the merges like any other.
    Merge,
    /// Is that entry.
    Take,
}

/// Whether a beginning-of-text token belongs in front of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bos {
    /// It does.
    Add,
    /// It does not.
    Leave,
}

/// One set of split rules.
#[derive(Debug)]
pub(crate) struct Rules {
    /// The names GGUF files use for it.
    pub(crate) names: &'static [&'static str],
    /// The expressions, outermost first.
    pub(crate) splits: &'static [&'static str],
    pub(crate) normalise: Normalise,
    pub(crate) whole_piece: WholePiece,
    pub(crate) bos: Bos,
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const CL100K: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
const QWEN2: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

/// All rules.
pub(crate) const TABLE: &[Rules] = &[
    Rules {
        names: &["smollm"],
        splits: &[r"\p{N}", GPT2],
        normalise: Normalise::Nothing,
        whole_piece: WholePiece::Merge,
        bos: Bos::Leave,
    },
    Rules {
        names: &["llama-bpe", "llama3", "llama-v3"],
        splits: &[CL100K],
        normalise: Normalise::Nothing,
        whole_piece: WholePiece::Take,
        bos: Bos::Add,
    },
    Rules {
        names: &["dbrx"],
        splits: &[CL100K],
        normalise: Normalise::Nothing,
        whole_piece: WholePiece::Merge,
        bos: Bos::Leave,
    },
    Rules {
        names: &["qwen2", "deepseek-r1-qwen"],
        splits: &[QWEN2],
        normalise: Normalise::Nfc,
        whole_piece: WholePiece::Merge,
        bos: Bos::Leave,
    },
    Rules {
        names: &["gpt-2", "phi-2"],
        splits: &[GPT2],
        normalise: Normalise::Nothing,
        whole_piece: WholePiece::Merge,
        bos: Bos::Leave,
    },
    Rules {
        names: &["olmo"],
        splits: &[GPT2],
        normalise: Normalise::Nfc,
        whole_piece: WholePiece::Merge,
        bos: Bos::Leave,
    },
];

/// The rules of one name.
pub(crate) fn rules(name: &str) -> Option<&'static Rules> {
    TABLE.iter().find(|rules| rules.names.contains(&name))
}

/// All names, for error messages.
pub(crate) fn known() -> String {
    let names: Vec<&str> = TABLE.iter().flat_map(|r| r.names.iter().copied()).collect();
    names.join(", ")
}
