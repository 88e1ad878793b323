//! Which language a text is in, by its commonest words.
//!
//! A dozen function words make up a fifth or more of ordinary prose, and hardly any is shared between languages. That
//! tells seven languages apart in a sentence or two; it says nothing of others, and nothing of a list of names.

use super::super::reply::words;
use crate::error::Result;

/// The least share of a text's words that must be among its language's commonest.
const LEAST_PERCENT: usize = 10;

/// A language that is known by its commonest words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Language {
    code: &'static str,
    words: &'static [&'static str],
}

const LANGUAGES: &[Language] = &[
    Language {
        code: "en",
        words: &[
            "the", "of", "and", "to", "is", "that", "it", "for", "was", "with", "are", "this",
            "be", "by", "you", "have", "from", "can", "which", "or", "not", "they",
        ],
    },
    Language {
        code: "de",
        words: &[
            "der", "die", "das", "und", "ist", "nicht", "ein", "eine", "den", "dem", "zu", "von",
            "mit", "auf", "für", "sich", "auch", "werden", "oder", "sind", "wird", "ich",
        ],
    },
    Language {
        code: "fr",
        words: &[
            "le", "les", "des", "et", "est", "une", "du", "dans", "pour", "que", "qui", "sur",
            "pas", "avec", "il", "sont", "au", "ce", "plus", "par", "vous", "nous",
        ],
    },
    Language {
        code: "es",
        words: &[
            "el", "los", "las", "y", "es", "una", "del", "para", "que", "por", "con", "no", "su",
            "se", "lo", "como", "más", "son", "al", "pero", "está", "muy",
        ],
    },
    Language {
        code: "it",
        words: &[
            "il", "gli", "che", "di", "è", "della", "per", "non", "sono", "con", "del", "più",
            "anche", "nel", "alla", "dei", "si", "questo", "come", "ma", "ed", "lo",
        ],
    },
    Language {
        code: "pt",
        words: &[
            "os", "um", "uma", "é", "não", "para", "com", "que", "do", "da", "em", "por", "mais",
            "dos", "como", "são", "ao", "mas", "pelo", "você", "se", "no",
        ],
    },
    Language {
        code: "nl",
        words: &[
            "de", "het", "een", "en", "van", "is", "niet", "dat", "op", "te", "voor", "met",
            "zijn", "aan", "ook", "door", "om", "naar", "bij", "worden", "wordt", "ik",
        ],
    },
];

impl Language {
    /// The language of a two-letter code.
    pub fn parse(code: &str) -> Result<Language> {
        let known = LANGUAGES.iter().find(|language| language.code == code);
        known.copied().ok_or_else(|| {
            let codes: Vec<&str> = LANGUAGES.iter().map(|language| language.code).collect();
            super::refused(code, format!("expected one of {}", codes.join(", ")))
        })
    }

    /// Its two-letter code.
    pub fn code(self) -> &'static str {
        self.code
    }

    /// Whether a text is in it.
    pub(super) fn is_of(self, text: &str) -> bool {
        let lower: Vec<String> = words(text).map(str::to_lowercase).collect();
        let found = |language: &Language| {
            lower.iter().filter(|word| language.words.contains(&word.as_str())).count()
        };
        let own = found(&self);
        let others = LANGUAGES.iter().filter(|language| language.code != self.code);
        own > 0
            && 100 * own >= LEAST_PERCENT * lower.len()
            && others.map(found).all(|other| other < own)
    }
}
