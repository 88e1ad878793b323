//! [`Tokenizer`]: text to ids and back.
//!
//! One type for every source. What a source decides (the algorithm, the vocabulary, which entries are
//! control) is settled when it is built; afterwards nothing changes, so it is shared by `Arc` among threads.
//! Control tokens are known to this layer alone: the encoder below has never heard of them, and a text that
//! merely spells one is ordinary text.

use super::bound::Bound;
use super::error::{Error, Result, backend};
use super::pretokenizer::Bos;
use super::rendered::{Origin, Rendered};
use super::special::Specials;
use super::spm::Spm;
use super::vocab::Vocabulary;
use super::{gguf, hf};
use crate::decoder::weights::metadata::Metadata;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

/// What control-token spellings in a text are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// Ordinary text. The choice for everything a user wrote.
    Plain,
    /// The tokens they spell. The choice for prompts written by the user of the program.
    Parse,
}

/// What decoding does with control tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Leaves them out.
    Hide,
    /// Writes their text.
    Show,
}

/// Whether the space that an encoder puts in front of a text is taken away again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leading {
    Keep,
    Drop,
}

/// What turns ordinary text into ids.
pub(crate) enum Encoder {
    /// The `tokenizers` crate. `later` is set when pieces behind a special token are treated differently.
    Pipeline {
        first: Box<tokenizers::Tokenizer>,
        later: Option<Box<tokenizers::Tokenizer>>,
    },
    Spm(Spm),
}

/// Ids that begin and end a text.
pub(crate) struct Ends {
    pub(crate) bos: Option<u32>,
    pub(crate) eos: Option<u32>,
    /// Further ids that end a generation.
    pub(crate) more: Vec<u32>,
    pub(crate) custom: Bos,
}

/// What the sources deliver.
pub(crate) struct Parts {
    pub(crate) vocabulary: Vocabulary,
    pub(crate) encoder: Encoder,
    pub(crate) specials: Specials,
    pub(crate) ends: Ends,
    pub(crate) leading: Leading,
    /// Roles of tokens that the vocabulary does not have.
    pub(crate) unresolved: Vec<(&'static str, String)>,
    pub(crate) bound: Bound,
    pub(crate) sha256: String,
}

/// Control tokens that end a turn or a text in some model family.
const END_NAMES: &[&str] = &[
    "</s>",
    "<eos>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
];

/// Turns text into token ids and back.
pub struct Tokenizer {
    parts: Parts,
    end_of_generation: BTreeSet<u32>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocab_size", &self.vocab_size())
            .field("sha256", &self.parts.sha256)
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Reads a `tokenizer.json`, and `tokenizer_config.json`, `special_tokens_map.json` and
    /// `generation_config.json` beside it where they exist.
    pub fn from_file(path: &Path) -> Result<Self> {
        hf::tokenizer(path)
    }

    /// Reads the tokenizer of a model folder; `None` if the folder holds none in any form.
    pub fn from_folder(folder: &Path) -> Result<Option<Self>> {
        hf::of_folder(folder)
    }

    /// Rebuilds the tokenizer of a GGUF file.
    pub fn from_metadata(metadata: &Metadata) -> Result<Self> {
        gguf::tokenizer(metadata)
    }

    pub(crate) fn assemble(parts: Parts) -> Self {
        let named = END_NAMES.iter().filter_map(|name| parts.vocabulary.id_of(name));
        let named = named.filter(|id| parts.vocabulary.is_control(*id));
        let given = parts.ends.eos.into_iter().chain(parts.ends.more.iter().copied());
        let end_of_generation = named.chain(given).collect();
        Self { parts, end_of_generation }
    }

    /// The ids of a text, with no BOS added.
    pub fn encode(&self, text: &str, special: Special) -> Result<Vec<u32>> {
        match special {
            Special::Plain => self.encode_where(text, |_| false),
            Special::Parse => self.encode_where(text, |_| true),
        }
    }

    /// The ids of a rendered conversation: control tokens are recognised only in what the template wrote,
    /// and the text between two of them is encoded in one piece, whatever its source. No BOS is added, because
    /// writing one is the template's business.
    pub fn encode_rendered(&self, rendered: &Rendered) -> Result<Vec<u32>> {
        let text = rendered.text();
        let content = rendered.content_ranges();
        self.encode_where(&text, |range| rendered_allows(&text, &content, &range))
    }

    /// A number of tokens that a text has at least, found without tokenising it: a text that is far too long can be refused
    /// before it costs anything. 0 where nothing is known of the tokenizer.
    pub fn fewest_tokens(&self, text: &str, special: Special) -> usize {
        let found = match special {
            Special::Plain => Vec::new(),
            Special::Parse => self.parts.specials.find(text, |_| true),
        };
        let starts = [0].into_iter().chain(found.iter().map(|token| token.taken.end));
        let ends = found.iter().map(|token| token.taken.start).chain([text.len()]);
        let between = starts.zip(ends).filter_map(|(from, to)| text.get(from..to));
        found.len() + self.parts.bound.fewest(between)
    }

    /// The same of a rendered conversation; what the template wrote is not counted.
    pub fn fewest_tokens_rendered(&self, rendered: &Rendered) -> usize {
        let segments = rendered.segments.iter().filter(|s| s.origin == Origin::Content);
        self.parts.bound.fewest(segments.map(|segment| segment.text.as_str()))
    }

    /// Puts BOS in front if this model wants one and the ids do not begin with it.
    pub fn with_bos(&self, mut ids: Vec<u32>) -> Vec<u32> {
        if let Some(bos) = self.bos().filter(|bos| self.adds_bos() && ids.first() != Some(bos)) {
            ids.insert(0, bos);
        }
        ids
    }

    /// The text of ids. Malformed UTF-8 becomes U+FFFD; ids outside the vocabulary become nothing.
    pub fn decode(&self, ids: &[u32], control: Control) -> String {
        let mut bytes = Vec::new();
        for id in ids {
            let spelled = self.is_control(*id) && control == Control::Show;
            let more = if spelled {
                self.token_text(*id).map(str::as_bytes)
            } else {
                self.token_bytes(*id)
            };
            bytes.extend_from_slice(more.unwrap_or_default());
        }
        let skip = usize::from(self.drops_leading_space() && bytes.first() == Some(&b' '));
        String::from_utf8_lossy(bytes.get(skip..).unwrap_or_default()).into_owned()
    }

    /// The bytes that a token adds to a text: none for control tokens, `None` outside the vocabulary.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.parts.vocabulary.bytes(id)
    }

    /// A token as the vocabulary spells it.
    pub fn token_text(&self, id: u32) -> Option<&str> {
        self.parts.vocabulary.text(id)
    }

    /// The id of a token as the vocabulary spells it.
    pub fn id_of(&self, token: &str) -> Option<u32> {
        self.parts.vocabulary.id_of(token)
    }

    /// One more than the largest id.
    pub fn vocab_size(&self) -> usize {
        self.parts.vocabulary.len()
    }

    /// The id that begins a text.
    pub fn bos(&self) -> Option<u32> {
        self.parts.ends.bos
    }

    /// The id that ends a text.
    pub fn eos(&self) -> Option<u32> {
        self.parts.ends.eos
    }

    /// Whether a generation is over when this id is drawn.
    pub fn is_end_of_generation(&self, id: u32) -> bool {
        self.end_of_generation.contains(&id)
    }

    /// Whether a prompt without a template begins with BOS.
    pub fn adds_bos(&self) -> bool {
        self.parts.ends.custom == Bos::Add && self.parts.ends.bos.is_some()
    }

    /// Whether a token is control: never text, never the result of encoding plain text.
    pub fn is_control(&self, id: u32) -> bool {
        self.parts.vocabulary.is_control(id)
    }

    /// Hash of everything that decides the ids, in lower-case hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.parts.sha256
    }

    /// The texts of all control tokens, in no order.
    pub(crate) fn control_texts(&self) -> impl Iterator<Item = &str> {
        self.parts.specials.texts()
    }

    /// Roles, such as `bos_token`, whose tokens the vocabulary does not have.
    pub(crate) fn unresolved(&self) -> &[(&'static str, String)] {
        &self.parts.unresolved
    }

    pub(crate) fn drops_leading_space(&self) -> bool {
        self.parts.leading == Leading::Drop
    }

    /// The first control token that a text spells, as the vocabulary spells it.
    pub fn spelled_control(&self, text: &str) -> Option<&str> {
        self.token_text(self.controls_in(text).first().copied()?)
    }

    /// Control tokens spelled in a text, in order.
    pub(crate) fn controls_in(&self, text: &str) -> Vec<u32> {
        let found = self.parts.specials.find(text, |_| true);
        found.into_iter().map(|found| found.id).collect()
    }

    fn encode_where(&self, text: &str, allowed: impl Fn(Range<usize>) -> bool) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        let mut at = 0;
        for found in self.parts.specials.find(text, allowed) {
            self.ordinary(text, at..found.taken.start, &mut ids)?;
            ids.push(found.id);
            at = found.taken.end;
        }
        self.ordinary(text, at..text.len(), &mut ids)?;
        Ok(ids)
    }

    fn ordinary(&self, text: &str, range: Range<usize>, ids: &mut Vec<u32>) -> Result<()> {
        let first = range.start == 0;
        let piece = text.get(range).unwrap_or_default();
        if piece.is_empty() {
            return Ok(());
        }
        let new = match &self.parts.encoder {
            Encoder::Spm(spm) => spm.encode(piece),
            Encoder::Pipeline { first: pipeline, later } => {
                let pipeline = later.as_ref().filter(|_| !first).unwrap_or(pipeline);
                let encoding =
                    pipeline.encode_fast(piece, false).map_err(backend("encoding text"))?;
                encoding.get_ids().to_vec()
            }
        };
        // An unknown token may stand for text; any other control token here is a hole, and is refused.
        let leak = new.iter().find(|id| self.is_control(**id) && !self.is_unknown(**id));
        if let Some(id) = leak {
            let token = self.token_text(*id).unwrap_or_default().to_owned();
            return Err(Error::ControlFromText { token });
        }
        ids.extend(new);
        Ok(())
    }

    fn is_unknown(&self, id: u32) -> bool {
        self.parts.vocabulary.kind(id) == Some(super::vocab::Kind::Unknown)
    }
}

/// A control token may stand here if no byte of it came from a message. White space is the one thing whose
/// origin a rendering does not always know, so a token made of nothing else is never recognised.
fn rendered_allows(text: &str, content: &[Range<usize>], range: &Range<usize>) -> bool {
    let next = content.partition_point(|piece| piece.end <= range.start);
    let clear = content.get(next).is_none_or(|piece| piece.start >= range.end);
    clear && text.get(range.clone()).is_some_and(|text| !text.trim().is_empty())
}
