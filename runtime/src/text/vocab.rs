//! The entries of a vocabulary: their text, their kind, and the bytes they stand for.

use std::collections::HashMap;

/// What an entry is for. The names are those of GGUF and SentencePiece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

impl Kind {
    pub(crate) fn from_gguf(code: i64) -> Option<Self> {
        const KINDS: [Kind; 6] = [
            Kind::Normal,
            Kind::Unknown,
            Kind::Control,
            Kind::UserDefined,
            Kind::Unused,
            Kind::Byte,
        ];
        KINDS.get(usize::try_from(code).ok()?.checked_sub(1)?).copied()
    }
}

/// Names that begin or end a turn and mean nothing else. (`</s>` is not among them: Gemma has it as an HTML
/// tag.)
const TURN_NAMES: &[&str] = &[
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<|end|>",
];

/// The kind of an entry that a file gives as `kind`. Converters and fine-tunes are known to store the tokens
/// of a template as ordinary or user-defined ones, and then a user could type them.
pub(crate) fn settle(text: &str, kind: Kind) -> Kind {
    let shaped = |open: &str, close: &str| {
        text.len() > open.len() + close.len() && text.starts_with(open) && text.ends_with(close)
    };
    let turn = TURN_NAMES.contains(&text);
    match kind {
        Kind::Normal | Kind::UserDefined if turn => Kind::Control,
        Kind::UserDefined if shaped("<|", "|>") || shaped("<\u{ff5c}", "\u{ff5c}>") => {
            Kind::Control
        }
        Kind::Normal
        | Kind::Unknown
        | Kind::Control
        | Kind::UserDefined
        | Kind::Unused
        | Kind::Byte => kind,
    }
}

/// How the text of a normal entry stands for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// GPT-2's alphabet: one character per byte.
    ByteLevel,
    /// UTF-8, with U+2581 for the space.
    SentencePiece,
}

/// The space of SentencePiece.
pub(crate) const SPACE: char = '\u{2581}';
/// The same as a text.
pub(crate) const SPACE_TEXT: &str = "\u{2581}";

/// All entries by id. Ids without an entry are empty and unused.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    entries: Vec<(String, Kind)>,
    ids: HashMap<String, u32>,
    bytes: Vec<Vec<u8>>,
}

impl Vocabulary {
    /// Builds the tables; the first of two entries with the same text keeps the name.
    pub(crate) fn new(entries: Vec<(String, Kind)>, spelling: Spelling) -> Self {
        let alphabet = byte_alphabet();
        let bytes =
            entries.iter().map(|(text, kind)| bytes_of(text, *kind, spelling, &alphabet)).collect();
        let mut ids = HashMap::with_capacity(entries.len());
        for (id, (text, _)) in (0_u32..).zip(&entries) {
            ids.entry(text.clone()).or_insert(id);
        }
        Self { entries, ids, bytes }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn text(&self, id: u32) -> Option<&str> {
        self.entry(id).map(|(text, _)| text.as_str())
    }

    pub(crate) fn kind(&self, id: u32) -> Option<Kind> {
        self.entry(id).map(|(_, kind)| *kind)
    }

    /// The bytes an entry adds to a text; none for control entries.
    pub(crate) fn bytes(&self, id: u32) -> Option<&[u8]> {
        self.bytes.get(usize::try_from(id).ok()?).map(Vec::as_slice)
    }

    pub(crate) fn id_of(&self, text: &str) -> Option<u32> {
        self.ids.get(text).copied()
    }

    /// Unknown counts: it stands for no text, and its own text must not be typed by a user.
    pub(crate) fn is_control(&self, id: u32) -> bool {
        matches!(self.kind(id), Some(Kind::Control | Kind::Unknown))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &str, Kind)> {
        (0_u32..).zip(&self.entries).map(|(id, (text, kind))| (id, text.as_str(), *kind))
    }

    fn entry(&self, id: u32) -> Option<&(String, Kind)> {
        self.entries.get(usize::try_from(id).ok()?)
    }
}

fn bytes_of(text: &str, kind: Kind, spelling: Spelling, alphabet: &HashMap<char, u8>) -> Vec<u8> {
    match (kind, spelling) {
        (Kind::Control | Kind::Unknown, _) => Vec::new(),
        (Kind::Byte, _) => byte_piece(text).into_iter().collect(),
        (Kind::UserDefined, Spelling::ByteLevel) => text.as_bytes().to_vec(),
        (Kind::Normal | Kind::Unused, Spelling::ByteLevel) => text
            .chars()
            .map(|c| alphabet.get(&c).copied())
            .collect::<Option<Vec<u8>>>()
            .unwrap_or_else(|| text.as_bytes().to_vec()),
        (_, Spelling::SentencePiece) => text.replace(SPACE, " ").into_bytes(),
    }
}

pub(crate) fn byte_piece(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    let hex = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    hex.then_some(())?;
    u8::from_str_radix(digits, 16).ok()
}

/// GPT-2's character for each byte: printable Latin-1 stands for itself, the other 68 bytes take the
/// characters from U+0100 on.
fn byte_alphabet() -> HashMap<char, u8> {
    let mut next = 0x100_u32;
    let mut alphabet = HashMap::with_capacity(256);
    for byte in u8::MIN..=u8::MAX {
        let printable = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        let code = if printable {
            u32::from(byte)
        } else {
            next += 1;
            next - 1
        };
        if let Some(c) = char::from_u32(code) {
            alphabet.insert(c, byte);
        }
    }
    alphabet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_templates_are_control_whatever_a_file_says() {
        assert_eq!(settle("<|im_end|>", Kind::Normal), Kind::Control);
        assert_eq!(settle("<end_of_turn>", Kind::UserDefined), Kind::Control);
        assert_eq!(settle("<|user|>", Kind::UserDefined), Kind::Control);
        assert_eq!(settle("<|user|>", Kind::Normal), Kind::Normal);
        assert_eq!(settle("<think>", Kind::UserDefined), Kind::UserDefined);
        assert_eq!(settle("</s>", Kind::UserDefined), Kind::UserDefined);
        assert_eq!(settle("<|>", Kind::UserDefined), Kind::UserDefined);
    }

    #[test]
    fn bytes_are_those_of_the_spelling() {
        let entries = [
            ("\u{120}\u{e9}", Kind::Normal),
            ("\u{e9}", Kind::UserDefined),
            ("<0x0A>", Kind::Byte),
        ];
        let entries = entries.map(|(text, kind)| (text.to_owned(), kind)).to_vec();
        let vocabulary = Vocabulary::new(entries, Spelling::ByteLevel);
        assert_eq!(vocabulary.bytes(0), Some(&b" \xe9"[..]));
        assert_eq!(vocabulary.bytes(1), Some("\u{e9}".as_bytes()));
        assert_eq!(vocabulary.bytes(2), Some(&b"\n"[..]));
        assert_eq!(byte_piece("<0xG1>"), None);
        assert_eq!(byte_piece("<0x+1>"), None);
    }
}
