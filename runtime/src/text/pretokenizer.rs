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
    Nfc,
}

/// What a piece that is itself a vocabulary entry does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WholePiece {
    /// Goes through the merges like any other.
    Merge,
    Take,
}

/// Whether a beginning-of-text token belongs in front of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bos {
    Add,
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
const SEED_CODER: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}|",
    r" ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+",
);
const TEKKEN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|",
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
const O200K: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
/// DeepSeek's letters with case, as its file lists them.
const CASED: &str = concat!(
    r"\s?[",
    r"A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF}",
    r"\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}",
    r"\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}",
    r"\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}",
    r"\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}",
    r"\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}",
    r"\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}",
    r"\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}",
    r"\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}",
    r"\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}",
    r"\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}",
    r"\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}",
    r"\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}",
    r"\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}",
    r"]+",
);
/// DeepSeek's punctuation: ASCII's and its wide forms, quotation marks, the stops of Chinese.
const PUNCTUATION: &str =
    r"\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+";
/// Chinese and Korean, and all that lies between.
const CJK: &str = r"[\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+";
const HAN_KANA: &str = r"[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+";
const DEEPSEEK_V3: &str = concat!(
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"##,
    r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

/// What most rows have.
const USUAL: Rules = Rules {
    names: &[],
    splits: &[],
    normalise: Normalise::Nothing,
    whole_piece: WholePiece::Merge,
    bos: Bos::Leave,
};

pub(crate) const TABLE: &[Rules] = &[
    Rules {
        names: &["smollm", "refact", "starcoder", "minerva-7b"],
        splits: &[r"\p{N}", GPT2],
        ..USUAL
    },
    Rules {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3", "midm-2.0"],
        splits: &[CL100K],
        whole_piece: WholePiece::Take,
        bos: Bos::Add,
        ..USUAL
    },
    Rules { names: &["dbrx", "smaug-bpe"], splits: &[CL100K], ..USUAL },
    Rules {
        names: &["qwen2", "deepseek-r1-qwen", "megrez", "f2llmv2", "kormo"],
        splits: &[QWEN2],
        normalise: Normalise::Nfc,
        ..USUAL
    },
    Rules { names: &["gpt-2", "phi-2", "trillion", "mellum", "a.x-4.0"], splits: &[GPT2], ..USUAL },
    Rules { names: &["olmo"], splits: &[GPT2], normalise: Normalise::Nfc, ..USUAL },
    Rules {
        names: &["tekken"],
        splits: &[TEKKEN],
        whole_piece: WholePiece::Take,
        bos: Bos::Add,
        ..USUAL
    },
    Rules { names: &["gpt-4o"], splits: &[O200K], ..USUAL },
    Rules { names: &["seed-coder"], splits: &[SEED_CODER], ..USUAL },
    Rules {
        names: &["deepseek-llm"],
        splits: &[r"[\r\n]", CASED, PUNCTUATION, r"\s+$", CJK, r"\p{N}"],
        ..USUAL
    },
    Rules {
        names: &["deepseek-coder"],
        splits: &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK, r"\p{N}"],
        ..USUAL
    },
    Rules { names: &["deepseek-v3"], splits: &[r"\p{N}{1,3}", HAN_KANA, DEEPSEEK_V3], ..USUAL },
    Rules { names: &["superbpe"], splits: &[r"\p{N}+", r"(?=(\d{3})+(?!\d))"], ..USUAL },
    // Its two steps, digits by threes and then the rest, cut as the one step of Llama 3 does.
    Rules { names: &["minicpm5"], splits: &[CL100K], whole_piece: WholePiece::Take, ..USUAL },
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
