//! The settings that duels choose between: no wish, or one of three styles asked for in words, by a vector, or both.
//!
//! A wish in words stands behind the question, where `trimtab eval --instruction` puts it, or in the system prompt.

use std::path::Path;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::text::Message;
use trimtab_steering::steer::{NullVectors, SteerOptions};
use trimtab_steering::{Steer, VectorFile};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The system prompt of every setting.
const SYSTEM: &str = "You are a helpful assistant.";

/// What is wished for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Short,
    List,
    Warm,
}

impl Style {
    pub const ALL: [Style; 3] = [Style::Short, Style::List, Style::Warm];

    pub fn name(self) -> &'static str {
        match self {
            Style::Short => "short",
            Style::List => "list",
            Style::Warm => "warm",
        }
    }

    /// The wish in words, as in `scripts/styles.sh`.
    fn words(self) -> &'static str {
        match self {
            Style::Short => "Please keep your answer very short.",
            Style::List => "Please give your answer as a bulleted list.",
            Style::Warm => "Please answer in a very enthusiastic and excited way.",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Style::Short => "concise.safetensors",
            Style::List => "list.safetensors",
            Style::Warm => "enthusiastic.safetensors",
        }
    }
}

/// How it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Words behind the question.
    Instruction,
    Vector,
    /// Words behind the question, and the vector.
    Both,
    /// Words in the system prompt.
    System,
}

impl Form {
    pub const ALL: [Form; 4] = [Form::Instruction, Form::Vector, Form::Both, Form::System];

    pub fn name(self) -> &'static str {
        match self {
            Form::Instruction => "instruction",
            Form::Vector => "vector",
            Form::Both => "both",
            Form::System => "system prompt",
        }
    }
}

/// An arm of a duel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    Plain,
    Styled(Style, Form),
}

impl Setting {
    /// Plain and the three styles in each of some forms.
    pub fn of(forms: &[Form]) -> Vec<Setting> {
        let styled = |form: &Form| Style::ALL.map(|style| Setting::Styled(style, *form));
        [Setting::Plain].into_iter().chain(forms.iter().flat_map(styled)).collect()
    }

    pub fn name(self) -> String {
        match self {
            Setting::Plain => "plain".to_owned(),
            Setting::Styled(style, form) => format!("{}, {}", style.name(), form.name()),
        }
    }

    /// What the model is asked.
    pub fn messages(self, question: &str) -> [Message; 2] {
        let (system, asked) = match self {
            Setting::Plain | Setting::Styled(_, Form::Vector) => return behind(question, ""),
            Setting::Styled(style, Form::Instruction | Form::Both) => {
                return behind(question, style.words());
            }
            Setting::Styled(style, Form::System) => {
                (format!("{SYSTEM} {}", style.words()), question)
            }
        };
        [Message::new("system", system), Message::new("user", asked)]
    }

    fn steered(self) -> Option<Style> {
        match self {
            Setting::Styled(style, Form::Vector | Form::Both) => Some(style),
            Setting::Plain | Setting::Styled(_, Form::Instruction | Form::System) => None,
        }
    }
}

/// A question with a wish behind it.
pub fn behind(question: &str, wish: &str) -> [Message; 2] {
    let asked = format!("{question} {wish}");
    [Message::new("system", SYSTEM), Message::new("user", asked.trim_end())]
}

/// The vectors of the styles, each at the scale of its card or at another.
pub struct Vectors {
    files: Vec<(Style, VectorFile)>,
    scales: Vec<(Style, f32)>,
}

impl Vectors {
    /// The files of a folder, and scales instead of those of the cards, such as `short=0.1,warm=0.5`.
    pub fn open(folder: &Path, scales: &str) -> Result<Vectors> {
        let file = |style: Style| Ok((style, VectorFile::open(&folder.join(style.file()))?));
        let scale = |part: &str| -> Result<(Style, f32)> {
            let (name, scale) = part.split_once('=').ok_or("a scale is written style=number")?;
            let style = Style::ALL.into_iter().find(|style| style.name() == name);
            Ok((style.ok_or_else(|| format!("there is no style {name:?}"))?, scale.parse()?))
        };
        let scales = scales.split(',').filter(|part| !part.is_empty()).map(scale);
        Ok(Vectors {
            files: Style::ALL.into_iter().map(file).collect::<Result<_>>()?,
            scales: scales.collect::<Result<_>>()?,
        })
    }

    /// What a setting does to the model's stream.
    pub fn plan(&self, setting: Setting) -> Result<Plan> {
        let Some(style) = setting.steered() else { return Ok(Plan::empty()) };
        let found = self.files.iter().find(|(of, _)| *of == style);
        let (_, file) = found.ok_or("a style has no vector")?;
        let scale = self.scales.iter().find(|(of, _)| *of == style).map(|(_, scale)| *scale);
        let options = SteerOptions { scale, null: NullVectors::Allow, ..SteerOptions::default() };
        Ok(Plan::of(Steer::new(file, &options)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_stand_where_their_form_says() {
        let ten = Setting::of(&[Form::Instruction, Form::Vector, Form::Both]);
        let names: std::collections::BTreeSet<String> =
            ten.iter().map(|setting| setting.name()).collect();
        assert_eq!((ten.len(), names.len()), (10, 10));
        let said = |setting: Setting| setting.messages("Why?").map(|message| message.content);
        let [system, asked] = said(Setting::Styled(Style::List, Form::Both));
        assert!(system == SYSTEM && asked == "Why? Please give your answer as a bulleted list.");
        let [system, asked] = said(Setting::Styled(Style::List, Form::System));
        assert!(system != SYSTEM && asked == "Why?");
        assert_eq!(said(Setting::Styled(Style::List, Form::Vector)), said(Setting::Plain));
        assert_eq!(Setting::Styled(Style::List, Form::Both).steered(), Some(Style::List));
    }
}
