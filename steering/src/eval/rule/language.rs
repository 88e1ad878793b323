//! Which language a text is in, as the library whatlang tells it from its script and trigrams.

use crate::error::Result;
use whatlang::Lang;

/// A language that can be told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Language(Lang);

/// Two-letter codes (ISO 639-1); the library knows three-letter ones (639-3).
const SHORT: &[(&str, Lang)] = &[
    ("ar", Lang::Ara),
    ("cs", Lang::Ces),
    ("da", Lang::Dan),
    ("de", Lang::Deu),
    ("el", Lang::Ell),
    ("en", Lang::Eng),
    ("es", Lang::Spa),
    ("fi", Lang::Fin),
    ("fr", Lang::Fra),
    ("hi", Lang::Hin),
    ("it", Lang::Ita),
    ("ja", Lang::Jpn),
    ("ko", Lang::Kor),
    ("nl", Lang::Nld),
    ("pl", Lang::Pol),
    ("pt", Lang::Por),
    ("ru", Lang::Rus),
    ("sv", Lang::Swe),
    ("tr", Lang::Tur),
    ("uk", Lang::Ukr),
    ("zh", Lang::Cmn),
];

impl Language {
    /// The language of a code of two letters or three.
    ///
    /// # Errors
    ///
    /// The code is of no language that can be told.
    pub fn parse(code: &str) -> Result<Language> {
        let short = SHORT.iter().find(|(short, _)| *short == code).map(|(_, lang)| *lang);
        let known = short.or_else(|| Lang::from_code(code)).map(Language);
        known.ok_or_else(|| {
            let codes: Vec<&str> = SHORT.iter().map(|(short, _)| *short).collect();
            let codes = codes.join(", ");
            super::refused(code, format!("expected one of {codes}, or a code of ISO 639-3"))
        })
    }

    /// The code of two letters, where the language has one here, otherwise that of three.
    pub fn code(self) -> &'static str {
        let short = SHORT.iter().find(|(_, lang)| *lang == self.0);
        short.map_or_else(|| self.0.code(), |(short, _)| short)
    }

    /// Whether a text is likelier in this language than in any other that is known.
    pub(super) fn is_of(self, text: &str) -> bool {
        whatlang::detect_lang(text) == Some(self.0)
    }
}
